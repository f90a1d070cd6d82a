//! What `config.json` and `preprocessor_config.json` beside a file say that its tensors do not.

use serde_json::Value;
use vitral_model::{ViTConfig, mlp::Mlp, pool::Pool};

use crate::names::Dialect;
use crate::preprocessing::{self, Preprocessing};

/// What a file's neighbours say; nothing where they do not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub heads: Option<usize>,
    pub mlp: Option<Mlp>,
    pub norm_eps: Option<f64>,
    pub pool: Option<Pool>,
    pub class_names: Vec<String>,
    pub normalization: Option<(Vec<f32>, Vec<f32>)>,
    pub preprocessing: Option<Preprocessing>,
    /// What there is no place for and does not change the model, in sentences.
    pub notes: Vec<String>,
    /// Height and width of images in pixels, and where config.json says so.
    pub image: Option<([usize; 2], &'static str)>,
    /// Whether the class token has a position.
    pub class_position: Option<bool>,
    pub claims: Vec<Claim>,
}

/// A size that config.json states, and that the tensors tell, too.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// Where in config.json.
    pub key: &'static str,
    pub size: Size,
    pub value: usize,
}

/// What a [`Claim`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    Width,
    Depth,
    Patch,
    Channels,
    Registers,
    /// Of the head, where there is one.
    Classes,
    /// Hidden width of the MLPs.
    Hidden,
}

/// Reads both files, of which either may be missing.
///
/// # Errors
/// A setting that changes what the model computes, and that there is no place for.
pub(crate) fn settings(
    dialect: Dialect,
    config: Option<&Value>,
    preprocessor: Option<&Value>,
) -> Result<Settings, String> {
    let mut settings = match (dialect, config) {
        (Dialect::Timm | Dialect::TimmMixer, Some(config)) => of_timm(config)?,
        (Dialect::HuggingFaceVit | Dialect::HuggingFaceDinov2, Some(config)) => {
            of_hugging_face(config)?
        }
        _ => Settings::default(),
    };
    if let Some(preprocessor) = preprocessor {
        let numbers = |key: &str| numbers(&preprocessor[key]);
        settings.normalization =
            numbers("image_mean").zip(numbers("image_std")).or(settings.normalization);
        match preprocessing::of_hugging_face(preprocessor) {
            Ok(found) => settings.preprocessing = found.or(settings.preprocessing),
            Err(problem) => settings.notes.push(problem),
        }
    }
    Ok(settings)
}

/// Sizes of which config.json says something else than the tensors.
pub(crate) fn check_claims(config: &ViTConfig, settings: &Settings) -> Result<(), String> {
    for claim in &settings.claims {
        let (what, found) = match claim.size {
            Size::Width => ("a width", config.width()),
            Size::Depth => ("a depth", config.depth()),
            Size::Patch => ("a patch size", config.patch_pixels()),
            Size::Channels => ("a number of channels", config.channels),
            Size::Registers => ("a number of registers", config.register_tokens),
            Size::Hidden => ("a hidden width of the MLPs", config.mlp_dim()),
            // A file without a head says nothing about classes.
            Size::Classes if config.classes == 0 => continue,
            Size::Classes => ("a number of classes", config.classes),
        };
        if found != claim.value {
            return Err(format!(
                "config.json says `{}` is {}, but the tensors have {what} of {found}: one of the \
                 two belongs to another model",
                claim.key, claim.value
            ));
        }
    }
    Ok(())
}

fn of_timm(config: &Value) -> Result<Settings, String> {
    let arguments = &config["model_args"];
    let pool = arguments["global_pool"].as_str().or(config["global_pool"].as_str());
    let pool = match pool {
        Some("token") => Some(Pool::ClassToken),
        Some("avg") => Some(Pool::Mean),
        Some("map") => Some(Pool::Map),
        Some("") | None => None,
        Some(other) => {
            return Err(format!("config.json pools by `{other}`; known are token, avg and map"));
        }
    };
    let architecture = config["architecture"].as_str().unwrap_or_default();
    let mlp = match arguments["act_layer"].as_str() {
        Some(name) => Some(activation(name)?),
        None if architecture.contains("quickgelu") => return Err(QUICK_GELU.into()),
        None => None,
    };
    let pretrained = &config["pretrained_cfg"];
    let heads = number(&arguments["num_heads"], "model_args.num_heads")?;
    let mut claims = claims(&[
        (&arguments["embed_dim"], "model_args.embed_dim", Size::Width),
        (&arguments["depth"], "model_args.depth", Size::Depth),
        (&arguments["in_chans"], "model_args.in_chans", Size::Channels),
        (&arguments["reg_tokens"], "model_args.reg_tokens", Size::Registers),
        (&config["num_classes"], "num_classes", Size::Classes),
    ])?;
    claims.extend(patch(&arguments["patch_size"], "model_args.patch_size")?);
    // What `pretrained_cfg` says was the model's before its arguments changed it.
    let input = pretrained["input_size"].as_array().and_then(|sizes| sizes.get(1..));
    let input = input.map(Value::from).unwrap_or_default();
    let image = match image(&arguments["img_size"], "model_args.img_size")? {
        Some(image) => Some(image),
        None => image(&input, "pretrained_cfg.input_size")?,
    };
    let class_position = arguments["no_embed_class"].as_bool().map(|without| !without);
    let (preprocessing, notes) = match preprocessing::of_timm(pretrained) {
        Ok(found) => (found, Vec::new()),
        Err(problem) => (None, vec![problem]),
    };
    let names = config["label_names"].as_array().map_or(&[] as &[Value], Vec::as_slice);
    Ok(Settings {
        heads,
        mlp,
        norm_eps: None,
        pool,
        class_names: names.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        normalization: numbers(&pretrained["mean"]).zip(numbers(&pretrained["std"])),
        preprocessing,
        notes,
        image,
        class_position,
        claims,
    })
}

fn of_hugging_face(config: &Value) -> Result<Settings, String> {
    let mlp = match (config["use_swiglu_ffn"].as_bool(), config["hidden_act"].as_str()) {
        (Some(true), _) => Some(Mlp::SwiGlu),
        (_, Some(name)) => Some(activation(name)?),
        _ => None,
    };
    let labels = config["id2label"].as_object();
    let name = |index: usize| {
        let name = labels?.get(&index.to_string())?.as_str()?;
        // What Hugging Face writes where there are no names.
        (name != format!("LABEL_{index}")).then(|| name.to_owned())
    };
    let class_names = (0..labels.map_or(0, serde_json::Map::len)).map_while(name).collect();
    let mut claims = claims(&[
        (&config["hidden_size"], "hidden_size", Size::Width),
        (&config["num_hidden_layers"], "num_hidden_layers", Size::Depth),
        (&config["num_channels"], "num_channels", Size::Channels),
        (&config["num_register_tokens"], "num_register_tokens", Size::Registers),
        (&config["intermediate_size"], "intermediate_size", Size::Hidden),
    ])?;
    claims.extend(patch(&config["patch_size"], "patch_size")?);
    claims.extend(labels.map(|labels| Claim {
        key: "id2label (its length)",
        size: Size::Classes,
        value: labels.len(),
    }));
    Ok(Settings {
        heads: number(&config["num_attention_heads"], "num_attention_heads")?,
        mlp,
        norm_eps: config["layer_norm_eps"].as_f64(),
        pool: None,
        class_names,
        normalization: None,
        preprocessing: None,
        notes: Vec::new(),
        image: image(&config["image_size"], "image_size")?,
        class_position: None,
        claims,
    })
}

/// Larger than any size of a model.
const LARGEST: u64 = 1 << 24;

fn number(value: &Value, key: &str) -> Result<Option<usize>, String> {
    match value.as_u64() {
        Some(number) if number <= LARGEST => Ok(Some(number as usize)),
        None if value.is_null() => Ok(None),
        _ => Err(format!("config.json: `{key}` is {value}, which is not a size")),
    }
}

fn claims(stated: &[(&Value, &'static str, Size)]) -> Result<Vec<Claim>, String> {
    let mut claims = Vec::new();
    for &(value, key, size) in stated {
        claims.extend(number(value, key)?.map(|value| Claim { key, size, value }));
    }
    Ok(claims)
}

/// One number, or two: height and width.
fn sides(value: &Value, key: &str) -> Result<Option<[usize; 2]>, String> {
    match value.as_array().map(Vec::as_slice) {
        None => Ok(number(value, key)?.map(|side| [side, side])),
        Some([high, wide]) => Ok(number(high, key)?.zip(number(wide, key)?).map(Into::into)),
        Some(_) => Err(format!("config.json: `{key}` is {value}, but an image has two sides")),
    }
}

fn image(value: &Value, key: &'static str) -> Result<Option<([usize; 2], &'static str)>, String> {
    Ok(sides(value, key)?.map(|sides| (sides, key)))
}

fn patch(value: &Value, key: &'static str) -> Result<Option<Claim>, String> {
    let [high, wide] = match sides(value, key)? {
        Some(sides) => sides,
        None => return Ok(None),
    };
    if high != wide {
        return Err(format!("config.json: patches (`{key}`) of {high} x {wide} px are not square"));
    }
    Ok(Some(Claim { key, size: Size::Patch, value: high }))
}

const QUICK_GELU: &str = "the model's activation is QuickGELU, which is not one of the MLPs here";

fn activation(name: &str) -> Result<Mlp, String> {
    match name {
        "gelu" => Ok(Mlp::Gelu),
        "gelu_tanh" | "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Ok(Mlp::GeluTanh),
        // timm's name for the gate of SwiGLU, which the shapes tell from a plain MLP.
        "silu" => Ok(Mlp::SwiGlu),
        "quick_gelu" => Err(QUICK_GELU.into()),
        other => {
            Err(format!("config.json has the activation `{other}`; known are gelu and gelu_tanh"))
        }
    }
}

fn numbers(value: &Value) -> Option<Vec<f32>> {
    let numbers: Option<Vec<f32>> = value
        .as_array()?
        .iter()
        .map(|number| number.as_f64().map(|number| number as f32))
        .collect();
    numbers.filter(|numbers| !numbers.is_empty() && numbers.len() <= 64)
}
