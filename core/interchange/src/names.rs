//! Whose names are whose: one table for each dialect, read in both directions.

use crate::layout::Layout;

/// One of our parameters in a file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// Our name, `{}` standing for the layer.
    pub ours: &'static str,
    /// The file's name, or several whose tensors are joined along our last dimension.
    pub theirs: Vec<String>,
    /// How the file lays each of them out.
    pub layout: Layout,
}

/// Whose names a file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// google-research/vision_transformer as its code is now.
    Flax,
    /// google-research/vision_transformer's published checkpoints.
    Published,
    /// google-research/vision_transformer's MLP-Mixers, published and current.
    Mixer,
    /// google-research/big_vision.
    BigVision,
    /// timm's `mixer_*`.
    TimmMixer,
    /// timm: `vit_*`, `deit_*`, `deit3_*`.
    Timm,
    /// Hugging Face's `ViTModel` and `ViTForImageClassification`.
    HuggingFaceVit,
    /// Hugging Face's `Dinov2Model`, with and without registers.
    HuggingFaceDinov2,
}

impl Dialect {
    /// All of them, in the order in which a file is compared with them.
    pub const ALL: [Self; 8] = [
        Self::BigVision,
        Self::Flax,
        Self::Published,
        Self::Mixer,
        Self::Timm,
        Self::TimmMixer,
        Self::HuggingFaceVit,
        Self::HuggingFaceDinov2,
    ];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flax => "google-research/vision_transformer, current names",
            Self::Published => "google-research/vision_transformer, published names",
            Self::Mixer => "google-research/vision_transformer's MLP-Mixer",
            Self::BigVision => "big_vision",
            Self::Timm => "timm",
            Self::TimmMixer => "timm's MLP-Mixer",
            Self::HuggingFaceVit => "Hugging Face ViT",
            Self::HuggingFaceDinov2 => "Hugging Face DINOv2",
        }
    }

    /// Whether its code is JAX's: GELU is then the tanh form unless the file says otherwise.
    pub(crate) const fn is_flax(self) -> bool {
        matches!(self, Self::Flax | Self::Published | Self::Mixer | Self::BigVision)
    }

    /// A name that no other dialect has, and another that must be there with it, if it is not enough.
    pub(crate) const fn mark(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Flax => {
                ("Transformer/encoderblock_0/MultiHeadDotProductAttention_0/query/kernel", None)
            }
            // Of big_vision only the position's name is special.
            Self::BigVision => (
                "Transformer/encoderblock_0/MultiHeadDotProductAttention_0/query/kernel",
                Some("pos_embedding"),
            ),
            Self::Published => {
                ("Transformer/encoderblock_0/MultiHeadDotProductAttention_1/query/kernel", None)
            }
            Self::Mixer => ("MixerBlock_0/token_mixing/Dense_0/kernel", None),
            Self::Timm => ("blocks.0.attn.proj.weight", None),
            Self::TimmMixer => ("blocks.0.mlp_tokens.fc1.weight", None),
            Self::HuggingFaceVit => ("encoder.layer.0.layernorm_before.weight", None),
            Self::HuggingFaceDinov2 => ("encoder.layer.0.norm1.weight", None),
        }
    }

    /// Names that the model does not compute with, and why.
    pub(crate) const fn unused(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::HuggingFaceVit | Self::HuggingFaceDinov2 => {
                &[("embeddings.mask_token", "only masked pre-training uses it")]
            }
            _ => &[],
        }
    }

    /// Its table.
    pub(crate) fn entries(self) -> Vec<Entry> {
        match self {
            Self::Flax => flax(&CURRENT),
            Self::Published => flax(&PUBLISHED),
            Self::BigVision => flax(&BIG_VISION),
            Self::Mixer => mixer(),
            Self::Timm => timm(),
            Self::TimmMixer => timm_mixer(),
            Self::HuggingFaceVit => hugging_face_vit(),
            Self::HuggingFaceDinov2 => hugging_face_dinov2(),
        }
    }
}

fn entry(ours: &'static str, theirs: &str, layout: Layout) -> Entry {
    Entry { ours, theirs: vec![theirs.into()], layout }
}

fn joined(ours: &'static str, theirs: &[String], layout: Layout) -> Entry {
    Entry { ours, theirs: theirs.to_vec(), layout }
}

/// What differs between the dialects of Flax.
struct FlaxNames {
    positions: &'static str,
    norm2: &'static str,
    attention: &'static str,
    mlp: &'static str,
}

const CURRENT: FlaxNames = FlaxNames {
    positions: "Transformer/posembed_input/pos_embedding",
    norm2: "LayerNorm_1",
    attention: "MultiHeadDotProductAttention_0",
    mlp: "MlpBlock_0",
};

const PUBLISHED: FlaxNames = FlaxNames {
    positions: "Transformer/posembed_input/pos_embedding",
    norm2: "LayerNorm_2",
    attention: "MultiHeadDotProductAttention_1",
    mlp: "MlpBlock_3",
};

const BIG_VISION: FlaxNames = FlaxNames { positions: "pos_embedding", ..CURRENT };

fn flax(names: &FlaxNames) -> Vec<Entry> {
    use Layout::{FlaxConvolution, FromHeads, HeadsBias, Same, ToHeads};
    let mut entries = resnet();
    let block = |name: &str| format!("Transformer/encoderblock_{{}}/{name}");
    let attention = |name: &str| block(&format!("{}/{name}", names.attention));
    let qkv =
        |part: &str| ["query", "key", "value"].map(|name| attention(&format!("{name}/{part}")));
    let mlp = |name: &str| block(&format!("{}/{name}", names.mlp));
    let pool = |name: &str| format!("MAPHead_0/{name}");
    let pool_attention = |name: &str| pool(&format!("MultiHeadDotProductAttention_0/{name}"));
    let kv = |part: &str| ["key", "value"].map(|name| pool_attention(&format!("{name}/{part}")));
    let norm2 = |part: &str| block(&format!("{}/{part}", names.norm2));
    entries.extend([
        entry("patch_embed.proj.weight", "embedding/kernel", FlaxConvolution),
        entry("patch_embed.proj.bias", "embedding/bias", Same),
        entry("cls_token", "cls", Same),
        entry("pos_embed", names.positions, Same),
        entry("blocks.{}.norm1.weight", &block("LayerNorm_0/scale"), Same),
        entry("blocks.{}.norm1.bias", &block("LayerNorm_0/bias"), Same),
        joined("blocks.{}.attn.qkv.weight", &qkv("kernel"), ToHeads),
        joined("blocks.{}.attn.qkv.bias", &qkv("bias"), HeadsBias),
        entry("blocks.{}.attn.proj.weight", &attention("out/kernel"), FromHeads),
        entry("blocks.{}.attn.proj.bias", &attention("out/bias"), Same),
        entry("blocks.{}.norm2.weight", &norm2("scale"), Same),
        entry("blocks.{}.norm2.bias", &norm2("bias"), Same),
        entry("blocks.{}.mlp.fc1.weight", &mlp("Dense_0/kernel"), Same),
        entry("blocks.{}.mlp.fc1.bias", &mlp("Dense_0/bias"), Same),
        entry("blocks.{}.mlp.fc2.weight", &mlp("Dense_1/kernel"), Same),
        entry("blocks.{}.mlp.fc2.bias", &mlp("Dense_1/bias"), Same),
        entry("norm.weight", "Transformer/encoder_norm/scale", Same),
        entry("norm.bias", "Transformer/encoder_norm/bias", Same),
        entry("attn_pool.latent", &pool("probe"), Same),
        entry("attn_pool.q.weight", &pool_attention("query/kernel"), ToHeads),
        entry("attn_pool.q.bias", &pool_attention("query/bias"), HeadsBias),
        joined("attn_pool.kv.weight", &kv("kernel"), ToHeads),
        joined("attn_pool.kv.bias", &kv("bias"), HeadsBias),
        entry("attn_pool.proj.weight", &pool_attention("out/kernel"), FromHeads),
        entry("attn_pool.proj.bias", &pool_attention("out/bias"), Same),
        entry("attn_pool.norm.weight", &pool("LayerNorm_0/scale"), Same),
        entry("attn_pool.norm.bias", &pool("LayerNorm_0/bias"), Same),
        entry("attn_pool.mlp.fc1.weight", &pool("MlpBlock_0/Dense_0/kernel"), Same),
        entry("attn_pool.mlp.fc1.bias", &pool("MlpBlock_0/Dense_0/bias"), Same),
        entry("attn_pool.mlp.fc2.weight", &pool("MlpBlock_0/Dense_1/kernel"), Same),
        entry("attn_pool.mlp.fc2.bias", &pool("MlpBlock_0/Dense_1/bias"), Same),
        entry("pre_logits.weight", "pre_logits/kernel", Same),
        entry("pre_logits.bias", "pre_logits/bias", Same),
        entry("head.weight", "head/kernel", Same),
        entry("head.bias", "head/bias", Same),
    ]);
    entries
}

/// The ResNet of hybrids; `{}` stands for stage and unit.
fn resnet() -> Vec<Entry> {
    use Layout::{FlaxGroupNorm, FlaxKernel};
    let mut entries = Vec::new();
    let mut layer = |ours: [&'static str; 3], conv: &str, norm: &str| {
        entries.push(entry(ours[0], &format!("{conv}/kernel"), FlaxKernel));
        entries.push(entry(ours[1], &format!("{norm}/scale"), FlaxGroupNorm));
        entries.push(entry(ours[2], &format!("{norm}/bias"), FlaxGroupNorm));
    };
    macro_rules! ours {
        ($conv:literal, $norm:literal) => {
            [
                concat!("patch_embed.backbone.", $conv, ".weight"),
                concat!("patch_embed.backbone.", $norm, ".weight"),
                concat!("patch_embed.backbone.", $norm, ".bias"),
            ]
        };
    }
    layer(ours!("stem.conv", "stem.norm"), "conv_root", "gn_root");
    layer(
        ours!("stages.{}.downsample.conv", "stages.{}.downsample.norm"),
        "block{}/conv_proj",
        "block{}/gn_proj",
    );
    layer(ours!("stages.{}.conv1", "stages.{}.norm1"), "block{}/conv1", "block{}/gn1");
    layer(ours!("stages.{}.conv2", "stages.{}.norm2"), "block{}/conv2", "block{}/gn2");
    layer(ours!("stages.{}.conv3", "stages.{}.norm3"), "block{}/conv3", "block{}/gn3");
    entries
}

fn mixer() -> Vec<Entry> {
    use Layout::{FlaxConvolution, Same};
    let block = |name: &str| format!("MixerBlock_{{}}/{name}");
    vec![
        entry("patch_embed.proj.weight", "stem/kernel", FlaxConvolution),
        entry("patch_embed.proj.bias", "stem/bias", Same),
        entry("blocks.{}.norm1.weight", &block("LayerNorm_0/scale"), Same),
        entry("blocks.{}.norm1.bias", &block("LayerNorm_0/bias"), Same),
        entry("blocks.{}.mlp_tokens.fc1.weight", &block("token_mixing/Dense_0/kernel"), Same),
        entry("blocks.{}.mlp_tokens.fc1.bias", &block("token_mixing/Dense_0/bias"), Same),
        entry("blocks.{}.mlp_tokens.fc2.weight", &block("token_mixing/Dense_1/kernel"), Same),
        entry("blocks.{}.mlp_tokens.fc2.bias", &block("token_mixing/Dense_1/bias"), Same),
        entry("blocks.{}.norm2.weight", &block("LayerNorm_1/scale"), Same),
        entry("blocks.{}.norm2.bias", &block("LayerNorm_1/bias"), Same),
        entry("blocks.{}.mlp.fc1.weight", &block("channel_mixing/Dense_0/kernel"), Same),
        entry("blocks.{}.mlp.fc1.bias", &block("channel_mixing/Dense_0/bias"), Same),
        entry("blocks.{}.mlp.fc2.weight", &block("channel_mixing/Dense_1/kernel"), Same),
        entry("blocks.{}.mlp.fc2.bias", &block("channel_mixing/Dense_1/bias"), Same),
        entry("norm.weight", "pre_head_layer_norm/scale", Same),
        entry("norm.bias", "pre_head_layer_norm/bias", Same),
        entry("head.weight", "head/kernel", Same),
        entry("head.bias", "head/bias", Same),
    ]
}

fn timm_mixer() -> Vec<Entry> {
    use Layout::{Convolution, Linear, Same};
    let mut entries = vec![
        entry("patch_embed.proj.weight", "stem.proj.weight", Convolution),
        entry("patch_embed.proj.bias", "stem.proj.bias", Same),
        entry("norm.weight", "norm.weight", Same),
        entry("norm.bias", "norm.bias", Same),
        entry("head.weight", "head.weight", Linear),
        entry("head.bias", "head.bias", Same),
    ];
    for norm in ["blocks.{}.norm1.weight", "blocks.{}.norm1.bias", "blocks.{}.norm2.weight"] {
        entries.push(entry(norm, norm, Same));
    }
    entries.push(entry("blocks.{}.norm2.bias", "blocks.{}.norm2.bias", Same));
    for (weight, bias, theirs) in [
        ("blocks.{}.mlp_tokens.fc1.weight", "blocks.{}.mlp_tokens.fc1.bias", "mlp_tokens.fc1"),
        ("blocks.{}.mlp_tokens.fc2.weight", "blocks.{}.mlp_tokens.fc2.bias", "mlp_tokens.fc2"),
        ("blocks.{}.mlp.fc1.weight", "blocks.{}.mlp.fc1.bias", "mlp_channels.fc1"),
        ("blocks.{}.mlp.fc2.weight", "blocks.{}.mlp.fc2.bias", "mlp_channels.fc2"),
    ] {
        entries.push(entry(weight, &format!("blocks.{{}}.{theirs}.weight"), Linear));
        entries.push(entry(bias, &format!("blocks.{{}}.{theirs}.bias"), Same));
    }
    entries
}

/// timm's names are ours.
fn timm() -> Vec<Entry> {
    use Layout::{Convolution, Linear, Same};
    let same = |names: &[&'static str]| -> Vec<Entry> {
        names.iter().map(|name| entry(name, name, Same)).collect()
    };
    let linear = |names: &[&'static str]| -> Vec<Entry> {
        names.iter().map(|name| entry(name, name, Linear)).collect()
    };
    let mut entries =
        vec![entry("patch_embed.proj.weight", "patch_embed.proj.weight", Convolution)];
    entries.extend(linear(&[
        "blocks.{}.attn.qkv.weight",
        "blocks.{}.attn.proj.weight",
        "blocks.{}.mlp.fc1.weight",
        "blocks.{}.mlp.fc2.weight",
        "attn_pool.q.weight",
        "attn_pool.kv.weight",
        "attn_pool.proj.weight",
        "attn_pool.mlp.fc1.weight",
        "attn_pool.mlp.fc2.weight",
        "head.weight",
        "head_dist.weight",
    ]));
    entries.extend(same(&[
        "patch_embed.proj.bias",
        "cls_token",
        "dist_token",
        "reg_token",
        "pos_embed",
        "blocks.{}.norm1.weight",
        "blocks.{}.norm1.bias",
        "blocks.{}.attn.qkv.bias",
        "blocks.{}.attn.q_norm.weight",
        "blocks.{}.attn.q_norm.bias",
        "blocks.{}.attn.k_norm.weight",
        "blocks.{}.attn.k_norm.bias",
        "blocks.{}.attn.proj.bias",
        "blocks.{}.ls1.gamma",
        "blocks.{}.norm2.weight",
        "blocks.{}.norm2.bias",
        "blocks.{}.mlp.fc1.bias",
        "blocks.{}.mlp.fc2.bias",
        "blocks.{}.ls2.gamma",
        "norm.weight",
        "norm.bias",
        "attn_pool.latent",
        "attn_pool.q.bias",
        "attn_pool.kv.bias",
        "attn_pool.proj.bias",
        "attn_pool.norm.weight",
        "attn_pool.norm.bias",
        "attn_pool.mlp.fc1.bias",
        "attn_pool.mlp.fc2.bias",
        "fc_norm.weight",
        "fc_norm.bias",
        "head.bias",
        "head_dist.bias",
    ]));
    entries
}

/// What both of Hugging Face's models have.
fn hugging_face(mlp1: &str, mlp2: &str, norms: [&str; 2]) -> Vec<Entry> {
    use Layout::{Convolution, Linear, Same};
    let block = |name: &str| format!("encoder.layer.{{}}.{name}");
    let qkv = |part: &str| {
        ["query", "key", "value"].map(|name| block(&format!("attention.attention.{name}.{part}")))
    };
    let patches = "embeddings.patch_embeddings.projection";
    let mut entries = vec![
        entry("patch_embed.proj.weight", &format!("{patches}.weight"), Convolution),
        entry("patch_embed.proj.bias", &format!("{patches}.bias"), Same),
        entry("cls_token", "embeddings.cls_token", Same),
        entry("pos_embed", "embeddings.position_embeddings", Same),
        joined("blocks.{}.attn.qkv.weight", &qkv("weight"), Linear),
        joined("blocks.{}.attn.qkv.bias", &qkv("bias"), Same),
        entry("norm.weight", "layernorm.weight", Same),
        entry("norm.bias", "layernorm.bias", Same),
        entry("head.weight", "classifier.weight", Linear),
        entry("head.bias", "classifier.bias", Same),
    ];
    for (ours, theirs) in [
        (["blocks.{}.attn.proj.weight", "blocks.{}.attn.proj.bias"], "attention.output.dense"),
        (["blocks.{}.mlp.fc1.weight", "blocks.{}.mlp.fc1.bias"], mlp1),
        (["blocks.{}.mlp.fc2.weight", "blocks.{}.mlp.fc2.bias"], mlp2),
    ] {
        entries.push(entry(ours[0], &block(&format!("{theirs}.weight")), Linear));
        entries.push(entry(ours[1], &block(&format!("{theirs}.bias")), Same));
    }
    for (ours, theirs) in [
        (["blocks.{}.norm1.weight", "blocks.{}.norm1.bias"], norms[0]),
        (["blocks.{}.norm2.weight", "blocks.{}.norm2.bias"], norms[1]),
    ] {
        entries.push(entry(ours[0], &block(&format!("{theirs}.weight")), Same));
        entries.push(entry(ours[1], &block(&format!("{theirs}.bias")), Same));
    }
    entries
}

fn hugging_face_vit() -> Vec<Entry> {
    let mut entries =
        hugging_face("intermediate.dense", "output.dense", ["layernorm_before", "layernorm_after"]);
    // ViTModel's pooler, which is vit_jax's pre-logits layer.
    entries.push(entry("pre_logits.weight", "pooler.dense.weight", Layout::Linear));
    entries.push(entry("pre_logits.bias", "pooler.dense.bias", Layout::Same));
    entries
}

fn hugging_face_dinov2() -> Vec<Entry> {
    let mut entries = hugging_face("mlp.fc1", "mlp.fc2", ["norm1", "norm2"]);
    let block = |name: &str| format!("encoder.layer.{{}}.{name}");
    entries.push(entry("reg_token", "embeddings.register_tokens", Layout::Same));
    entries.push(entry("blocks.{}.ls1.gamma", &block("layer_scale1.lambda1"), Layout::Same));
    entries.push(entry("blocks.{}.ls2.gamma", &block("layer_scale2.lambda1"), Layout::Same));
    for (ours, theirs, layout) in [
        ("blocks.{}.mlp.fc1.weight", "mlp.weights_in.weight", Layout::Linear),
        ("blocks.{}.mlp.fc1.bias", "mlp.weights_in.bias", Layout::Same),
        ("blocks.{}.mlp.fc2.weight", "mlp.weights_out.weight", Layout::Linear),
        ("blocks.{}.mlp.fc2.bias", "mlp.weights_out.bias", Layout::Same),
    ] {
        // The names of its SwiGLU.
        entries.push(entry(ours, &block(theirs), layout));
    }
    entries
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_of_a_dialect_means_two_things() {
        for dialect in Dialect::ALL {
            let entries = dialect.entries();
            let names: Vec<&String> = entries.iter().flat_map(|entry| &entry.theirs).collect();
            let distinct: HashSet<&&String> = names.iter().collect();
            assert_eq!(names.len(), distinct.len(), "{dialect:?}");
        }
    }
}
