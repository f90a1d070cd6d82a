//! A model layer by layer: what it is made of and what each layer costs.

use burn::tensor::Device;
use serde::Serialize;

use crate::{
    Costs, ViT,
    parameters::{ParameterInfo, infos},
};

/// A layer of a model, or several that have no operations of their own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// Its name in the model, as `blocks.3`.
    pub name: String,
    /// Dimensions of what it gives for an image.
    pub output: Vec<usize>,
    /// Trainable values.
    pub parameters: usize,
    /// Floating-point operations of its forward pass of an image: two for each multiplication and addition
    /// of the matrix products.
    pub forward_flops: f64,
    /// Bytes that it keeps of an image for backward, unless it computes them again; known of blocks alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_bytes: Option<f64>,
    /// Its parts, of a block.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// A part of a block.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// Its name in the block, as `attn`.
    pub name: String,
    /// Trainable values.
    pub parameters: usize,
    /// As those of [`Layer::forward_flops`].
    pub forward_flops: f64,
}

/// All layers of a model, in the order of its forward pass. Kept bytes are those on a device, where kernels
/// may keep less.
pub fn layers(model: &ViT, device: &Device) -> Vec<Layer> {
    let (config, parameters) = (model.config(), infos(model));
    let (separate, kept) = (Costs::separate(model), Costs::of(model, device).kept_by_blocks);
    let width = config.width();
    // A model without blocks is refused.
    let first = separate.tokens.first().copied().unwrap_or_default();
    let last = separate.tokens.last().copied().unwrap_or_default();
    let of = |names: &[&str], output: Vec<usize>| {
        let is_of = |info: &&ParameterInfo| {
            let name = info.name.as_str();
            names.iter().any(|part| name == *part || within(name, part))
        };
        let parameters = parameters.iter().filter(is_of).map(ParameterInfo::elements).sum();
        Layer {
            name: names.join(", "),
            output,
            parameters,
            forward_flops: names.iter().fold(0.0, |sum, part| sum + flops_within(&separate, part)),
            kept_bytes: None,
            parts: Vec::new(),
        }
    };
    let mut layers = vec![of(&["patch_embed"], vec![first - config.prefix_tokens(), width])];
    let added: Vec<&str> = ["cls_token", "dist_token", "reg_token", "pos_embed"]
        .into_iter()
        .filter(|name| parameters.iter().any(|info| info.name == *name))
        .collect();
    if !added.is_empty() {
        layers.push(of(&added, vec![first, width]));
    }
    for (index, (&tokens, kept)) in separate.tokens.iter().skip(1).zip(kept).enumerate() {
        let name = format!("blocks.{index}");
        let part = |part: &str| {
            let whole = of(&[&format!("{name}.{part}")], Vec::new());
            let (parameters, forward_flops) = (whole.parameters, whole.forward_flops);
            Part { name: part.into(), parameters, forward_flops }
        };
        let parts = ["attn", "mlp_tokens", "merging", "reorganization", "mlp"].map(part);
        let is_there = |part: &Part| part.parameters > 0 || part.forward_flops > 0.0;
        layers.push(Layer {
            kept_bytes: Some(kept),
            parts: parts.into_iter().filter(is_there).collect(),
            ..of(&[&name], vec![tokens, width])
        });
    }
    let pooled = config.pooled_width();
    let linear = |name: &str, output: usize| {
        // These are under no name of their own.
        let weight = parameters.iter().find(|info| info.name == format!("{name}.weight"));
        let flops = weight.map_or(0.0, |info| 2.0 * info.elements() as f64);
        Layer { forward_flops: flops, ..of(&[name], vec![output]) }
    };
    layers.push(of(&["norm"], vec![last, width]));
    layers.push(of(&["attn_pool"], vec![pooled]));
    layers.push(of(&["fc_norm"], vec![pooled]));
    layers.push(linear("pre_logits", config.representation_size.unwrap_or_default()));
    layers.push(linear("head", config.classes));
    layers.push(linear("head_dist", config.classes));
    layers.retain(|layer| layer.parameters > 0 || layer.forward_flops > 0.0);
    layers
}

/// Floating-point operations of a part and of those in it.
fn flops_within(costs: &Costs, part: &str) -> f64 {
    let own = costs.flops_of.iter().filter(|(name, _)| *name == part || within(name, part));
    // Not `sum`, which is -0 of nothing.
    own.fold(0.0, |sum, (_, flops)| sum + flops)
}

/// Whether a name is one of what is in a part.
fn within(name: &str, part: &str) -> bool {
    name.strip_prefix(part).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use vitral_seed::Seed;

    use super::*;
    use crate::{
        ViTConfig,
        config::{LayerSize, TokenReorganization},
        parameters::count,
        pool::Pool,
        token_merging::TokenMerging,
    };

    fn model(variant: &str, change: fn(&mut ViTConfig)) -> ViT {
        let mut config =
            ViTConfig { classes: 10, ..ViTConfig::of_variant(variant.parse().unwrap()) };
        change(&mut config);
        ViT::new(&config, Seed::new(0), &Device::flex()).unwrap()
    }

    #[test]
    fn nothing_of_a_model_is_in_no_layer_or_in_two() {
        type Change = fn(&mut ViTConfig);
        let cases: [(&str, Change); 9] = [
            ("Ti/16", |_| {}),
            ("Ti/16", |config| {
                config.token_merging = Some(TokenMerging::constant(8));
                config.register_tokens = 4;
            }),
            ("Ti/16", |config| {
                config.token_reorganization = Some(TokenReorganization::keeping(0.7));
            }),
            ("Ti/16", |config| {
                config.pool = Pool::Map;
                config.representation_size = Some(20);
            }),
            ("Ti/16", |config| config.distillation_token = true),
            ("Ti/16", |config| {
                config.pool = Pool::Mean;
                config.fc_norm = true;
            }),
            ("Ti/16", |config| {
                let size = |layer: usize| LayerSize { heads: layer % 3, hidden: 100 * (layer % 4) };
                config.layers = (0..12).map(size).collect();
            }),
            ("Mixer-S/32", |_| {}),
            ("R+ViT-Ti/16", |_| {}),
        ];
        for (variant, change) in cases {
            let model = model(variant, change);
            let layers = layers(&model, &Device::flex());
            let parameters: usize = layers.iter().map(|layer| layer.parameters).sum();
            assert_eq!(parameters, count(&model), "{variant}");
            let flops: f64 = layers.iter().map(|layer| layer.forward_flops).sum();
            assert_eq!(flops, Costs::separate(&model).forward_flops, "{variant}: {layers:#?}");
            for block in layers.iter().filter(|layer| layer.name.starts_with("blocks.")) {
                let parts: f64 = block.parts.iter().map(|part| part.forward_flops).sum();
                assert_eq!(parts, block.forward_flops, "{variant}: {block:?}");
            }
        }
    }

    /// What timm and PyTorch's `FlopCounterMode` say of ViT-Ti/16 with 10 classes.
    #[test]
    fn layers_have_their_sizes() {
        let layers = layers(&model("Ti/16", |_| {}), &Device::flex());
        let of = |name: &str| layers.iter().find(|layer| layer.name == name).unwrap();
        let patches = of("patch_embed");
        assert_eq!((patches.output.as_slice(), patches.parameters), (&[196, 192][..], 147_648));
        assert_eq!(patches.forward_flops, 2.0 * 196.0 * 768.0 * 192.0);
        assert_eq!(of("cls_token, pos_embed").parameters, 192 + 197 * 192);
        assert_eq!((of("blocks.11").parameters, of("blocks.11").parts.len()), (444_864, 2));
        assert_eq!(of("head").output, [10]);
        assert_eq!(layers.len(), 16);
    }
}
