use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng as _;
use vitral_seed::Seed;

use super::resized;
use crate::{
    Compute, Mode, ViT, ViTConfig, config::Position, eager::Eager, grid::Grid, ops::Ops,
    parameters, waves::sincos_values,
};

fn uniform(count: usize, name: &str) -> Vec<f32> {
    let mut rng = Seed::new(3).named(name).rng();
    (0..count).map(|_| rng.random_range(-1.0..1.0)).collect()
}

/// A bicubic resize as Keys (1981) and Pillow define it, in two dimensions at once and without a
/// matrix: each result is a normalised sum over the filter's support.
fn reference(values: &[f32], full: usize, side: usize, width: usize) -> Vec<f64> {
    let scale = full as f64 / side as f64;
    let stretch = scale.max(1.0);
    let kernel = |x: f64| {
        let (a, x) = (-0.5, x.abs());
        match x {
            x if x < 1.0 => (a + 2.0) * x.powi(3) - (a + 3.0) * x.powi(2) + 1.0,
            x if x < 2.0 => a * x.powi(3) - 5.0 * a * x.powi(2) + 8.0 * a * x - 4.0 * a,
            _ => 0.0,
        }
    };
    let weights = |out: usize| {
        let centre = (out as f64 + 0.5) * scale;
        let first = (centre - 2.0 * stretch + 0.5).floor().max(0.0) as usize;
        let last = ((centre + 2.0 * stretch + 0.5).floor() as usize).min(full);
        (first..last)
            .map(|at| (at, kernel((at as f64 + 0.5 - centre) / stretch)))
            .collect::<Vec<_>>()
    };
    let mut resized = Vec::new();
    for row in 0..side {
        for column in 0..side {
            for channel in 0..width {
                let (mut sum, mut all) = (0.0, 0.0);
                for (r, vertical) in weights(row) {
                    for (c, horizontal) in weights(column) {
                        let weight = vertical * horizontal;
                        sum += weight * f64::from(values[(r * full + c) * width + channel]);
                        all += weight;
                    }
                }
                resized.push(sum / all);
            }
        }
    }
    resized
}

#[test]
fn positions_are_resized_by_the_bicubic_filter() {
    for (full, side, width) in [(7, 4, 3), (14, 7, 2), (4, 9, 3), (5, 1, 2), (6, 6, 2)] {
        let values = uniform(full * full * width, "positions");
        let found = resize(values.clone(), full, side);
        for (found, expected) in found.iter().zip(reference(&values, full, side, width)) {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{full} to {side}: {found}");
        }
    }
}

/// From Pillow 13.0.0: `Image.resize((side, side), Image.BICUBIC)` of an image of mode F.
#[test]
fn positions_are_resized_as_pillow_resized_them() {
    let shrunk =
        [0.892686, 1.269481, 1.64116, 1.57414, 1.931784, 1.396401, 1.342793, 1.102633, 0.961751];
    let enlarged = [
        -0.18341, 0.135413, 0.601887, 0.524331, 0.41926, 0.530287, 0.790911, 1.151492, 0.968044,
        0.804773, 1.677359, 1.83209, 2.0, 1.623881, 1.354717, 2.099057, 2.147895, 2.123134,
        1.554344, 1.179288, 2.247561, 2.238201, 2.107547, 1.432864, 0.999609,
    ];
    for (full, side, expected) in [(5, 3, &shrunk[..]), (3, 5, &enlarged[..])] {
        let values: Vec<f32> =
            (0..full * full).map(|at| (at * at * 7 % 23) as f32 / 10.0).collect();
        let found = resize(values, full, side);
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-6, "{full} to {side}: {found}, {expected}");
        }
    }
}

#[test]
fn places_of_the_own_grid_are_its_indices() {
    for side in [1, 3, 7, 14, 37] {
        for index in 0..side {
            assert_eq!(Grid::own(side).place(index), index as f64);
        }
    }
    let half = Grid { side: 2, full: 4 };
    assert_eq!([half.place(0), half.place(1)], [0.5, 2.5]);
}

fn model(config: ViTConfig) -> ViT {
    let config = ViTConfig {
        image_size: 12,
        channels: 1,
        classes: 3,
        patch_size: Some(2),
        width: Some(16),
        depth: Some(2),
        heads: Some(2),
        ..config
    };
    let model = ViT::new(&config, Seed::new(1), &Device::flex()).unwrap();
    let values = parameters::infos(&model)
        .iter()
        .map(|info| {
            let count = info.elements();
            let values = uniform(count, &info.name);
            Tensor::from_data(TensorData::new(values, [count]), &Device::flex())
        })
        .collect();
    parameters::with_values(model, values)
}

/// `[1, full * full, width]` to a grid of `side` rows and columns.
fn resize(values: Vec<f32>, full: usize, side: usize) -> Vec<f32> {
    let mut ops = Eager::new(1, &Device::flex(), Compute::F32);
    let width = values.len() / (full * full);
    let positions = ops.constant(&[1, full * full, width], &values);
    let found = Eager::values::<3>(resized(&mut ops, positions, full, [side; 2]));
    assert_eq!(found.dims(), [1, side * side, width]);
    found.try_into_vec_as().unwrap()
}

/// A model that gets small images equals one of that size whose positions are the resized ones.
#[test]
fn a_small_image_sees_the_resized_positions() {
    let base = ViTConfig::default;
    let options = [
        base(),
        ViTConfig { class_token: false, pool: crate::pool::Pool::Mean, ..base() },
        ViTConfig { register_tokens: 2, ..base() },
    ];
    for config in options {
        let classes = usize::from(config.class_token);
        let large = model(config);
        let small = ViTConfig { image_size: 8, ..large.config().clone() };
        let small = ViT::new(&small, Seed::new(1), &Device::flex()).unwrap();
        let infos = parameters::infos(&small);
        let values = parameters::values(&large).into_iter().zip(&infos).map(|(value, info)| {
            if info.name != "pos_embed" {
                return value;
            }
            let all: Vec<f32> = value.try_into_vec_as().unwrap();
            let mut resized = all[..classes * 16].to_vec();
            let patches = reference(&all[classes * 16..], 6, 4, 16);
            resized.extend(patches.into_iter().map(|value| value as f32));
            let length = resized.len();
            Tensor::<1>::from_data(TensorData::new(resized, [length]), &Device::flex())
        });
        let small = parameters::with_values(small, values.collect());
        let images = TensorData::new(uniform(2 * 64, "images"), [2, 8, 8, 1]);
        let images = Tensor::<4>::from_data(images, &Device::flex());
        let found = large.forward(images.clone(), Mode::Eval);
        let expected = small.forward(images, Mode::Eval);
        let difference = (found - expected).abs().max().into_scalar::<f32>();
        assert!(difference < 1e-4, "{difference}");
    }
}

/// Of three times as many patches in a row, the middle ones lie where those of the coarser grid do.
#[test]
fn fixed_positions_of_a_coarser_grid_lie_at_the_centres_of_its_patches() {
    let (coarse, fine) = (Grid { side: 2, full: 6 }, Grid::own(6));
    let (coarse, fine) = (sincos_values(coarse, 8), sincos_values(fine, 8));
    // The middle of patches 0 to 2 is patch 1, that of 3 to 5 is patch 4.
    for (index, (row, column)) in [(1, 1), (1, 4), (4, 1), (4, 4)].into_iter().enumerate() {
        let at = (row * 6 + column) * 8;
        for (found, expected) in coarse[index * 8..][..8].iter().zip(&fine[at..at + 8]) {
            assert!((found - expected).abs() < 1e-6, "{row}, {column}");
        }
    }
}

#[test]
fn every_kind_of_position_takes_smaller_images() {
    let base = ViTConfig::default;
    let options = [
        ViTConfig { position: Position::SinCos2d, ..base() },
        ViTConfig { position: Position::None, rope: Some(100.0), ..base() },
        ViTConfig { rope: Some(10.0), register_tokens: 1, ..base() },
    ];
    for config in options {
        let model = model(config);
        let logits = |side: usize| -> Vec<f32> {
            let images = TensorData::new(uniform(side * side, "images"), [1, side, side, 1]);
            let images = Tensor::<4>::from_data(images, &Device::flex());
            model.forward(images, Mode::Eval).try_into_vec_as().unwrap()
        };
        for side in [4, 8, 12] {
            assert!(logits(side).iter().all(|logit| logit.is_finite()));
        }
        assert_ne!(logits(4), logits(12));
    }
}
