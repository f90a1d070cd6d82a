//! What a model is made of, read off its tensors; what they cannot tell comes from the file's
//! neighbours, from the caller, or from a rule that is named.

use std::collections::{BTreeMap, BTreeSet};

use vitral_model::{
    Variant, ViTConfig,
    init::Init,
    mlp::Mlp,
    pool::Pool,
    position::Position,
    resnet::Stem,
    token_mixing::TokenMixing,
    variant::{Family, Size},
};

use crate::{
    Array,
    dialect::MOST_LAYERS,
    grid::{Squared, grid_of, prefixes, square},
    hints::Hints,
    names::Dialect,
    settings::{Settings, check_claims},
};

/// A configuration, and what was concluded about it.
pub(crate) struct Read {
    pub config: ViTConfig,
    pub notes: Vec<String>,
    /// What makes the file's positions those of the configuration, where images were not square.
    pub squared: Option<Squared>,
}

/// The sizes of big published models beside those that have a letter here: width, depth, heads (Zhai
/// et al. 2022: g and G; Alabdulmohsin et al. 2023: SoViT-400m).
const MORE_SIZES: [(usize, usize, usize); 3] = [(1408, 40, 16), (1664, 48, 16), (1152, 27, 16)];

/// Reads the architecture off parameters under our names. `patch_embedding` is `[width, channels,
/// patch, patch]`; `shape_heads` are the heads, where the file's shapes tell.
///
/// # Errors
/// What does not make a model, in words.
pub(crate) fn architecture(
    dialect: Dialect,
    tensors: &BTreeMap<String, Array>,
    patch_embedding: Option<&[usize]>,
    shape_heads: Option<usize>,
    settings: &Settings,
    hints: &Hints,
) -> Result<Read, String> {
    let found = Found(tensors);
    let mut notes = Vec::new();
    let (width, channels, patch) = match patch_embedding {
        Some(&[width, channels, high, wide]) if high == wide => (width, channels, high),
        Some(&[_, _, high, wide]) => {
            return Err(format!("patches of {high} x {wide} px are not square"));
        }
        Some(shape) => return Err(format!("the patch embedding has the shape {shape:?}")),
        None => return Err("there is no patch embedding".into()),
    };
    check_range("the width", width, 65_536)?;
    check_range("the patch size", patch, 1024)?;
    let stem = stem(&found)?;
    let patch_pixels = patch * stem.downscaling();
    let channels = match stem {
        Stem::None => channels,
        Stem::ResNet { .. } => {
            found.dimension("patch_embed.backbone.stem.conv.weight", 1).unwrap_or(3)
        }
    };
    check_range("the number of channels", channels, 64)?;
    let depth = found.depth()?;
    if let Some(tokens) = found.dimension("blocks.0.mlp_tokens.fc1.weight", 0) {
        let config = mixer(dialect, &found, tokens, patch_pixels, settings)?;
        let config = ViTConfig {
            image_size: config.image_size * patch_pixels,
            stem,
            channels,
            patch_size: Some(patch),
            width: Some(width),
            depth: Some(depth),
            mlp_ratio: found.hidden(width) as f64 / width as f64,
            ..config
        };
        check_range("the image size", config.image_size, 8192)?;
        config.check().map_err(|problem| format!("{problem} (`model.{}`)", problem.field))?;
        check_claims(&config, settings)?;
        return Ok(Read { config, notes, squared: None });
    }
    let class_token = found.has("cls_token");
    let distillation_token = found.has("dist_token");
    let register_tokens = found.dimension("reg_token", 1).unwrap_or(0);
    check_range("the number of registers", register_tokens + 1, 1025)?;
    let classes = usize::from(class_token) + usize::from(distillation_token);
    let stated = settings.image.map(|([high, wide], _)| [high / patch_pixels, wide / patch_pixels]);
    let (from, positions) = match found.dimension("pos_embed", 1) {
        Some(count) => {
            let cases = prefixes(dialect, classes, register_tokens, settings.class_position);
            let (grid, prefix) = grid_of(count, &cases, stated, settings)?;
            if stated.is_none() && classes > 0 && prefix == 0 && dialect == Dialect::Timm {
                notes.push(format!(
                    "{count} positions are taken for those of {} x {} patches, without one for the \
                     class token",
                    grid[0], grid[1]
                ));
            }
            (grid, Some(prefix))
        }
        None => {
            if stated.is_none() {
                notes.push(format!(
                    "the file has no positions, so images are taken to be of {} px",
                    14 * patch_pixels
                ));
            }
            (stated.unwrap_or([14, 14]), None)
        }
    };
    let grid = match from {
        [rows, columns] if rows == columns => rows,
        _ => {
            let grid = square(from, patch_pixels, settings, hints)?;
            notes.push(match positions {
                Some(_) => format!(
                    "positions were resized from {} x {} to {grid} x {grid}",
                    from[0], from[1]
                ),
                None => format!("images are square here, not of {} x {} patches", from[0], from[1]),
            });
            grid
        }
    };
    let squared =
        positions.filter(|_| from != [grid, grid]).map(|prefix| Squared { prefix, from, to: grid });
    check_range("the image size", grid * patch_pixels, 8192)?;
    let position = match positions {
        Some(_) => Position::Learned,
        None if dialect.is_flax() => {
            notes.push("positions are big_vision's sines and cosines (`sincos2d`)".into());
            Position::SinCos2d
        }
        None => Position::None,
    };
    let (heads, how) = heads(&found, width, depth, shape_heads, settings, hints)?;
    check_range("the number of heads", heads, 1024)?;
    notes.push(format!("{heads} heads, {how}"));
    let hidden = found.hidden(width);
    let gated = found.dimension("blocks.0.mlp.fc1.weight", 1) == Some(2 * hidden);
    let mlp = if gated { Mlp::SwiGlu } else { activation(dialect, settings) };
    let norm_eps = settings.norm_eps.unwrap_or(match dialect {
        Dialect::HuggingFaceVit => 1e-12,
        _ => 1e-6,
    });
    let fc_norm = found.has("fc_norm.weight");
    let pool = pool(&found, class_token, fc_norm, settings, &mut notes);
    if distillation_token {
        notes.push("logits are the mean of those of `head` and of `head_dist`".into());
    }
    let config = ViTConfig {
        image_size: grid * patch_pixels,
        stem,
        channels,
        classes: found.dimension("head.weight", 1).unwrap_or(0),
        patch_size: Some(patch),
        width: Some(width),
        depth: Some(depth),
        heads: Some(heads),
        mlp_ratio: hidden as f64 / width as f64,
        mlp,
        class_token,
        distillation_token,
        register_tokens,
        pool,
        fc_norm,
        position,
        class_position: positions.is_none_or(|prefix| prefix >= classes),
        register_position: register_tokens > 0 && positions.is_some_and(|prefix| prefix > classes),
        qkv_bias: found.has("blocks.0.attn.qkv.bias"),
        qk_norm: found.has("blocks.0.attn.q_norm.weight"),
        layer_scale: found.has("blocks.0.ls1.gamma").then_some(1e-5),
        representation_size: found.dimension("pre_logits.weight", 1),
        norm_eps,
        init: if dialect.is_flax() { Init::Jax } else { Init::Timm },
        ..ViTConfig::default()
    };
    config.check().map_err(|problem| format!("{problem} (`model.{}`)", problem.field))?;
    check_claims(&config, settings)?;
    notes.extend(more_than_plain(&config));
    Ok(Read { config, notes, squared })
}

/// What a model has beyond a plain Vision Transformer, in one sentence.
fn more_than_plain(config: &ViTConfig) -> Option<String> {
    let registers = match config.register_tokens {
        1 => "1 register".to_owned(),
        count => format!("{count} registers"),
    };
    let parts = [
        (config.distillation_token, "a distillation token"),
        (config.register_tokens > 0, registers.as_str()),
        (config.layer_scale.is_some(), "LayerScale"),
        (config.qk_norm, "norms of queries and keys"),
        (config.mlp == Mlp::SwiGlu, "SwiGLU"),
        (config.representation_size.is_some(), "a pre-logits layer"),
        (config.pool == Pool::Map, "attention pooling"),
    ];
    let parts: Vec<&str> = parts.iter().filter(|(has, _)| *has).map(|(_, part)| *part).collect();
    (!parts.is_empty()).then(|| format!("with {}", parts.join(", ")))
}

/// The ResNet before the patches, if there is one.
fn stem(found: &Found<'_>) -> Result<Stem, String> {
    let Some(width) = found.dimension("patch_embed.backbone.stem.conv.weight", 0) else {
        return Ok(Stem::None);
    };
    check_range("the width of the ResNet", width, 2048)?;
    let has = |stage: usize, unit: usize| {
        found.has(&format!("patch_embed.backbone.stages.{stage}.blocks.{unit}.conv1.weight"))
    };
    let units = |stage: usize| (0..64).take_while(|&unit| has(stage, unit)).count();
    let layers: Vec<usize> = (0..8).map(units).take_while(|&units| units > 0).collect();
    Ok(Stem::ResNet { layers, width })
}

/// What an MLP-Mixer has beside its sizes; its `image_size` is the side of its grid.
fn mixer(
    dialect: Dialect,
    found: &Found<'_>,
    tokens: usize,
    patch_pixels: usize,
    settings: &Settings,
) -> Result<ViTConfig, String> {
    let side = tokens.isqrt();
    if side == 0 || side * side != tokens {
        return Err(format!("{tokens} tokens are not those of a square grid of patches"));
    }
    if let Some(([high, wide], key)) = settings.image
        && [high / patch_pixels, wide / patch_pixels] != [side, side]
    {
        return Err(format!(
            "config.json says images are of {high} x {wide} px (`{key}`), and its MLPs over tokens \
             have weights for {tokens} patches of {patch_pixels} px, but an MLP-Mixer here has a \
             square grid, and cannot be adapted to another"
        ));
    }
    let hidden = found.dimension("blocks.0.mlp_tokens.fc2.weight", 0);
    if let Some(hidden) = hidden {
        check_range("the hidden width of the MLP over tokens", hidden, 65_536)?;
    }
    Ok(ViTConfig {
        image_size: side,
        classes: found.dimension("head.weight", 1).unwrap_or(0),
        token_mixing: TokenMixing::Mlp { hidden },
        mlp: activation(dialect, settings),
        norm_eps: 1e-6,
        init: if dialect.is_flax() { Init::Jax } else { Init::Timm },
        ..ViTConfig::of_variant(Variant { family: Family::Mixer, size: Size::B, patch: 16 })
    })
}

fn check_range(what: &str, value: usize, most: usize) -> Result<(), String> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{what} would be {value}; it can be up to {most}"))
}

/// The tensors, asked for what they tell.
struct Found<'a>(&'a BTreeMap<String, Array>);

impl Found<'_> {
    /// Hidden width of the MLPs.
    fn hidden(&self, width: usize) -> usize {
        self.dimension("blocks.0.mlp.fc2.weight", 0).unwrap_or(4 * width)
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn dimension(&self, name: &str, axis: usize) -> Option<usize> {
        self.0.get(name)?.shape.get(axis).copied()
    }

    /// Layers, which must be numbered without a gap.
    fn depth(&self) -> Result<usize, String> {
        let layers: BTreeSet<usize> = self
            .0
            .keys()
            .filter_map(|name| name.strip_prefix("blocks.")?.split('.').next()?.parse().ok())
            .collect();
        let Some(&last) = layers.last() else {
            return Err("there are no transformer blocks".into());
        };
        check_range("the number of layers", last + 1, MOST_LAYERS)?;
        match (0..=last).find(|layer| !layers.contains(layer)) {
            Some(gap) => Err(format!("layer {gap} of {} is missing", last + 1)),
            None => Ok(last + 1),
        }
    }
}

fn heads(
    found: &Found<'_>,
    width: usize,
    depth: usize,
    shape_heads: Option<usize>,
    settings: &Settings,
    hints: &Hints,
) -> Result<(usize, String), String> {
    let of_norm = found
        .dimension("blocks.0.attn.q_norm.weight", 0)
        .filter(|&head| head > 0 && width.is_multiple_of(head))
        .map(|head| width / head);
    let told = match (shape_heads, of_norm, settings.heads) {
        (Some(heads), _, _) => Some((heads, "by the shape of the projections")),
        (None, Some(heads), _) => Some((heads, "by the width of the queries' norm")),
        (None, None, Some(heads)) => Some((heads, "as config.json says")),
        (None, None, None) => None,
    };
    if let (Some((heads, how)), Some(stated)) = (told, settings.heads)
        && heads != stated
    {
        return Err(format!(
            "config.json says it has {stated} heads, but it has {heads}, {how}: one of the two \
             belongs to another model"
        ));
    }
    match (told, hints.heads) {
        (Some((heads, how)), Some(asked)) if asked != heads => {
            return Err(format!("it has {heads} heads, {how}, and not {asked}"));
        }
        (Some((heads, how)), _) => return Ok((heads, how.into())),
        (None, Some(heads)) => return Ok((heads, "as was asked for".into())),
        (None, None) => {}
    }
    let published = Size::ALL.into_iter().map(Size::dimensions).chain(MORE_SIZES);
    let published = published.into_iter().find(|&(w, d, _)| (w, d) == (width, depth));
    if let Some((_, _, heads)) = published {
        return Ok((
            heads,
            format!("as the published model of width {width} and depth {depth} has"),
        ));
    }
    if width.is_multiple_of(64) {
        return Ok((
            width / 64,
            "as heads are usually 64 wide; the file does not say (`--heads`)".into(),
        ));
    }
    Err(format!(
        "the file does not say the number of heads, and a width of {width} is not a multiple of \
         the usual 64: give it (`--heads`)"
    ))
}

fn activation(dialect: Dialect, settings: &Settings) -> Mlp {
    match settings.mlp {
        Some(mlp) if mlp != Mlp::SwiGlu => mlp,
        _ if dialect.is_flax() => Mlp::GeluTanh,
        _ => Mlp::Gelu,
    }
}

fn pool(
    found: &Found<'_>,
    class_token: bool,
    fc_norm: bool,
    settings: &Settings,
    notes: &mut Vec<String>,
) -> Pool {
    if found.has("attn_pool.latent") {
        return Pool::Map;
    }
    let width = found.dimension("cls_token", 2);
    if width.is_some() && found.dimension("head.weight", 0) == width.map(|width| 2 * width) {
        notes.push("the head reads the class token and the mean of the patches".into());
        return Pool::ClassTokenAndMean;
    }
    if let Some(pool) = settings.pool {
        return pool;
    }
    match (class_token, fc_norm) {
        (false, _) => Pool::Mean,
        (true, true) => {
            notes.push("pooled by the mean, as the norm comes after pooling (`fc_norm`)".into());
            Pool::Mean
        }
        (true, false) => Pool::ClassToken,
    }
}
