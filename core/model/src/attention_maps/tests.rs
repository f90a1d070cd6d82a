use std::sync::Arc;

use burn::tensor::{Device, TensorData};
use vitral_program::{Initializer, Limits, Program, TensorType, Tracer, ops as op};
use vitral_seed::Seed;

use super::*;
use crate::{
    AttentionPrograms, Compute,
    attention::SoftmaxAttention,
    config::{LayerAttention, LayerSize, TokenMerging, TokenReorganization},
    program_attention::{INPUTS, layer_type},
};

fn config() -> ViTConfig {
    ViTConfig {
        image_size: 12,
        channels: 1,
        patch_size: Some(4),
        width: Some(16),
        depth: Some(3),
        heads: Some(2),
        classes: 5,
        ..ViTConfig::default()
    }
}

fn noise<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let count = shape.iter().product::<usize>();
    let values: Vec<f32> = (0..count).map(|n| (n as f32 * 1.37).sin() + (n as f32).cos()).collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(burn::tensor::FloatDType::F32).try_into_vec_as().unwrap()
}

/// A model whose attention is far from uniform.
fn sharp(config: &ViTConfig, programs: &AttentionPrograms) -> ViT {
    let mut model = ViT::with_programs(config, programs, Seed::new(3), &Device::flex()).unwrap();
    for block in &mut model.blocks {
        if let Some(attn) = &mut block.attn {
            attn.qkv.weight = attn.qkv.weight.clone().map(|weight| weight * 8.0);
        }
    }
    model
}

#[test]
fn weights_are_those_of_softmax_attention_in_float64() {
    let [heads, queries, keys, dim] = [2, 3, 4, 5];
    let (q, k) = (noise([1, heads, queries, dim]), noise([1, heads, keys, dim]) * 0.7);
    let bias = noise([heads, queries, keys]);
    let mut ops = Eager::new(1, &Device::flex(), Compute::F32).keeping_attention();
    let [query, key, value] = [q.clone(), k.clone(), k.clone()].map(|tensor| ops.batched(tensor));
    let kept_bias = ops.constant(&[heads, queries, keys], &values(bias.clone()));
    let attention = SoftmaxAttention { scale: 0.3, bias: Some(kept_bias), weight_dropout: 0.0 };
    let out = attention.forward(&mut ops, [query, key, value], Mode::Eval);
    let kept = ops.kept_attention().remove(0).weights;
    let (found, out) = (values(Eager::values::<4>(kept)), values(Eager::values::<4>(out)));
    let (q, k, bias) = (values(q), values(k), values(bias));
    let at = |values: &[f32], index: usize| f64::from(values[index]);
    for row in 0..heads * queries {
        let head = row / queries;
        let key = |key: usize, d: usize| at(&k, (head * keys + key) * dim + d);
        let score = |other: usize| {
            let product: f64 = (0..dim).map(|d| at(&q, row * dim + d) * key(other, d)).sum();
            0.3 * product + at(&bias, row * keys + other)
        };
        let exponentials: Vec<f64> = (0..keys).map(|other| score(other).exp()).collect();
        let sum: f64 = exponentials.iter().sum();
        for (other, exponential) in exponentials.iter().enumerate() {
            assert!((at(&found, row * keys + other) - exponential / sum).abs() < 1e-6);
        }
        // The model's own result is the mean of the values by these weights.
        for d in 0..dim {
            let mean: f64 = (0..keys).map(|k| exponentials[k] / sum * key(k, d)).sum();
            assert!((at(&out, row * dim + d) - mean).abs() < 1e-5);
        }
    }
}

/// The matrices of all layers, `[tokens, tokens]`, as the mean of their heads, in `f64`.
fn mean_matrices(model: &ViT, images: Tensor<4>, image: usize) -> Vec<Vec<Vec<f64>>> {
    let (_, _, kept) = model.forward_keeping_attention(images);
    let matrix = |kept: KeptAttention| {
        let weights = Eager::values::<4>(kept.weights);
        let [_, heads, queries, keys] = weights.dims();
        let weights = values(weights);
        let at = |head: usize, query: usize, key: usize| {
            f64::from(weights[((image * heads + head) * queries + query) * keys + key])
        };
        let mean = |query, key| (0..heads).map(|head| at(head, query, key)).sum::<f64>();
        let row = |query| (0..keys).map(|key| mean(query, key) / heads as f64).collect();
        (0..queries).map(row).collect::<Vec<Vec<f64>>>()
    };
    kept.into_iter().map(matrix).collect()
}

/// Rollout as its authors write it: the product of all layers' matrices with the residual added and rows
/// normalised.
fn product(matrices: &[Vec<Vec<f64>>]) -> Vec<Vec<f64>> {
    let tokens = matrices[0].len();
    let one = |row: usize, column: usize| if row == column { 1.0 } else { 0.0 };
    let mut rolled: Vec<Vec<f64>> =
        (0..tokens).map(|row| (0..tokens).map(|column| one(row, column)).collect()).collect();
    for matrix in matrices {
        let residual: Vec<Vec<f64>> = (0..tokens)
            .map(|row| {
                let sum: f64 = matrix[row].iter().sum::<f64>() + 1.0;
                (0..tokens).map(|column| (matrix[row][column] + one(row, column)) / sum).collect()
            })
            .collect();
        rolled = residual
            .iter()
            .map(|row| {
                let through = |column: usize| {
                    (0..tokens).map(|middle| row[middle] * rolled[middle][column]).sum()
                };
                (0..tokens).map(through).collect()
            })
            .collect();
    }
    rolled
}

#[test]
fn rollout_is_the_product_of_its_definition_however_a_model_is_read() {
    let registers = ViTConfig { register_tokens: 2, ..config() };
    let mean = ViTConfig { class_token: false, pool: Pool::Mean, ..config() };
    let both = ViTConfig { pool: Pool::ClassTokenAndMean, ..registers.clone() };
    let distilled = ViTConfig { distillation_token: true, ..config() };
    for config in [config(), registers, mean, both, distilled] {
        let model = sharp(&config, &AttentionPrograms::new());
        let attended = model.forward_with_attention(noise([2, 12, 12, 1])).unwrap();
        let rolled = product(&mean_matrices(&model, noise([2, 12, 12, 1]), 1));
        let prefix = config.prefix_tokens();
        let mean =
            |column: usize| rolled[prefix..].iter().map(|row| row[column]).sum::<f64>() / 9.0;
        let maps = &attended.maps[1];
        assert_eq!((maps.grid, maps.rollout.len(), attended.maps.len()), (3, 9, 2));
        for (patch, found) in maps.rollout.iter().enumerate() {
            let column = prefix + patch;
            let expected = match (config.pool, config.distillation_token) {
                (Pool::Mean, _) => mean(column),
                (Pool::ClassTokenAndMean, _) => (rolled[0][column] + mean(column)) / 2.0,
                (_, true) => (rolled[0][column] + rolled[1][column]) / 2.0,
                _ => rolled[0][column],
            };
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
        }
        // It is not the same everywhere, and heads tell of their own.
        let differ = |map: &[f32]| map.iter().any(|value| (value - map[0]).abs() > 1e-3);
        assert!(differ(&maps.rollout));
        assert_eq!(maps.heads.iter().map(Vec::len).collect::<Vec<_>>(), [2; 3]);
        assert!(maps.heads.iter().flatten().all(|map| map.len() == 9 && differ(map)));
    }
}

#[test]
fn layers_that_were_pruned_of_attention_pass_on_what_they_get() {
    let sizes = [(0, 8), (2, 64), (1, 0)];
    let layers = sizes.map(|(heads, hidden)| LayerSize { heads, hidden }).to_vec();
    let pruned = ViTConfig { layers, ..config() };
    let map = ViTConfig { class_token: false, pool: Pool::Map, ..pruned.clone() };
    for config in [pruned, map] {
        let model = sharp(&config, &AttentionPrograms::new());
        let maps = model.forward_with_attention(noise([1, 12, 12, 1])).unwrap().maps.remove(0);
        assert_eq!(maps.heads.iter().map(Vec::len).collect::<Vec<_>>(), [0, 2, 1]);
        let mut matrices = mean_matrices(&model, noise([1, 12, 12, 1]), 0);
        let read = match config.pool {
            Pool::Map => matrices.pop().unwrap().remove(0),
            _ => (0..10).map(|token| f64::from(u8::from(token == 0))).collect(),
        };
        let rolled = product(&matrices);
        for (patch, found) in maps.rollout.iter().enumerate() {
            let column = config.prefix_tokens() + patch;
            let expected: f64 =
                read.iter().zip(&rolled).map(|(share, row)| share * row[column]).sum();
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }
}

#[test]
fn features_are_the_same_and_rows_sum_to_one_in_every_kind_of_model() {
    let rope = ViTConfig { rope: Some(100.0), qk_norm: true, ..config() };
    let biased = ViTConfig { relative_position_bias: true, ..config() };
    let map = ViTConfig { class_token: false, pool: Pool::Map, ..config() };
    for (config, compute, within) in [
        (config(), Compute::F32, 1e-5),
        (config(), Compute::BF16, 0.1),
        (rope, Compute::F32, 1e-5),
        (biased, Compute::F32, 1e-5),
        (map, Compute::F32, 1e-5),
    ] {
        let model = sharp(&config, &AttentionPrograms::new()).computing_in(compute);
        let attended = model.forward_with_attention(noise([2, 12, 12, 1])).unwrap();
        // Logits of a fresh model are all 0.
        let (_, features) = model.forward_with_features(noise([2, 12, 12, 1]), Mode::Eval);
        assert!((attended.features - features).abs().max().into_scalar::<f32>() < within);
        let (_, _, kept) = model.forward_keeping_attention(noise([2, 12, 12, 1]));
        assert_eq!(kept.len(), 3 + usize::from(config.pool == Pool::Map));
        for kept in kept {
            let sums = values(Eager::values::<4>(kept.weights).sum_dim(3));
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-5), "{sums:?}");
        }
        let total: f32 = attended.maps[0].rollout.iter().sum();
        assert!(total > 0.2 && total < 1.0 + 1e-5, "{total}");
    }
}

/// Attention in the words of a plugin, with what it makes of its result.
fn program(
    r#type: &TensorType,
    last: impl Fn(&mut Tracer, vitral_program::Tensor) -> vitral_program::Tensor,
) -> Arc<Program> {
    let mut trace = Tracer::new("other", Limits::default());
    let [q, k, v] = INPUTS.map(|name| trace.input(name, r#type.clone()));
    let attention = op::ScaledDotProductAttention { scale: 0.125_f64.sqrt() };
    let attended = trace.apply(attention, &[q, k, v], "attended");
    let output = last(&mut trace, attended);
    Arc::new(trace.finish(&[("output", output)]).unwrap())
}

#[test]
fn a_plugins_attention_has_the_weights_that_it_shows_or_none() {
    let plain = sharp(&config(), &AttentionPrograms::new());
    let kind = ron::from_str(r#"Plugin(name: "other")"#).unwrap();
    let attention = vec![LayerAttention { layers: (1, 1), attention: kind }];
    let with = ViTConfig { attention, ..config() };
    let wanted = layer_type(&with, 1).unwrap();
    let images = || noise([2, 12, 12, 1]);
    let model = |last: fn(&mut Tracer, vitral_program::Tensor) -> vitral_program::Tensor| {
        sharp(&with, &AttentionPrograms::from([(1, program(&wanted, last))]))
    };
    // Ten tokens and eight channels: two runs show all weights.
    let found = model(|_, attended| attended).forward_with_attention(images()).unwrap();
    let expected = plain.forward_with_attention(images()).unwrap();
    for (found, expected) in found.maps.iter().zip(&expected.maps) {
        let pairs = found.heads[1].concat().into_iter().zip(expected.heads[1].concat());
        assert!(pairs.into_iter().all(|(found, expected)| (found - expected).abs() < 1e-6));
        let pairs = found.rollout.iter().zip(&expected.rollout);
        assert!(pairs.into_iter().all(|(found, expected)| (found - expected).abs() < 1e-6));
    }
    // What adds, scales or bends is no mean of the values.
    let scaled = |trace: &mut Tracer, attended| {
        let two = trace.apply(op::Constant::scalar(2.0), &[], "two");
        trace.apply(op::Mul {}, &[attended, two], "scaled")
    };
    let bent = |trace: &mut Tracer, attended| trace.apply(op::Tanh {}, &[attended], "bent");
    let gained = |trace: &mut Tracer, attended| {
        let shape = "[1,1,8]".parse().unwrap();
        let gain = trace.parameter("gain", shape, Initializer::Normal { std: 0.5 }, false);
        trace.apply(op::Mul {}, &[attended, gain], "gained")
    };
    for model in [model(scaled), model(bent), model(gained)] {
        let problem = model.forward_with_attention(images()).unwrap_err();
        assert_eq!(problem, NoAttention::Plugin { layer: 1, plugin: "other".into() });
    }
}

#[test]
fn what_has_no_attention_map_says_why() {
    let merging = ViTConfig { token_merging: Some(TokenMerging::constant(2)), ..config() };
    assert_eq!(merging.check_attention_maps(), Err(NoAttention::Merging));
    let keeping = |keep| {
        let token_reorganization = Some(TokenReorganization::keeping(keep));
        ViTConfig { token_reorganization, ..config() }.check_attention_maps()
    };
    assert_eq!(keeping(0.7), Err(NoAttention::Reorganization));
    assert_eq!(keeping(1.0), Ok(()));
    assert_eq!(config().check_attention_maps(), Ok(()));
    let mixer = ViTConfig::of_variant("Mixer-S/16".parse().unwrap());
    assert_eq!(mixer.check_attention_maps(), Err(NoAttention::Mixer));
    assert_eq!(config().attention_elements(), 3 * 2 * 10 * 10);
}
