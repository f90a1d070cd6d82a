//! Mixup (Zhang et al. 2018) and CutMix (Yun et al. 2019): each image of a batch is blended with, or
//! gets a rectangle from, its partner in the reversed batch; targets are mixed in the same measure.

use std::ops::Range;

use burn::tensor::{Tensor, s};
use rand::Rng as _;
use rand_distr::{Beta, Distribution};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_seed::{Rng, Seed};

/// How often, and how strongly, images of a batch are mixed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Mix {
    /// Mixup's alpha, the parameter of its Beta distribution; 0 turns Mixup off.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub mixup: f64,
    /// CutMix's alpha; 0 turns CutMix off.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub cutmix: f64,
    /// Probability that a batch is mixed at all.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
    /// Probability of CutMix where both are on.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub switch_probability: f64,
    /// What has a draw of its own.
    pub mode: MixMode,
}

/// What has a draw of its own: of whether it is mixed, how, and how strongly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MixMode {
    /// The batch as a whole.
    #[default]
    Batch,
    /// Each image.
    Element,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            mixup: 0.0,
            cutmix: 0.0,
            probability: 1.0,
            switch_probability: 0.5,
            mode: MixMode::Batch,
        }
    }
}

/// What is done to one batch.
#[derive(Clone, Debug, PartialEq)]
enum Plan {
    Nothing,
    /// Share of the image itself.
    Mixup {
        own: f64,
    },
    /// Rows and columns that come from the partner.
    CutMix {
        rows: [usize; 2],
        columns: [usize; 2],
    },
}

impl Mix {
    /// Whether anything is ever mixed.
    pub(crate) fn is_on(&self) -> bool {
        (self.mixup > 0.0 || self.cutmix > 0.0) && self.probability > 0.0
    }

    /// Mixes images `[batch, height, width, channels]` and targets `[batch, classes]`.
    pub fn apply(
        &self,
        images: Tensor<4>,
        targets: Tensor<2>,
        seed: Seed,
    ) -> (Tensor<4>, Tensor<2>) {
        let batch = images.dims()[0];
        self.apply_to(0..batch, 0, images, targets, seed)
    }

    /// Some images of a batch, mixed with their partners as [`Mix::apply`] mixes all of them. The batch may be those
    /// pairs of a larger one that a rank has; in the whole, the first of these images has this place.
    pub(crate) fn apply_to(
        &self,
        part: Range<usize>,
        place: usize,
        images: Tensor<4>,
        targets: Tensor<2>,
        seed: Seed,
    ) -> (Tensor<4>, Tensor<2>) {
        let (batch, seed) = (images.dims()[0], seed.named("mix"));
        let (first, count) = (part.start, part.len());
        // The partner of image i is image batch - 1 - i.
        let of_partners = batch - part.end;
        let partners = images.clone().narrow(0, of_partners, count).flip([0]);
        let partner_targets = targets.clone().narrow(0, of_partners, count).flip([0]);
        let (images, targets) = (images.narrow(0, first, count), targets.narrow(0, first, count));
        match self.mode {
            MixMode::Batch => self.mixed((images, targets), (partners, partner_targets), seed),
            MixMode::Element => {
                let (mixed, mixed_targets) = (0..count)
                    .map(|at| {
                        let one = |images: &Tensor<4>, targets: &Tensor<2>| {
                            (images.clone().narrow(0, at, 1), targets.clone().narrow(0, at, 1))
                        };
                        let partner = one(&partners, &partner_targets);
                        self.mixed(
                            one(&images, &targets),
                            partner,
                            seed.indexed((place + at) as u64),
                        )
                    })
                    .unzip();
                (Tensor::cat(mixed, 0), Tensor::cat(mixed_targets, 0))
            }
        }
    }

    /// Images and targets, all mixed with their partners alike.
    fn mixed(
        &self,
        (images, targets): (Tensor<4>, Tensor<2>),
        (partners, partner_targets): (Tensor<4>, Tensor<2>),
        seed: Seed,
    ) -> (Tensor<4>, Tensor<2>) {
        let [_, height, width, channels] = images.dims();
        let (images, own) = match self.plan(height, width, &mut seed.rng()) {
            Plan::Nothing => return (images, targets),
            Plan::Mixup { own } => (images * own + partners * (1.0 - own), own),
            Plan::CutMix { rows: [top, bottom], columns: [left, right] } => {
                let area = s![.., top..bottom, left..right, 0..channels];
                let patch = partners.slice(area);
                let cut = ((bottom - top) * (right - left)) as f64 / (height * width) as f64;
                (images.slice_assign(area, patch), 1.0 - cut)
            }
        };
        (images, targets * own + partner_targets * (1.0 - own))
    }

    fn plan(&self, height: usize, width: usize, rng: &mut Rng) -> Plan {
        if self.mixup == 0.0 && self.cutmix == 0.0 || !rng.random_bool(self.probability) {
            return Plan::Nothing;
        }
        let cutmix = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (true, true) => rng.random_bool(self.switch_probability),
            (_, cutmix) => cutmix,
        };
        let alpha = if cutmix { self.cutmix } else { self.mixup };
        // Alpha is positive here and at most 100, which the distribution accepts.
        let own = Beta::new(alpha, alpha).map_or(0.5, |beta| beta.sample(rng));
        if !cutmix {
            return Plan::Mixup { own };
        }
        let side = (1.0 - own).sqrt();
        let mut span = |length: usize| {
            let half = (length as f64 * side) as usize / 2;
            let centre = rng.random_range(0..length);
            [centre.saturating_sub(half), (centre + half).min(length)]
        };
        let (rows, columns) = (span(height), span(width));
        if rows[0] == rows[1] || columns[0] == columns[1] {
            return Plan::Nothing;
        }
        Plan::CutMix { rows, columns }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn mixed(mix: Mix, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let device = Device::flex();
        let images = Tensor::<4>::cat(
            vec![Tensor::zeros([1, 8, 8, 1], &device), Tensor::ones([1, 8, 8, 1], &device)],
            0,
        );
        let targets = Tensor::from_data(TensorData::from([[1.0f32, 0.0], [0.0, 1.0]]), &device);
        let (images, targets) = mix.apply(images, targets, Seed::new(seed));
        (images.try_into_vec_as().unwrap(), targets.try_into_vec_as().unwrap())
    }

    /// Image 0 is black and image 1 white, so the mean of a mixed image is the other's share.
    #[test]
    fn targets_are_mixed_in_the_measure_of_the_images() {
        for mix in [Mix { mixup: 0.8, ..Mix::default() }, Mix { cutmix: 1.0, ..Mix::default() }] {
            let mut changed = 0;
            for seed in 0..20 {
                let (images, targets) = mixed(mix, seed);
                let means: Vec<f32> =
                    images.chunks(64).map(|i| i.iter().sum::<f32>() / 64.0).collect();
                assert!(
                    (means[0] - targets[1]).abs() < 1e-5 && (means[1] - targets[3]).abs() < 1e-5
                );
                assert!((targets[0] + targets[1] - 1.0).abs() < 1e-6);
                changed += usize::from(means[0] > 0.0);
            }
            assert!(changed > 10, "{mix:?} changed {changed} of 20");
        }
    }

    #[test]
    fn mixup_blends_and_cutmix_pastes() {
        let (blended, _) = mixed(Mix { mixup: 1.0, ..Mix::default() }, 1);
        assert!(blended[0] > 0.0 && blended[0] < 1.0);
        let (pasted, _) = mixed(Mix { cutmix: 1.0, ..Mix::default() }, 1);
        assert!(pasted.iter().all(|&v| v == 0.0 || v == 1.0));
    }

    #[test]
    fn parts_are_mixed_as_the_whole() {
        let device = Device::flex();
        let count = |shape: [usize; 4]| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i % 89) as f32).collect();
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        let images = count([7, 6, 6, 2]);
        let targets = count([7, 3, 1, 1]).reshape([7, 3]);
        let mode = MixMode::Element;
        for mix in [
            Mix { mixup: 0.8, ..Mix::default() },
            Mix { cutmix: 1.0, ..Mix::default() },
            Mix { mixup: 0.8, cutmix: 1.0, mode, ..Mix::default() },
        ] {
            let seed = Seed::new(1);
            let whole = mix.apply(images.clone(), targets.clone(), seed);
            let part = |range: Range<usize>| {
                mix.apply_to(range.clone(), range.start, images.clone(), targets.clone(), seed)
            };
            let parts = [0..2, 2..5, 5..7].map(part);
            let (found, found_targets): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            let read = |tensor: Tensor<1>| -> Vec<f32> { tensor.try_into_vec_as().unwrap() };
            assert_eq!(read(Tensor::cat(found, 0).flatten(0, 3)), read(whole.0.flatten(0, 3)));
            let found_targets = Tensor::cat(found_targets, 0);
            assert_eq!(read(found_targets.flatten(0, 1)), read(whole.1.flatten(0, 1)));
        }
    }

    #[test]
    fn elements_are_mixed_each_in_a_measure_of_its_own() {
        let of = |mode| {
            let (_, targets) = mixed(Mix { mixup: 1.0, mode, ..Mix::default() }, 1);
            [targets[0], targets[3]]
        };
        let ([first, second], [own, other]) = (of(MixMode::Batch), of(MixMode::Element));
        assert!((first - second).abs() < 1e-6, "{first}, {second}");
        assert!((own - other).abs() > 1e-3, "{own}, {other}");
    }

    #[test]
    fn nothing_is_mixed_when_off_or_improbable() {
        for mix in [Mix::default(), Mix { mixup: 1.0, probability: 0.0, ..Mix::default() }] {
            let (images, targets) = mixed(mix, 0);
            assert!(images[..64].iter().all(|&v| v == 0.0) && targets == [1.0, 0.0, 0.0, 1.0]);
        }
    }
}
