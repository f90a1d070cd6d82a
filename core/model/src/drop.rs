//! What is left out at random while training: values (dropout), branches (stochastic depth) and
//! patches. Each draw has a stream of its own, named by step, layer and place, so that a run
//! resumed at any step draws what it would have drawn.

use burn::tensor::{Device, Distribution, Tensor, TensorData};
use rand::{Rng as _, seq::index};
use vitral_burn::{
    device::is_cpu,
    recording::{self, Drawn},
};
use vitral_seed::{Rng, Seed};

/// Whether a forward pass trains, and then with which noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing is left out.
    Eval,
    /// Dropout, stochastic depth and patch dropout draw from this seed, which should be different
    /// for each step and micro-batch.
    Train(Seed),
    /// A part of a batch. Its samples get the noise that [`Mode::Train`] gives them when the whole
    /// batch goes through at once, so that it does not matter how a batch is cut: on the CPU the
    /// very same values; on a GPU elementwise dropout draws for blocks of samples, which does not depend
    /// on the cut either, but is not what [`Mode::Train`] draws there.
    TrainPart {
        /// Of the whole batch.
        seed: Seed,
        /// Place of the part's first sample in the batch.
        first: usize,
    },
}

/// Where noise is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noise {
    seed: Seed,
    /// Place of the first sample in the batch that the seed is for.
    first: usize,
    /// Whether that batch may be cut anywhere.
    in_parts: bool,
}

impl Noise {
    /// A generator that stands where the first sample's values begin; each value takes one draw of
    /// 32 bits, and each sample so many values.
    fn rng(self, values_per_sample: usize) -> Rng {
        let mut rng = self.seed.rng();
        // Words of 32 bits.
        rng.set_word_pos(self.first as u128 * values_per_sample as u128);
        rng
    }
}

impl Mode {
    /// The mode of a named part of the model.
    pub(crate) fn of(self, name: &str) -> Self {
        self.with(|seed| seed.named(name))
    }

    /// The mode of the block of a layer.
    pub(crate) fn of_block(self, layer: usize) -> Self {
        self.of("block").with(|seed| seed.indexed(layer as u64))
    }

    fn with(self, derived: impl FnOnce(Seed) -> Seed) -> Self {
        match self {
            Self::Eval => Self::Eval,
            Self::Train(seed) => Self::Train(derived(seed)),
            Self::TrainPart { seed, first } => Self::TrainPart { seed: derived(seed), first },
        }
    }

    /// The noise of something that leaves out a share of `rate`, if it does at all.
    pub(crate) fn noise(self, rate: f64) -> Option<Noise> {
        match self {
            Self::Train(seed) if rate > 0.0 => Some(Noise { seed, first: 0, in_parts: false }),
            Self::TrainPart { seed, first } if rate > 0.0 => {
                Some(Noise { seed, first, in_parts: true })
            }
            _ => None,
        }
    }
}

/// Dropout (Srivastava et al. 2014) of `f32`: zeroes a share of the values and scales up the rest.
pub(crate) fn dropout<const D: usize>(input: Tensor<D>, rate: f64, mode: Mode) -> Tensor<D> {
    let Some(noise) = mode.noise(rate) else { return input };
    recording::varies("dropout draws in each step anew");
    let (shape, device) = (input.dims(), input.device().without_autodiff());
    let keep = 1.0 - rate;
    let mask = if is_cpu(&device) {
        // Burn's CPU generator is one for the whole process; ours is this place's own.
        keep_mask(shape, keep, noise, &device)
    } else {
        device_uniform(shape, noise, &device).lower_elem(keep).float().div_scalar(keep)
    };
    input * mask
}

/// The most values that a device draws at once for a batch that may be cut anywhere: enough to be worth a
/// launch, and little beside what a step keeps, since up to twice as many are drawn in vain.
const BLOCK: usize = 1 << 20;

/// Numbers from 0 to below 1 from the device's generator, for a whole batch at once or, where it may
/// be cut anywhere, for blocks of samples, which begin at the same samples whatever the cut, from a seed
/// of each block's own.
fn device_uniform<const D: usize>(shape: [usize; D], noise: Noise, device: &Device) -> Tensor<D> {
    let draw = |shape: [usize; D], seed: Seed| {
        device.seed(seed.value());
        Tensor::<D>::random(shape, Distribution::Default, device)
    };
    if !noise.in_parts {
        return draw(shape, noise.seed);
    }
    let per_sample: usize = shape[1..].iter().product();
    let samples = (BLOCK / per_sample.max(1)).clamp(1, 64);
    let mut of_block = shape;
    of_block[0] = samples;
    let (first, end) = (noise.first / samples, (noise.first + shape[0]).div_ceil(samples));
    let blocks = (first..end).map(|block| draw(of_block, noise.seed.indexed(block as u64)));
    Tensor::cat(blocks.collect(), 0).narrow(0, noise.first - first * samples, shape[0])
}

/// What stochastic depth (Huang et al. 2016) multiplies the residual branch of each of `batch` samples
/// with; nothing if none is left out.
pub(crate) fn drop_path_factors(batch: usize, rate: f64, mode: Mode) -> Option<Drawn> {
    mode.noise(rate).map(|noise| Drawn {
        stream: noise.seed.value(),
        values: keep_factors(batch, 1.0 - rate, &mut noise.rng(1)),
    })
}

/// The patches that patch dropout keeps: for each of `batch` images, as many indices, ascending; nothing if all are
/// kept.
pub(crate) fn kept_patches(batch: usize, patches: usize, rate: f64, mode: Mode) -> Option<Drawn> {
    let noise = mode.noise(rate)?;
    let kept = ((patches as f64 * (1.0 - rate)) as usize).max(1);
    let mut indices = Vec::with_capacity(batch * kept);
    for sample in 0..batch {
        let mut rng = noise.seed.indexed((noise.first + sample) as u64).rng();
        let mut chosen = index::sample(&mut rng, patches, kept).into_vec();
        chosen.sort_unstable();
        // Exact: no image has 2^24 patches.
        indices.extend(chosen.into_iter().map(|index| index as f32));
    }
    Some(Drawn { stream: noise.seed.value(), values: indices })
}

/// 1/keep with probability `keep`, else 0.
fn keep_mask<const D: usize>(
    shape: [usize; D],
    keep: f64,
    noise: Noise,
    device: &Device,
) -> Tensor<D> {
    let mut rng = noise.rng(shape[1..].iter().product());
    let values = keep_factors(shape.iter().product(), keep, &mut rng);
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Zero for what is left out, the inverse of the share that is kept for what is not.
fn keep_factors(count: usize, keep: f64, rng: &mut Rng) -> Vec<f32> {
    let threshold = (keep * f64::from(u32::MAX)) as u32;
    let scale = (1.0 / keep) as f32;
    let mut factor = || if rng.random::<u32>() < threshold { scale } else { 0.0 };
    (0..count).map(|_| factor()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.try_into_vec_as().unwrap()
    }

    #[test]
    fn dropout_keeps_the_expectation_and_is_off_in_evaluation() {
        let device = Device::flex();
        let ones = || Tensor::<2>::ones([200, 100], &device);
        let seed = Seed::new(3);
        let dropped = values(dropout(ones(), 0.25, Mode::Train(seed)));
        let mean = dropped.iter().sum::<f32>() / dropped.len() as f32;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!(dropped.iter().all(|&v| v == 0.0 || (v - 4.0 / 3.0).abs() < 1e-6));
        assert_eq!(dropped, values(dropout(ones(), 0.25, Mode::Train(seed))));
        assert_ne!(dropped, values(dropout(ones(), 0.25, Mode::Train(seed.indexed(1)))));
        assert!(values(dropout(ones(), 0.25, Mode::Eval)).iter().all(|&v| v == 1.0));
    }

    /// However a batch is cut, its samples get the noise of the whole.
    #[test]
    fn parts_of_a_batch_get_the_noise_of_the_whole() {
        let (seed, tokens) = (Seed::new(4), Tensor::<3>::ones([10, 7, 3], &Device::flex()));
        let parts = [0..1, 1..4, 4..10];
        let whole = Mode::Train(seed);
        let part = |first: usize| Mode::TrainPart { seed, first };
        let cut = |range: &std::ops::Range<usize>| tokens.clone().slice([range.clone()]);
        let together = |draw: &dyn Fn(Tensor<3>, Mode) -> Tensor<3>| {
            let drawn = parts.iter().map(|range| draw(cut(range), part(range.start)));
            (values(Tensor::cat(drawn.collect(), 0)), values(draw(tokens.clone(), whole)))
        };
        let (found, expected) = together(&|tokens, mode| dropout(tokens, 0.3, mode));
        assert_eq!(found, expected);
        let factors = |range: &std::ops::Range<usize>| {
            drop_path_factors(range.len(), 0.5, part(range.start)).unwrap().values
        };
        let found: Vec<f32> = parts.iter().flat_map(factors).collect();
        assert_eq!(found, drop_path_factors(10, 0.5, whole).unwrap().values);
        let patches = |range: &std::ops::Range<usize>| {
            kept_patches(range.len(), 49, 0.5, part(range.start)).unwrap().values
        };
        let found: Vec<f32> = parts.iter().flat_map(patches).collect();
        assert_eq!(found, kept_patches(10, 49, 0.5, whole).unwrap().values);
    }

    #[test]
    fn samples_that_a_device_draws_for_do_not_depend_on_the_cut() {
        let device = Device::flex();
        // Blocks of 64 samples, of a few, and of one.
        for width in [5, BLOCK / 3, BLOCK + 1] {
            let draw = |count: usize, first: usize| {
                let noise = Noise { seed: Seed::new(1), first, in_parts: true };
                values(device_uniform([count, width], noise, &device))
            };
            assert_eq!([draw(1, 0), draw(3, 1)].concat(), draw(4, 0), "{width} values");
            assert_ne!(draw(1, 0), draw(1, 1), "{width} values");
        }
        let draw = |count: usize, first: usize| {
            let noise = Noise { seed: Seed::new(1), first, in_parts: true };
            values(device_uniform([count, 5], noise, &device))
        };
        assert_eq!([draw(63, 0), draw(70, 63)].concat(), draw(133, 0));
    }

    #[test]
    fn patch_dropout_keeps_distinct_ascending_patches() {
        let rows = kept_patches(8, 49, 0.5, Mode::Train(Seed::new(0))).unwrap().values;
        assert_eq!(rows.len(), 8 * 24);
        for row in rows.chunks(24) {
            assert!(row.is_sorted_by(|a, b| a < b) && row[0] >= 0.0 && row[23] < 49.0);
        }
        assert!(rows.chunks(24).any(|row| row != &rows[..24]), "samples keep different patches");
        assert!(kept_patches(8, 49, 0.5, Mode::Eval).is_none());
    }
}
