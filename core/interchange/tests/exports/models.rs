//! Small models with every option, and weights that all matter.

use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng as _;
use vitral_model::{
    AttentionPrograms, ViT, ViTConfig,
    config::{AttentionKind, LayerAttention, LayerSize},
    layers::Normalization,
    mlp::Mlp,
    parameters,
    pool::Pool,
    position::Position,
    resnet::Stem,
    token_merging::{MergeSchedule, TokenMerging},
    token_reorganization::TokenReorganization,
};
use vitral_seed::Seed;

pub fn base() -> ViTConfig {
    ViTConfig {
        image_size: 12,
        channels: 3,
        classes: 5,
        patch_size: Some(3),
        width: Some(16),
        depth: Some(2),
        heads: Some(2),
        mlp_ratio: 2.0,
        ..ViTConfig::default()
    }
}

fn merging(model: ViTConfig, proportional_attention: bool) -> ViTConfig {
    let r = MergeSchedule::Layers(vec![8, 3]);
    ViTConfig { token_merging: Some(TokenMerging { r, proportional_attention }), ..model }
}

/// The layers keep a share of their patches.
fn keeping(model: ViTConfig, keep: f64, fuse: bool) -> ViTConfig {
    let asked = TokenReorganization { keep, layers: Some(vec![0, 1]), fuse };
    ViTConfig { token_reorganization: Some(asked), ..model }
}

/// A model with weights that all matter.
pub fn model(config: &ViTConfig, programs: &AttentionPrograms) -> ViT {
    let (device, seed) = (Device::flex(), Seed::new(3));
    let model = ViT::with_programs(config, programs, seed, &device).unwrap();
    let values = parameters::infos(&model)
        .into_iter()
        .map(|info| {
            let mut rng = seed.named(&info.name).rng();
            let around = if info.name.ends_with("norm.weight") { 1.0 } else { 0.0 };
            let count = info.shape.iter().product::<usize>();
            let values: Vec<f32> =
                (0..count).map(|_| around + rng.random_range(-0.4..0.4)).collect();
            Tensor::from_floats(&values[..], &device)
        })
        .collect();
    parameters::with_values(model, values)
}

pub fn images(config: &ViTConfig, batch: usize, range: std::ops::Range<f32>) -> Tensor<4> {
    images_of(config.image_size, config, batch, range)
}

/// Images of a size that need not be the model's.
pub fn images_of(
    side: usize,
    config: &ViTConfig,
    batch: usize,
    range: std::ops::Range<f32>,
) -> Tensor<4> {
    let mut rng = Seed::new(9).indexed(batch as u64).rng();
    let shape = [batch, side, side, config.channels];
    let values: Vec<f32> =
        (0..shape.iter().product()).map(|_| rng.random_range(range.clone())).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn mixer() -> ViTConfig {
    let sizes = base();
    ViTConfig {
        image_size: sizes.image_size,
        classes: sizes.classes,
        patch_size: sizes.patch_size,
        width: sizes.width,
        depth: sizes.depth,
        ..ViTConfig::of_variant("Mixer-S/16".parse().unwrap())
    }
}

fn hybrid(layers: &[usize], patch: usize) -> ViTConfig {
    ViTConfig {
        image_size: 32,
        patch_size: Some(patch),
        stem: Stem::ResNet { layers: layers.to_vec(), width: 32 },
        ..base()
    }
}

/// A model with so many heads and hidden neurons left in its layers.
fn pruned(layers: [(usize, usize); 2], model: ViTConfig) -> ViTConfig {
    let layers = layers.map(|(heads, hidden)| LayerSize { heads, hidden }).to_vec();
    ViTConfig { layers, ..model }
}

/// A model for every option.
pub fn options() -> Vec<(&'static str, ViTConfig)> {
    let attention = LayerAttention {
        layers: (1, 1),
        attention: AttentionKind::Softmax { heads: Some(4), qk_norm: Some(true) },
    };
    let rope = ViTConfig { rope: Some(100.0), position: Position::None, ..base() };
    vec![
        ("class token", base()),
        ("patches alone with positions", ViTConfig { class_position: false, ..base() }),
        ("grey", ViTConfig { channels: 1, ..base() }),
        ("mean", ViTConfig { pool: Pool::Mean, class_token: false, ..base() }),
        ("mean with fc_norm", ViTConfig { pool: Pool::Mean, fc_norm: true, ..base() }),
        ("map", ViTConfig { pool: Pool::Map, class_token: false, ..base() }),
        ("registers", ViTConfig { register_tokens: 3, ..base() }),
        (
            "registers with positions",
            ViTConfig { register_tokens: 3, register_position: true, ..base() },
        ),
        ("distillation token", ViTConfig { distillation_token: true, ..base() }),
        ("class token and mean", ViTConfig { pool: Pool::ClassTokenAndMean, ..base() }),
        ("sincos2d", ViTConfig { position: Position::SinCos2d, ..base() }),
        ("rope", ViTConfig { register_tokens: 1, ..rope.clone() }),
        (
            "rope on registers",
            ViTConfig { register_tokens: 4, rope_registers: Some(10.0), ..rope.clone() },
        ),
        ("rms norm", ViTConfig { norm: Normalization::RmsNorm, qk_norm: true, ..base() }),
        ("mixer", mixer()),
        ("hybrid", hybrid(&[2, 1], 1)),
        ("root of a hybrid", hybrid(&[], 4)),
        ("mixer with swiglu", ViTConfig { mlp: Mlp::SwiGlu, layer_scale: Some(0.1), ..mixer() }),
        ("relative bias", ViTConfig { relative_position_bias: true, ..base() }),
        ("layer scale", ViTConfig { layer_scale: Some(0.1), ..base() }),
        ("qk norm", ViTConfig { qk_norm: true, ..base() }),
        ("no qkv bias", ViTConfig { qkv_bias: false, ..base() }),
        ("exact gelu", ViTConfig { mlp: Mlp::Gelu, ..base() }),
        ("swiglu", ViTConfig { mlp: Mlp::SwiGlu, ..base() }),
        ("pre-logits", ViTConfig { representation_size: Some(12), ..base() }),
        (
            "noise of training",
            ViTConfig { dropout: 0.3, drop_path: 0.5, drop_path_uniform: true, ..base() },
        ),
        ("token merging", merging(base(), true)),
        ("token merging without proportional attention", merging(base(), false)),
        (
            "token merging with mean",
            merging(ViTConfig { pool: Pool::Mean, class_token: false, ..base() }, true),
        ),
        ("token merging with map", merging(ViTConfig { pool: Pool::Map, ..base() }, true)),
        ("token reorganization", keeping(base(), 0.7, true)),
        (
            "token reorganization of normalised queries, without a fused token",
            keeping(ViTConfig { qk_norm: true, register_tokens: 2, ..base() }, 0.5, false),
        ),
        (
            "token reorganization of a pruned model",
            pruned([(1, 20), (2, 32)], keeping(base(), 0.6, true)),
        ),
        ("pruned", pruned([(1, 20), (2, 32)], base())),
        (
            "without a branch",
            pruned([(0, 20), (1, 0)], ViTConfig { layer_scale: Some(0.1), ..base() }),
        ),
        (
            "pruned with rope, bias, norms and swiglu",
            pruned(
                [(1, 9), (0, 0)],
                ViTConfig {
                    relative_position_bias: true,
                    qk_norm: true,
                    mlp: Mlp::SwiGlu,
                    ..rope.clone()
                },
            ),
        ),
        ("attention by layer", ViTConfig { attention: vec![attention], ..rope }),
    ]
}
