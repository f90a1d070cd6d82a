use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng as _;
use vitral_seed::Seed;

use super::{MergeSchedule, TokenMerging, TokenSizes};
use crate::{
    Compute, Costs, Mode, ViT, ViTConfig,
    config::{AttentionKind, LayerAttention},
    eager::Eager,
    parameters,
    pool::Pool,
};

fn uniform(count: usize, name: &str) -> Vec<f32> {
    let mut rng = Seed::new(3).named(name).rng();
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn config(merging: Option<TokenMerging>) -> ViTConfig {
    ViTConfig {
        image_size: 12,
        channels: 1,
        classes: 3,
        patch_size: Some(2),
        width: Some(16),
        depth: Some(3),
        heads: Some(2),
        mlp_ratio: 2.0,
        token_merging: merging,
        ..ViTConfig::default()
    }
}

fn model(config: &ViTConfig) -> ViT {
    let model = ViT::new(config, Seed::new(1), &Device::flex()).unwrap();
    let values = parameters::infos(&model)
        .iter()
        .map(|info| {
            let around =
                if info.name.contains("norm") && info.name.ends_with("weight") { 1.0 } else { 0.0 };
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

/// The algorithm of the paper's section 3 and appendix D on plain lists, one sample: tokens as they
/// come, with the patches that each stands for.
struct Reference {
    prefix: usize,
    tokens: Vec<Vec<f64>>,
    sizes: Vec<f64>,
}

impl Reference {
    fn merge(&mut self, keys: &[Vec<Vec<f64>>], r: usize) {
        let count = self.tokens.len();
        let r = r.min((count - self.prefix) / 2);
        let head_dim = keys[0][0].len();
        let metric: Vec<Vec<f64>> = (0..count)
            .map(|token| {
                let sum = |at: usize| keys.iter().map(|head| head[token][at]).sum::<f64>();
                (0..head_dim).map(|at| sum(at) / keys.len() as f64).collect()
            })
            .collect();
        let cosine = |one: usize, other: usize| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let (one, other) = (&metric[one], &metric[other]);
            dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
        };
        // 1: two sets of about equal size; 2: one edge from each of A to its most similar of B.
        let mut edges = Vec::new();
        for a in (self.prefix..count).filter(|token| token % 2 == 0) {
            let mut edge: Option<(f64, usize, usize)> = None;
            for b in (self.prefix..count).filter(|token| token % 2 == 1) {
                if edge.is_none_or(|(best, ..)| cosine(a, b) > best) {
                    edge = Some((cosine(a, b), a, b));
                }
            }
            edges.extend(edge);
        }
        // 3: the r most similar edges; 4: their ends become their average.
        edges.sort_by(|one, other| other.0.partial_cmp(&one.0).unwrap());
        edges.truncate(r);
        let (before, sizes) = (self.tokens.clone(), self.sizes.clone());
        for b in self.prefix..count {
            let group: Vec<usize> = edges
                .iter()
                .filter(|edge| edge.2 == b)
                .map(|edge| edge.1)
                .chain(std::iter::once(b))
                .collect();
            self.sizes[b] = group.iter().map(|&token| sizes[token]).sum();
            let size = self.sizes[b];
            for (at, value) in self.tokens[b].iter_mut().enumerate() {
                let sum: f64 = group.iter().map(|&token| sizes[token] * before[token][at]).sum();
                *value = sum / size;
            }
        }
        // 5: both sets put together again.
        let gone = |token: usize| edges.iter().any(|edge| edge.1 == token);
        let order: Vec<usize> = (0..self.prefix)
            .chain((self.prefix..count).filter(|token| token % 2 == 0 && !gone(*token)))
            .chain((self.prefix..count).filter(|token| token % 2 == 1))
            .collect();
        self.tokens = order.iter().map(|&token| self.tokens[token].clone()).collect();
        self.sizes = order.iter().map(|&token| self.sizes[token]).collect();
    }
}

/// Three rounds of merging with fresh keys, against the reference.
#[test]
fn merging_is_the_papers() {
    let (batch, heads, head_dim, width) = (3, 2, 4, 5);
    for (prefix, patches, r) in [(1, 12, 4), (0, 9, 3), (1, 13, 100), (4, 10, 2), (3, 8, 4)] {
        let settings = ViTConfig {
            class_token: prefix > 0,
            register_tokens: usize::max(prefix, 1) - 1,
            ..config(Some(TokenMerging::constant(r)))
        };
        let mut sizes = TokenSizes::new(&settings);
        let mut count = prefix + patches;
        let values = uniform(batch * count * width, "tokens");
        let mut references: Vec<Reference> = values
            .chunks(count * width)
            .map(|sample| Reference {
                prefix,
                tokens: sample
                    .chunks(width)
                    .map(|token| token.iter().map(|&value| f64::from(value)).collect())
                    .collect(),
                sizes: vec![1.0; count],
            })
            .collect();
        let data = TensorData::new(values, [batch, count, width]);
        let mut ops = Eager::new(batch, &Device::flex(), Compute::F32);
        let mut tokens = ops.batched(Tensor::<3>::from_data(data, &Device::flex()));
        for round in 0..3 {
            let values = uniform(batch * heads * count * head_dim, &format!("keys {round}"));
            for (sample, reference) in values.chunks(heads * count * head_dim).zip(&mut references)
            {
                let keys: Vec<Vec<Vec<f64>>> = sample
                    .chunks(count * head_dim)
                    .map(|head| {
                        head.chunks(head_dim)
                            .map(|key| key.iter().map(|&value| f64::from(value)).collect())
                            .collect()
                    })
                    .collect();
                reference.merge(&keys, r);
            }
            let data = TensorData::new(values, [batch, heads, count, head_dim]);
            let keys = ops.batched(Tensor::<4>::from_data(data, &Device::flex()));
            tokens = sizes.merge(&mut ops, tokens, keys, r);
            count -= r.min((count - prefix) / 2);
            let found = Eager::values::<3>(tokens.clone());
            assert_eq!(found.dims(), [batch, count, width]);
            let found: Vec<f32> = found.try_into_vec_as().unwrap();
            let expected = references.iter().flat_map(|reference| reference.tokens.concat());
            for (found, expected) in found.iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-5, "{prefix}, {patches}, {r}");
            }
            let expected: Vec<f32> = references
                .iter()
                .flat_map(|reference| reference.sizes.iter().map(|&size| size as f32))
                .collect();
            let found = Eager::values::<2>(sizes.sizes.clone().unwrap());
            assert_eq!(found.try_into_vec_as::<f32>().unwrap(), expected);
            assert!(
                expected.chunks(count).all(|sizes| {
                    sizes[..prefix].iter().all(|&size| size == 1.0)
                        && sizes[prefix..].iter().sum::<f32>() == patches as f32
                }),
                "every patch counts once, and the prefix stays as it is"
            );
        }
    }
}

/// Of six tokens that are all alike, the first two of A go to the first of B.
#[test]
fn of_equal_similarities_the_first_is_taken() {
    let settings = ViTConfig {
        class_token: false,
        pool: Pool::Mean,
        ..config(Some(TokenMerging::constant(2)))
    };
    let mut ops = Eager::new(1, &Device::flex(), Compute::F32);
    let keys = ops.batched(Tensor::<4>::full([1, 1, 6, 2], 0.5, &Device::flex()));
    let tokens = TensorData::new(vec![0.0f32, 10.0, 2.0, 30.0, 40.0, 50.0], [1, 6, 1]);
    let tokens = ops.batched(Tensor::<3>::from_data(tokens, &Device::flex()));
    let merged = TokenSizes::new(&settings).merge(&mut ops, tokens, keys, 2);
    let merged: Vec<f32> = Eager::values::<3>(merged).try_into_vec_as().unwrap();
    // 40 is what is left of A; 0 and 2 became part of 10.
    assert_eq!(merged, [40.0, 4.0, 30.0, 50.0]);
}

#[test]
fn merging_nothing_changes_no_bit() {
    for pool in [Pool::ClassToken, Pool::Mean, Pool::Map] {
        let bits = |merging| -> Vec<u32> {
            let config = ViTConfig { pool, ..config(merging) };
            let logits = model(&config).forward(images(3), Mode::Eval);
            let logits: Vec<f32> = logits.try_into_vec_as().unwrap();
            logits.into_iter().map(f32::to_bits).collect()
        };
        let none =
            TokenMerging { r: MergeSchedule::Layers(vec![0; 3]), ..TokenMerging::constant(0) };
        assert_eq!(bits(Some(TokenMerging::constant(0))), bits(None));
        assert_eq!(bits(Some(none)), bits(None));
        assert_ne!(bits(Some(TokenMerging::constant(4))), bits(None));
    }
}

/// What proportional attention and the weighted mean are for: tokens that are the same merge
/// without any loss, so that an image of one colour has the logits that it has without merging.
#[test]
fn equal_patches_merge_without_loss() {
    for pool in [Pool::ClassToken, Pool::Mean, Pool::Map] {
        let flat = || Tensor::<4>::full([2, 12, 12, 1], 0.3, &Device::flex());
        let logits = |merging| {
            let config = ViTConfig {
                pool,
                position: crate::position::Position::None,
                register_tokens: 1,
                ..config(merging)
            };
            model(&config).forward(flat(), Mode::Eval)
        };
        let differ =
            |merging| (logits(Some(merging)) - logits(None)).abs().max().into_scalar::<f32>();
        assert!(differ(TokenMerging::constant(7)) < 1e-5, "{pool:?}");
        let unweighted =
            TokenMerging { proportional_attention: false, ..TokenMerging::constant(7) };
        assert!(differ(unweighted) > 1e-3, "{pool:?}");
    }
}

#[test]
fn a_sample_is_merged_the_same_way_in_any_batch() {
    let model = model(&config(Some(TokenMerging::constant(5))));
    let together: Vec<f32> = model.forward(images(4), Mode::Eval).try_into_vec_as().unwrap();
    for sample in 0..4 {
        let alone = model.forward(images(4).narrow(0, sample, 1), Mode::Eval);
        let alone: Vec<f32> = alone.try_into_vec_as().unwrap();
        for (alone, together) in alone.iter().zip(&together[sample * 3..]) {
            assert!((alone - together).abs() < 1e-5);
        }
    }
}

#[test]
fn schedules_are_the_papers() {
    let merged = |r| {
        let config = config(Some(TokenMerging { r, proportional_attention: true }));
        assert_eq!(config.check(), Ok(()));
        config.tokens_by_layer()
    };
    assert_eq!(merged(MergeSchedule::Constant(5)), [37, 32, 27, 22]);
    assert_eq!(merged(MergeSchedule::Constant(100)), [37, 19, 10, 6], "half of them at most");
    assert_eq!(merged(MergeSchedule::Decreasing(5)), [37, 27, 22, 22]);
    assert_eq!(merged(MergeSchedule::Layers(vec![1, 0, 4])), [37, 36, 36, 32]);
}

#[test]
fn what_does_not_go_together_is_refused() {
    let merging = || Some(TokenMerging::constant(2));
    let plugin = LayerAttention {
        layers: (1, 1),
        attention: AttentionKind::Plugin {
            name: "window".into(),
            version: semver::VersionReq::STAR,
            settings: Default::default(),
            heads: None,
            qk_norm: None,
        },
    };
    let short = TokenMerging { r: MergeSchedule::Layers(vec![1, 2]), ..TokenMerging::constant(0) };
    let cases = [
        (ViTConfig { rope: Some(100.0), ..config(merging()) }, "token_merging", "rope"),
        (
            ViTConfig { relative_position_bias: true, ..config(merging()) },
            "token_merging",
            "relative position bias",
        ),
        (ViTConfig { attention: vec![plugin], ..config(merging()) }, "token_merging", "plugin"),
        (config(Some(short)), "token_merging.r", "2 numbers do not fit a model of 3 layers"),
    ];
    for (config, field, message) in cases {
        let problem = config.check().unwrap_err();
        assert_eq!(problem.field, field);
        assert!(problem.message.contains(message), "{}", problem.message);
    }
}

/// Published with one decimal, for DeiT-S: 3.4, 2.7 and 2.3 billion multiplications and additions.
#[test]
fn merging_saves_the_published_cost() {
    for (r, billions) in [(8, 3.4), (13, 2.7), (16, 2.3)] {
        let config = ViTConfig {
            variant: "S/16".parse().unwrap(),
            classes: 1000,
            token_merging: Some(TokenMerging::constant(r)),
            ..ViTConfig::default()
        };
        let model = ViT::new(&config, Seed::new(1), &Device::flex()).unwrap();
        let found = Costs::of(&model, &Device::flex()).forward_flops / 2e9;
        assert!((found - billions).abs() < 0.06, "r = {r}: {found}");
    }
}
