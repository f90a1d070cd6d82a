//! From our parameters to a file under the names of others.

use std::path::Path;

use serde_json::{Value, json};
use vitral_files::NewFolder;
use vitral_model::{
    ViTConfig, config::AttentionKind, layers::Normalization, mlp::Mlp, pool::Pool,
    position::Position, resnet::Stem,
};

use crate::{
    Array, InterchangeError, Pretrained,
    file::{Tensors, write_npz, write_safetensors, write_whole},
    names::Dialect,
    pattern::{named, pattern_of},
    preprocessing::{Fit, Preprocessing},
    read::sizes_of,
};

/// Writes an archive under the names of google-research/vision_transformer's published checkpoints,
/// and returns what that project's code would compute differently, in sentences.
///
/// # Errors
/// The model has parts that the project does not, or the file is there already or cannot be written.
pub fn write_published(model: &Pretrained, path: &Path) -> Result<Vec<String>, InterchangeError> {
    const FORMAT: &str = "google-research/vision_transformer";
    let config = &model.config;
    let unsupported = |what| InterchangeError::Unsupported { format: FORMAT, what };
    let mixer = config.is_mixer();
    for (is_there, what) in [
        (config.register_tokens > 0, "registers (`register_tokens`)"),
        (config.distillation_token, "a distillation token (`distillation_token`)"),
        (config.pool == Pool::ClassTokenAndMean, "its head (`pool: ClassTokenAndMean`)"),
        (config.fc_norm, "a norm after pooling (`fc_norm`)"),
        (config.pool == Pool::Map, "attention pooling (`pool: Map`)"),
        (
            !mixer && config.position != Position::Learned,
            "other positions than learned ones (`position`)",
        ),
        (config.qk_norm, "norms of queries and keys (`qk_norm`)"),
        (!config.qkv_bias, "projections without biases (`qkv_bias: false`)"),
        (config.layer_scale.is_some(), "LayerScale (`layer_scale`)"),
        (config.mlp == Mlp::SwiGlu, "SwiGLU (`mlp`)"),
        (
            mixer && config.representation_size.is_some(),
            "a pre-logits layer of an MLP-Mixer (`representation_size`)",
        ),
        (mixer && config.stem != Stem::None, "a ResNet before an MLP-Mixer (`stem`)"),
    ] {
        if is_there {
            return Err(unsupported(what.into()));
        }
    }
    check_layers(config).map_err(unsupported)?;
    let mut notes = common_notes(config);
    if config.mlp == Mlp::Gelu {
        notes.push(
            "that project computes GELU in its tanh form, and this model the exact one".into(),
        );
    }
    let mut tensors = model.tensors.clone();
    if config.class_token && !config.class_position {
        prepend_zero_position(&mut tensors, 1);
        notes.push("the class token got a position of zero".into());
    }
    if !model.class_names.is_empty() {
        notes.push(
            "the file has no place for the names of the classes: whoever reads it knows them by position".into(),
        );
    }
    let dialect = if mixer { Dialect::Mixer } else { Dialect::Published };
    let theirs = to_dialect(dialect, config, &tensors).map_err(unsupported)?;
    write_whole(path, |file| write_npz(&theirs, file))?;
    Ok(notes)
}

/// Writes `model.safetensors` and `config.json` into a new folder, which
/// `timm.create_model("local-dir:<folder>", pretrained=True)` opens, and returns what timm would
/// compute differently, in sentences.
///
/// # Errors
/// The model has parts that timm's `VisionTransformer` or `MlpMixer` does not, or the folder is there already or
/// cannot be written.
pub fn write_timm(model: &Pretrained, folder: &Path) -> Result<Vec<String>, InterchangeError> {
    let config = &model.config;
    let unsupported = |what| InterchangeError::Unsupported { format: "timm", what };
    if config.representation_size.is_some() {
        return Err(unsupported("a pre-logits layer (`representation_size`)".into()));
    }
    if config.stem != Stem::None {
        return Err(unsupported("a ResNet before the patches (`stem`)".into()));
    }
    let mut notes = common_notes(config);
    if model.preprocessing.is_none() {
        notes.push("config.json cannot say how images are resized (`data.eval_transforms`), so timm does it in its own way".into());
    }
    if config.is_mixer() {
        if mixer_architecture(config).is_none() {
            return Err(unsupported(
                "an MLP-Mixer of other sizes than its S, B and L with /16 and /32 (`width`, `depth`, `patch_size`)"
                    .into(),
            ));
        }
        if config.mlp == Mlp::GeluTanh {
            notes.push(
                "timm's MLP-Mixers compute GELU exactly, and this model its tanh form".into(),
            );
        }
        for (is_there, what) in [
            (config.mlp == Mlp::SwiGlu, "SwiGLU of an MLP-Mixer (`mlp: SwiGlu`)"),
            (config.layer_scale.is_some(), "LayerScale of an MLP-Mixer (`layer_scale`)"),
            (config.fc_norm, "a norm after pooling of an MLP-Mixer (`fc_norm`)"),
        ] {
            if is_there {
                return Err(unsupported(what.into()));
            }
        }
    }
    if config.pool == Pool::Map && config.mlp == Mlp::SwiGlu {
        return Err(unsupported("SwiGLU in attention pooling (`pool: Map`, `mlp: SwiGlu`)".into()));
    }
    if config.pool == Pool::ClassTokenAndMean {
        return Err(unsupported(
            "a head that reads class token and mean (`pool: ClassTokenAndMean`)".into(),
        ));
    }
    if config.position == Position::SinCos2d {
        return Err(unsupported("fixed positions (`position: SinCos2d`)".into()));
    }
    if config.distillation_token && config.mlp == Mlp::SwiGlu {
        return Err(unsupported(
            "SwiGLU with a distillation token (`distillation_token`, `mlp: SwiGlu`)".into(),
        ));
    }
    check_layers(config).map_err(unsupported)?;
    let mut tensors = model.tensors.clone();
    let is_placed = config.prefix_positions() > 0;
    if config.register_tokens > 0 && is_placed && !config.register_position {
        insert_zero_positions(&mut tensors, config.prefix_positions(), config.register_tokens);
        notes.push("the registers got positions of zero, as timm gives them some".into());
    }
    let dialect = if config.is_mixer() { Dialect::TimmMixer } else { Dialect::Timm };
    let theirs = to_dialect(dialect, config, &tensors).map_err(unsupported)?;
    let parts = NewFolder::create(folder).map_err(InterchangeError::io(folder))?;
    write_whole(&parts.path().join("model.safetensors"), |file| write_safetensors(&theirs, file))
        .map_err(|error| error.in_place_of(parts.path(), folder))?;
    let settings = format!("{:#}\n", timm_config(model));
    write_whole(&parts.path().join("config.json"), |file| {
        std::io::Write::write_all(file, settings.as_bytes())
    })
    .map_err(|error| error.in_place_of(parts.path(), folder))?;
    parts.finish().map_err(InterchangeError::io(folder))?;
    Ok(notes)
}

/// What no format of weights says.
fn common_notes(config: &ViTConfig) -> Vec<String> {
    let mut notes = Vec::new();
    if config.norm_eps != 1e-6 {
        notes.push(format!("norms have an epsilon of 1e-6 there, and {:e} here", config.norm_eps));
    }
    if config.token_merging.is_some() {
        notes.push("no tokens are merged there (`token_merging`)".into());
    }
    if config.token_reorganization.is_some() {
        notes.push("all tokens are kept there (`token_reorganization`)".into());
    }
    notes
}

/// Whether every layer has plain softmax attention with the model's heads, and LayerNorms.
fn check_layers(config: &ViTConfig) -> Result<(), String> {
    if config.norm != Normalization::LayerNorm {
        return Err("RMSNorm (`norm`)".into());
    }
    if config.rope.is_some() {
        return Err("rotary positions (`rope`)".into());
    }
    if config.relative_position_bias {
        return Err("biases by relative position (`relative_position_bias`)".into());
    }
    for layer in 0..config.depth() {
        if let AttentionKind::Plugin { name, .. } = config.attention_of(layer) {
            return Err(format!("the attention `{name}` of layer {layer} (`attention`)"));
        }
        let norm = config.attention_of(layer).qk_norm();
        if config.heads_of(layer) != config.whole_heads_of(layer)
            || config.hidden_of(layer) != config.mlp_dim()
        {
            return Err(format!(
                "layer {layer}, which was pruned to {} of {} heads and {} of {} hidden neurons (`layers`)",
                config.heads_of(layer),
                config.whole_heads_of(layer),
                config.hidden_of(layer),
                config.mlp_dim()
            ));
        }
        if config.heads_of(layer) != config.heads() || norm.is_some_and(|n| n != config.qk_norm) {
            return Err(format!("other heads or norms in layer {layer} (`attention`)"));
        }
    }
    Ok(())
}

/// All parameters under a dialect's names and in its layouts.
fn to_dialect(dialect: Dialect, config: &ViTConfig, tensors: &Tensors) -> Result<Tensors, String> {
    let sizes = sizes_of(config);
    let entries = dialect.entries();
    let mut theirs = Tensors::new();
    for (name, array) in tensors {
        let (pattern, layer) = pattern_of(name);
        let entry = entries
            .iter()
            .find(|entry| entry.ours == pattern)
            .ok_or_else(|| format!("the parameter `{name}`"))?;
        for (part, of) in array.split(entry.theirs.len()).iter().zip(&entry.theirs) {
            theirs.insert(named(of, &layer), entry.layout.to_theirs(part, sizes));
        }
    }
    Ok(theirs)
}

fn prepend_zero_position(tensors: &mut Tensors, count: usize) {
    insert_zero_positions(tensors, 0, count);
}

fn insert_zero_positions(tensors: &mut Tensors, before: usize, count: usize) {
    let Some(Array { shape, values }) = tensors.get_mut("pos_embed") else { return };
    let width = shape[2];
    let at = before * width;
    values.splice(at..at, vec![0.0; count * width]);
    shape[1] += count;
}

/// timm's `config.json`: every size is written out, so that it does not matter which of timm's models
/// is named.
fn timm_config(model: &Pretrained) -> Value {
    let config = &model.config;
    let pool = match config.pool {
        Pool::ClassToken | Pool::ClassTokenAndMean => "token",
        Pool::Mean => "avg",
        Pool::Map => "map",
    };
    let activation = match config.mlp {
        Mlp::Gelu => "gelu",
        Mlp::GeluTanh => "gelu_tanh",
        Mlp::SwiGlu => "silu",
    };
    let arguments = match config.tokens_mlp_dim() {
        Some(hidden) => mixer_arguments(config, hidden),
        None => vit_arguments(config, pool, activation),
    };
    let (mean, std) = model
        .normalization
        .clone()
        .unwrap_or_else(|| (vec![0.5; config.channels], vec![0.5; config.channels]));
    // Only the model's own function says in timm that an MLP is gated, or that there are two heads.
    let architecture = match config.mlp {
        _ if config.distillation_token => "deit_base_distilled_patch16_224",
        _ if config.is_mixer() => mixer_architecture(config).unwrap_or("mixer_b16_224"),
        Mlp::SwiGlu => "vit_giant_patch14_dinov2",
        _ => "vit_base_patch16_224",
    };
    let classifier = match config.distillation_token {
        true => json!(["head", "head_dist"]),
        false => json!("head"),
    };
    let mut settings = json!({
        "architecture": architecture,
        "num_classes": config.classes,
        "num_features": config.width(),
        "global_pool": pool,
        "model_args": arguments,
        "pretrained_cfg": {
            "num_classes": config.classes,
            "input_size": [config.channels, config.image_size, config.image_size],
            "mean": mean,
            "std": std,
            "first_conv": if config.is_mixer() { "stem.proj" } else { "patch_embed.proj" },
            "classifier": classifier,
        },
    });
    if let Some(Preprocessing { fit, interpolation }) = model.preprocessing {
        let (share, mode) = match fit {
            Fit::Crop(share) => (share, "center"),
            Fit::Squash => (1.0, "squash"),
        };
        settings["pretrained_cfg"]["crop_pct"] = json!(share);
        settings["pretrained_cfg"]["crop_mode"] = json!(mode);
        settings["pretrained_cfg"]["interpolation"] = json!(interpolation.name());
    }
    if !model.class_names.is_empty() {
        settings["label_names"] = json!(model.class_names);
    }
    settings
}

/// What makes timm's `int(width * ratio)` the hidden width, whatever rounding does.
fn ratio(hidden: usize, width: usize) -> f64 {
    (hidden as f64 + 0.25) / width as f64
}

/// timm's MLP-Mixer of the same patch size, width and depth, which its functions do not take as
/// arguments.
fn mixer_architecture(config: &ViTConfig) -> Option<&'static str> {
    match (config.width(), config.depth(), config.patch_size()) {
        (512, 8, 16) => Some("mixer_s16_224"),
        (512, 8, 32) => Some("mixer_s32_224"),
        (768, 12, 16) => Some("mixer_b16_224"),
        (768, 12, 32) => Some("mixer_b32_224"),
        (1024, 24, 16) => Some("mixer_l16_224"),
        (1024, 24, 32) => Some("mixer_l32_224"),
        _ => None,
    }
}

/// Arguments of timm's `MlpMixer`.
fn mixer_arguments(config: &ViTConfig, tokens_hidden: usize) -> Value {
    let width = config.width();
    json!({
        "img_size": config.image_size,
        "in_chans": config.channels,
        "mlp_ratio": [ratio(tokens_hidden, width), ratio(config.mlp_dim(), width)],
    })
}

/// Arguments of timm's `VisionTransformer`.
fn vit_arguments(config: &ViTConfig, pool: &str, activation: &str) -> Value {
    let mut arguments = json!({
        "img_size": config.image_size,
        "patch_size": config.patch_size(),
        "in_chans": config.channels,
        "embed_dim": config.width(),
        "depth": config.depth(),
        "num_heads": config.heads(),
        "mlp_ratio": ratio(mlp_width(config), config.width()),
        "qkv_bias": config.qkv_bias,
        "qk_norm": config.qk_norm,
        "class_token": config.class_token,
        "reg_tokens": config.register_tokens,
        "no_embed_class": config.prefix_tokens() > 0 && config.prefix_positions() == 0,
        "global_pool": pool,
        "fc_norm": config.fc_norm,
        "act_layer": activation,
        "init_values": config.layer_scale,
    });
    if config.position == Position::None {
        arguments["pos_embed"] = json!("none");
    }
    arguments
}

/// timm counts gate and value of SwiGLU together.
fn mlp_width(config: &ViTConfig) -> usize {
    match config.mlp {
        Mlp::SwiGlu => 2 * config.mlp_dim(),
        _ => config.mlp_dim(),
    }
}
