//! Every option of the model, checked with finite differences: along a random direction of each
//! parameter, the loss changes as the gradient says.

use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng as _;
use vitral_model::{
    ViTConfig,
    config::{AttentionKind, LayerAttention, LayerSize},
    layers::Normalization,
    mlp::Mlp,
    pool::Pool,
    position::Position,
    token_merging::{MergeSchedule, TokenMerging},
    token_mixing::TokenMixing,
    token_reorganization::TokenReorganization,
};
use vitral_seed::Seed;
use vitral_train::{
    Learner,
    experiment::TrainConfig,
    loss::{Loss, targets},
    schedule::{Decay, Schedule},
};

use crate::support::{oracle::to_tensors, values};

const SCHEDULE: Schedule = Schedule {
    decay: Decay::Constant,
    peak: 0.0,
    floor: 0.0,
    warmup: 0,
    total: 1,
    start: 0.0,
    decay_from: None,
    interval: 1,
    lag: 0,
    lead: 0,
};

fn base() -> ViTConfig {
    ViTConfig {
        image_size: 8,
        channels: 1,
        classes: 5,
        patch_size: Some(2),
        width: Some(16),
        depth: Some(2),
        heads: Some(2),
        mlp_ratio: 2.0,
        ..ViTConfig::default()
    }
}

fn mixer() -> ViTConfig {
    ViTConfig {
        class_token: false,
        pool: Pool::Mean,
        position: Position::None,
        token_mixing: TokenMixing::Mlp { hidden: Some(12) },
        heads: None,
        ..base()
    }
}

fn uniform(count: usize, seed: Seed) -> Vec<f32> {
    let mut rng = seed.rng();
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn check(name: &str, model: ViTConfig, train: TrainConfig) {
    check_on(8, name, model, train);
}

/// The same on images of another size than the model's.
fn check_on(side: usize, name: &str, model: ViTConfig, train: TrainConfig) {
    let device = Device::flex();
    let seed = Seed::new(7);
    let mut learner = Learner::new(&model, &train, SCHEDULE, seed, &device).unwrap();
    let infos = learner.parameters().to_vec();
    let start: Vec<Vec<f32>> = infos
        .iter()
        .map(|info| {
            // Weights large enough that every parameter matters; norms and scales around one.
            let around =
                if info.name.contains("norm") && info.name.ends_with("weight") { 1.0 } else { 0.0 };
            let values = uniform(info.elements(), seed.named(&info.name));
            values.into_iter().map(|value| around + 0.4 * value).collect()
        })
        .collect();
    let images = uniform(4 * side * side, seed.named("images"));
    let images = Tensor::<4>::from_data(TensorData::new(images, [4, side, side, 1]), &device);
    let targets = targets(&[0, 3, 1, 4], 5, 0.1, &device);
    learner.set_values(to_tensors(&start, &device));
    let gradients: Vec<Vec<f32>> = learner
        .gradients(0, images.clone(), targets.clone())
        .gradients
        .into_iter()
        .map(values)
        .collect();
    let mut loss_at = |index: usize, direction: &[f32], distance: f32| {
        let mut moved = start.clone();
        for (value, direction) in moved[index].iter_mut().zip(direction) {
            *value += distance * direction;
        }
        learner.set_values(to_tensors(&moved, &device));
        f64::from(learner.gradients(0, images.clone(), targets.clone()).loss.into_scalar::<f32>())
    };
    for (index, info) in infos.iter().enumerate() {
        let mut direction = uniform(info.elements(), seed.named("direction").named(&info.name));
        let norm = direction.iter().map(|v| v * v).sum::<f32>().sqrt();
        direction.iter_mut().for_each(|value| *value /= norm);
        let expected: f64 = gradients[index]
            .iter()
            .zip(&direction)
            .map(|(g, d)| f64::from(*g) * f64::from(*d))
            .sum();
        let step = 5e-3;
        let found = (loss_at(index, &direction, step) - loss_at(index, &direction, -step))
            / (2.0 * f64::from(step));
        let tolerance = 3e-4 + 0.01 * expected.abs();
        assert!(
            (found - expected).abs() < tolerance,
            "{name}: {}: the loss changes by {found}, the gradient says {expected}",
            info.name
        );
    }
    let largest =
        gradients.iter().flatten().fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 1e-2, "{name}: gradients are too small to mean anything");
}

#[test]
fn gradients_of_every_model_option_equal_finite_differences() {
    let options: Vec<(&str, ViTConfig)> = vec![
        ("class token", base()),
        ("mean", ViTConfig { pool: Pool::Mean, class_token: false, ..base() }),
        ("mean with fc_norm", ViTConfig { pool: Pool::Mean, fc_norm: true, ..base() }),
        ("map", ViTConfig { pool: Pool::Map, class_token: false, ..base() }),
        ("registers", ViTConfig { register_tokens: 3, ..base() }),
        (
            "registers with positions",
            ViTConfig { register_tokens: 2, register_position: true, ..base() },
        ),
        ("distillation token", ViTConfig { distillation_token: true, ..base() }),
        ("class token and mean", ViTConfig { pool: Pool::ClassTokenAndMean, ..base() }),
        ("no class position", ViTConfig { class_position: false, ..base() }),
        ("sincos2d", ViTConfig { position: Position::SinCos2d, ..base() }),
        ("no position", ViTConfig { position: Position::None, ..base() }),
        (
            "rope",
            ViTConfig { rope: Some(100.0), position: Position::None, register_tokens: 1, ..base() },
        ),
        (
            "rope on registers",
            ViTConfig {
                rope: Some(100.0),
                rope_registers: Some(10.0),
                register_tokens: 4,
                ..base()
            },
        ),
        ("rms norm", ViTConfig { norm: Normalization::RmsNorm, qk_norm: true, ..base() }),
        ("mixer", mixer()),
        ("mixer with layer scale", ViTConfig { layer_scale: Some(0.1), mlp: Mlp::Gelu, ..mixer() }),
        ("mixer with swiglu", ViTConfig { mlp: Mlp::SwiGlu, ..mixer() }),
        ("mixer with noise", ViTConfig { dropout: 0.3, drop_path: 0.5, ..mixer() }),
        ("relative bias", ViTConfig { relative_position_bias: true, ..base() }),
        (
            "relative bias without prefix",
            ViTConfig {
                relative_position_bias: true,
                class_token: false,
                pool: Pool::Mean,
                ..base()
            },
        ),
        ("layer scale", ViTConfig { layer_scale: Some(0.1), ..base() }),
        ("qk norm", ViTConfig { qk_norm: true, ..base() }),
        ("no qkv bias", ViTConfig { qkv_bias: false, ..base() }),
        ("exact gelu", ViTConfig { mlp: Mlp::Gelu, ..base() }),
        ("swiglu", ViTConfig { mlp: Mlp::SwiGlu, ..base() }),
        ("pre-logits", ViTConfig { representation_size: Some(12), ..base() }),
        ("drop path", ViTConfig { drop_path: 0.5, ..base() }),
        ("uniform drop path", ViTConfig { drop_path: 0.5, drop_path_uniform: true, ..base() }),
        ("dropout", ViTConfig { dropout: 0.3, attention_dropout: 0.3, ..base() }),
        ("patch dropout", ViTConfig { patch_dropout: 0.5, ..base() }),
        ("patch dropout with rope", ViTConfig { patch_dropout: 0.5, rope: Some(10.0), ..base() }),
        ("token merging", merging(base(), true)),
        ("token merging without proportional attention", merging(base(), false)),
        (
            "token merging with dropout",
            ViTConfig { attention_dropout: 0.3, ..merging(base(), true) },
        ),
        (
            "token merging with mean and patch dropout",
            ViTConfig { pool: Pool::Mean, patch_dropout: 0.3, ..merging(base(), true) },
        ),
        ("token merging with map", ViTConfig { pool: Pool::Map, ..merging(base(), true) }),
        ("token reorganization", keeping(base(), 0.7, true)),
        ("token reorganization without a fused token", keeping(base(), 0.7, false)),
        (
            "token reorganization with registers, norms, dropout and patch dropout",
            keeping(
                ViTConfig {
                    register_tokens: 2,
                    qk_norm: true,
                    attention_dropout: 0.3,
                    patch_dropout: 0.3,
                    ..base()
                },
                0.5,
                true,
            ),
        ),
        (
            "token reorganization of a pruned model with a distillation token",
            keeping(
                pruned([(1, 20), (2, 7)], ViTConfig { distillation_token: true, ..base() }),
                0.7,
                true,
            ),
        ),
        ("pruned", pruned([(1, 20), (2, 7)], base())),
        (
            "without a branch",
            pruned([(0, 20), (1, 0)], ViTConfig { layer_scale: Some(0.1), ..base() }),
        ),
        (
            "pruned with bias, norms, swiglu and dropout",
            pruned(
                [(1, 9), (0, 5)],
                ViTConfig {
                    relative_position_bias: true,
                    qk_norm: true,
                    mlp: Mlp::SwiGlu,
                    dropout: 0.3,
                    ..base()
                },
            ),
        ),
        ("pruned with rope", pruned([(1, 9), (0, 0)], ViTConfig { rope: Some(100.0), ..base() })),
        (
            "attention by layer",
            ViTConfig {
                attention: vec![LayerAttention {
                    layers: (1, 1),
                    attention: AttentionKind::Softmax { heads: Some(4), qk_norm: Some(true) },
                }],
                rope: Some(100.0),
                ..base()
            },
        ),
    ];
    for (name, model) in options {
        check(name, model, TrainConfig::default());
    }
}

fn merging(model: ViTConfig, proportional_attention: bool) -> ViTConfig {
    let r = MergeSchedule::Layers(vec![3, 2]);
    ViTConfig { token_merging: Some(TokenMerging { r, proportional_attention }), ..model }
}

fn keeping(model: ViTConfig, keep: f64, fuse: bool) -> ViTConfig {
    let asked = TokenReorganization { keep, layers: Some(vec![0, 1]), fuse };
    ViTConfig { token_reorganization: Some(asked), ..model }
}

fn pruned(layers: [(usize, usize); 2], model: ViTConfig) -> ViTConfig {
    let layers = layers.map(|(heads, hidden)| LayerSize { heads, hidden }).to_vec();
    ViTConfig { layers, ..model }
}

/// Positions of the model's size learn from images of another one, through their resizing.
#[test]
fn gradients_through_resized_positions_equal_finite_differences() {
    let options = [
        ("learned", base()),
        ("learned, with registers", ViTConfig { register_tokens: 2, ..base() }),
        (
            "learned, with registers that have positions",
            ViTConfig { register_tokens: 2, register_position: true, ..base() },
        ),
        ("sincos2d", ViTConfig { position: Position::SinCos2d, ..base() }),
        ("rope", ViTConfig { rope: Some(100.0), ..base() }),
        ("patch dropout with rope", ViTConfig { patch_dropout: 0.3, rope: Some(10.0), ..base() }),
    ];
    for (name, model) in options {
        for side in [6, 4] {
            check_on(side, &format!("{name} at {side} px"), model.clone(), TrainConfig::default());
        }
    }
}

#[test]
fn gradients_of_every_loss_equal_finite_differences() {
    let sigmoid = TrainConfig { loss: Loss::Sigmoid, ..TrainConfig::default() };
    check("sigmoid", base(), sigmoid);
    let mut mixed = TrainConfig::default();
    mixed.mix.mixup = 0.8;
    mixed.mix.cutmix = 1.0;
    check("mixup and cutmix", base(), mixed.clone());
    mixed.loss = Loss::SigmoidMean;
    check("mean of sigmoids", base(), mixed.clone());
    mixed.target_threshold = Some(0.3);
    check("mean of sigmoids with whole targets", base(), mixed);
}
