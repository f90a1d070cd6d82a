use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng as _;
use vitral_seed::Seed;

use super::{TokenReorganization, class_attention, reorganize};
use crate::{
    Compute, Costs, Mode, ViT, ViTConfig,
    config::{AttentionKind, LayerAttention},
    eager::Eager,
    parameters,
    pool::Pool,
    token_merging::TokenMerging,
};

fn uniform(count: usize, name: &str) -> Vec<f32> {
    let mut rng = Seed::new(5).named(name).rng();
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn config(asked: Option<TokenReorganization>) -> ViTConfig {
    ViTConfig {
        image_size: 12,
        channels: 1,
        classes: 3,
        patch_size: Some(2),
        width: Some(16),
        depth: Some(3),
        heads: Some(2),
        mlp_ratio: 2.0,
        token_reorganization: asked,
        ..ViTConfig::default()
    }
}

fn in_layers(keep: f64, layers: &[usize]) -> Option<TokenReorganization> {
    Some(TokenReorganization {
        layers: Some(layers.to_vec()),
        ..TokenReorganization::keeping(keep)
    })
}

fn model(config: &ViTConfig) -> ViT {
    let model = ViT::new(config, Seed::new(1), &Device::flex()).unwrap();
    let values = parameters::infos(&model)
        .iter()
        .map(|info| {
            let is_scale = info.name.contains("norm") && info.name.ends_with("weight");
            let around = if is_scale { 1.0 } else { 0.0 };
            let values = uniform(info.elements(), &info.name);
            let values: Vec<f32> = values.into_iter().map(|value| around + 0.4 * value).collect();
            Tensor::from_data(TensorData::new(values, [info.elements()]), &Device::flex())
        })
        .collect();
    parameters::with_values(model, values)
}

fn images(batch: usize) -> Tensor<4> {
    let values = uniform(batch * 144, "images");
    Tensor::from_data(TensorData::new(values, [batch, 12, 12, 1]), &Device::flex())
}

/// The authors' `Attention` and `Block` (evit.py) on plain lists, one sample: tokens `[count][width]` by
/// queries and keys `[head][count][head_dim]`.
fn reference(
    tokens: &[Vec<f64>],
    [queries, keys]: [&[Vec<Vec<f64>>]; 2],
    (prefix, keep, fuse): (usize, f64, bool),
) -> Vec<Vec<f64>> {
    let (count, patches) = (tokens.len(), tokens.len() - prefix);
    let mut attention = vec![0.0; count];
    for (queries, keys) in queries.iter().zip(keys) {
        let scale = (queries[0].len() as f64).sqrt();
        let dot = |key: &Vec<f64>| queries[0].iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
        let exponents: Vec<f64> = keys.iter().map(|key| (dot(key) / scale).exp()).collect();
        let sum: f64 = exponents.iter().sum();
        for (attention, exponent) in attention.iter_mut().zip(exponents) {
            *attention += exponent / sum / 2.0;
        }
    }
    let mut order: Vec<usize> = (prefix..count).collect();
    order.sort_by(|&one, &other| attention[other].partial_cmp(&attention[one]).unwrap());
    let (stay, go) = order.split_at((keep * patches as f64).ceil() as usize);
    let mut out: Vec<Vec<f64>> =
        (0..prefix).chain(stay.iter().copied()).map(|at| tokens[at].clone()).collect();
    if fuse {
        let sum = |channel: usize| go.iter().map(|&at| attention[at] * tokens[at][channel]).sum();
        out.push((0..tokens[0].len()).map(sum).collect());
    }
    out
}

/// `[rows][width]` of a row of values.
fn rows(values: &[f32], width: usize) -> Vec<Vec<f64>> {
    let row = |row: &[f32]| row.iter().map(|&value| f64::from(value)).collect();
    values.chunks(width).map(row).collect()
}

#[test]
fn tokens_are_reorganized_as_the_authors_do() {
    let (batch, heads, head_dim, width) = (3, 2, 4, 5);
    for (registers, patches, keep, fuse) in
        [(0, 12, 0.7, true), (3, 13, 0.5, true), (1, 9, 0.7, false), (0, 10, 0.01, true)]
    {
        let asked = TokenReorganization { keep, layers: Some(vec![0]), fuse };
        let kept = ViTConfig { register_tokens: registers, ..config(Some(asked)) }.kept_of(0);
        let prefix = 1 + registers;
        let count = prefix + patches;
        let mut ops = Eager::new(batch, &Device::flex(), Compute::F32);
        let [queries, keys] = ["queries", "keys"].map(|name| {
            uniform(batch * heads * count * head_dim, name)
                .iter()
                .map(|value| 3.0 * value)
                .collect::<Vec<_>>()
        });
        let values = uniform(batch * count * width, "tokens");
        let [q, k] = [&queries, &keys].map(|values| {
            let data = TensorData::new(values.clone(), [batch, heads, count, head_dim]);
            ops.batched(Tensor::<4>::from_data(data, &Device::flex()))
        });
        let data = TensorData::new(values.clone(), [batch, count, width]);
        let tokens = ops.batched(Tensor::<3>::from_data(data, &Device::flex()));
        let attention = class_attention(&mut ops, [q, k]);
        let found = reorganize(&mut ops, tokens, attention, kept.unwrap());
        let found = Eager::values::<3>(found);
        let found: Vec<f32> = found.try_into_vec_as().unwrap();
        let mut expected = Vec::new();
        for sample in 0..batch {
            let of_heads = |values: &[f32]| -> Vec<Vec<Vec<f64>>> {
                let values = &values[sample * heads * count * head_dim..];
                values
                    .chunks(count * head_dim)
                    .take(heads)
                    .map(|head| rows(head, head_dim))
                    .collect()
            };
            let tokens = rows(&values[sample * count * width..][..count * width], width);
            let (queries, keys) = (of_heads(&queries), of_heads(&keys));
            expected.extend(reference(&tokens, [&queries, &keys], (prefix, keep, fuse)).concat());
        }
        assert_eq!(found.len(), expected.len(), "{registers}, {patches}, {keep}");
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{registers}, {patches}, {keep}");
        }
    }
}

/// Equal keys have equal attention, a seventh each with the class token's.
#[test]
fn of_equal_attention_the_first_stay() {
    let kept = config(in_layers(0.5, &[0])).kept_of(0).unwrap();
    let mut ops = Eager::new(1, &Device::flex(), Compute::F32);
    let keys = ops.batched(Tensor::<4>::full([1, 1, 7, 2], 0.5, &Device::flex()));
    let tokens = TensorData::new(vec![9.0f32, 1.0, 2.0, 3.0, 7.0, 14.0, 21.0], [1, 7, 1]);
    let tokens = ops.batched(Tensor::<3>::from_data(tokens, &Device::flex()));
    let attention = class_attention(&mut ops, [keys.clone(), keys]);
    let left = reorganize(&mut ops, tokens, attention, kept);
    let left: Vec<f32> = Eager::values::<3>(left).try_into_vec_as().unwrap();
    assert_eq!(left[..4], [9.0, 1.0, 2.0, 3.0]);
    assert!((left[4] - 6.0).abs() < 1e-5 && left.len() == 5, "{left:?}");
}

#[test]
fn keeping_everything_changes_no_bit() {
    let bits = |asked| -> Vec<u32> {
        let logits = model(&config(asked)).forward(images(3), Mode::Eval);
        let logits: Vec<f32> = logits.try_into_vec_as().unwrap();
        logits.into_iter().map(f32::to_bits).collect()
    };
    assert_eq!(bits(Some(TokenReorganization::keeping(1.0))), bits(None));
    assert_eq!(bits(in_layers(0.5, &[])), bits(None));
    // 35 of 36 with a fused one are no fewer.
    assert_eq!(bits(in_layers(0.96, &[0])), bits(None));
    assert_ne!(bits(in_layers(0.9, &[0])), bits(None));
}

#[test]
fn a_sample_keeps_the_same_tokens_in_any_batch() {
    let model = model(&config(Some(TokenReorganization::keeping(0.5))));
    let together: Vec<f32> = model.forward(images(4), Mode::Eval).try_into_vec_as().unwrap();
    for sample in 0..4 {
        let alone = model.forward(images(4).narrow(0, sample, 1), Mode::Eval);
        let alone: Vec<f32> = alone.try_into_vec_as().unwrap();
        for (alone, together) in alone.iter().zip(&together[sample * 3..]) {
            assert!((alone - together).abs() < 1e-5);
        }
    }
}

/// Attention that is kept has no kernels of branches, and so none that finds the class token's alone.
#[test]
fn kernels_leave_what_separate_operations_do() {
    for (fuse, compute, tolerance) in
        [(true, Compute::F32, 1e-4), (false, Compute::F32, 1e-4), (true, Compute::BF16, 0.1)]
    {
        let asked = TokenReorganization { fuse, ..TokenReorganization::keeping(0.5) };
        let model = model(&config(Some(asked)));
        let found = [false, true].map(|is_separate| {
            let device = Device::flex().autodiff();
            let trained = ViT::new(model.config(), Seed::new(1), &device).unwrap();
            let model = parameters::with_values(trained, parameters::values(&model));
            let ops = Eager::new(4, &Device::flex(), compute);
            let mut ops = if is_separate { ops.keeping_attention() } else { ops };
            let images = ops.batched(images(4).autodiff());
            let logits = Eager::values::<2>(model.logits(&mut ops, images, Mode::Eval));
            assert_eq!(ops.kept_attention().is_empty(), !is_separate);
            let mut gradients = logits.clone().powi_scalar(2).sum().backward();
            let gradients = parameters::gradients(&model, &mut gradients);
            let all = [vec![logits.without_autodiff().flatten::<1>(0, 1)], gradients].concat();
            let values = all.into_iter().map(|values| values.try_into_vec_as::<f32>().unwrap());
            values.collect::<Vec<_>>()
        });
        let [kernels, separate] = &found;
        for (at, (one, other)) in kernels.iter().zip(separate).enumerate() {
            let largest = other.iter().fold(1e-2f32, |largest, value| largest.max(value.abs()));
            for (one, other) in one.iter().zip(other) {
                let off = (one - other).abs() / largest;
                assert!(off < tolerance, "{fuse} {compute:?} {at}: {one} and {other}");
            }
        }
    }
}

#[test]
fn layers_have_the_tokens_that_are_left() {
    let tokens = |depth, asked| {
        let config = ViTConfig { depth: Some(depth), ..config(asked) };
        assert_eq!(config.check(), Ok(()));
        let model = ViT::new(&config, Seed::new(1), &Device::flex()).unwrap();
        let tokens = config.tokens_by_layer();
        assert_eq!(Costs::of(&model, &Device::flex()).tokens, tokens);
        tokens
    };
    // 36 patches, 18 and a fused one, of these 19 10 and another one.
    assert_eq!(tokens(3, in_layers(0.5, &[0, 2])), [37, 20, 20, 12]);
    // A quarter, half and three quarters.
    let asked = Some(TokenReorganization { fuse: false, ..TokenReorganization::keeping(0.5) });
    assert_eq!(tokens(4, asked), [37, 37, 19, 10, 6]);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let keeping = || Some(TokenReorganization::keeping(0.7));
    let plugin: AttentionKind = ron::from_str(r#"Plugin(name: "window")"#).unwrap();
    let plugin = LayerAttention { layers: (1, 1), attention: plugin };
    let merging = Some(TokenMerging::constant(2));
    let field = "token_reorganization";
    for (config, field, message) in [
        (ViTConfig { rope: Some(100.0), ..config(keeping()) }, field, "rope"),
        (ViTConfig { relative_position_bias: true, ..config(keeping()) }, field, "position bias"),
        (ViTConfig { attention: vec![plugin], ..config(keeping()) }, field, "attention[0]"),
        (ViTConfig { pool: Pool::Mean, ..config(keeping()) }, field, "pooling by `Mean`"),
        (ViTConfig { pool: Pool::Map, class_token: false, ..config(keeping()) }, field, "`Map`"),
        (ViTConfig { token_merging: merging, ..config(keeping()) }, field, "or merged"),
        (config(in_layers(0.7, &[1, 3])), "token_reorganization.layers[1]", "no layer 3"),
        (config(in_layers(0.7, &[1, 1])), "token_reorganization.layers[1]", "twice"),
    ] {
        let problem = config.check().unwrap_err();
        assert_eq!(problem.field, field);
        assert!(problem.message.contains(message), "{}", problem.message);
    }
}

/// Published with one decimal, for DeiT-S without and with a fused token: 3.0 billion multiplications and
/// additions at a keep rate of 0.7, 4.6 at 1.
#[test]
fn reorganization_saves_the_published_cost() {
    for (keep, billions) in [(0.7, 3.0), (1.0, 4.6)] {
        let config = ViTConfig {
            variant: "S/16".parse().unwrap(),
            classes: 1000,
            token_reorganization: Some(TokenReorganization::keeping(keep)),
            ..ViTConfig::default()
        };
        let model = ViT::new(&config, Seed::new(1), &Device::flex()).unwrap();
        let found = Costs::of(&model, &Device::flex()).forward_flops / 2e9;
        assert!((found - billions).abs() < 0.06, "keep = {keep}: {found}");
    }
}
