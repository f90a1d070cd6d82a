//! From 8-bit values to the numbers a model sees.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::pixels::Channels;

/// How 8-bit values become a model's inputs: `(value / 255 - mean) / std` for each channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Normalization {
    /// Mean 0.5 and standard deviation 0.5, so that values lie in -1 to 1. vit_jax and timm's
    /// `augreg` weights use this.
    #[default]
    Inception,
    /// Mean (0.485, 0.456, 0.406) and standard deviation (0.229, 0.224, 0.225): ImageNet's own, as
    /// DeiT uses them. For grey images, their averages.
    ImageNet,
    /// Means and standard deviations of your own data.
    Custom {
        /// Mean of each channel, of values scaled to 0 to 1.
        mean: Vec<f32>,
        /// Standard deviation of each channel, of values scaled to 0 to 1.
        std: Vec<f32>,
    },
}

impl Normalization {
    /// Mean and standard deviation of each channel, for values scaled to 0 to 1.
    ///
    /// # Errors
    /// If `Custom` does not have one finite mean and one positive deviation per channel.
    pub fn mean_std(&self, channels: Channels) -> Result<(Vec<f32>, Vec<f32>), DataError> {
        let count = channels.count();
        match (self, channels) {
            (Self::Inception, _) => Ok((vec![0.5; count], vec![0.5; count])),
            (Self::ImageNet, Channels::Rgb) => {
                Ok((vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]))
            }
            (Self::ImageNet, Channels::Grey) => Ok((vec![0.449], vec![0.226])),
            (Self::Custom { mean, std }, _) => {
                check("mean", mean, count, f32::is_finite)?;
                check("std", std, count, |value| value.is_finite() && value > 0.0)?;
                Ok((mean.clone(), std.clone()))
            }
        }
    }

    /// The model's inputs for `pixels`, whose innermost dimension is the channels (as in HWC), in timm's
    /// form: `(value - 255 mean) / (255 std)`. With 0.5 and 0.5 it is exactly
    /// `(value - 127.5) / 127.5`.
    ///
    /// # Errors
    /// As [`mean_std`](Self::mean_std), or if `pixels` is not a whole number of pixels.
    pub fn apply(&self, pixels: &[u8], channels: Channels) -> Result<Vec<f32>, DataError> {
        let mut values = Vec::new();
        self.apply_into(pixels, channels, &mut values)?;
        Ok(values)
    }

    /// The same in memory that is there already: `values` gets the length of `pixels`.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_into(
        &self,
        pixels: &[u8],
        channels: Channels,
        values: &mut Vec<f32>,
    ) -> Result<(), DataError> {
        let count = channels.count();
        if !pixels.len().is_multiple_of(count) {
            let problem =
                format!("{} values are not whole pixels of {count} channels", pixels.len());
            return Err(DataError::setting("normalize", problem));
        }
        let (mean, std) = self.mean_std(channels)?;
        let pattern = Pattern {
            means: std::array::from_fn(|at| 255.0 * mean[at % count]),
            stds: std::array::from_fn(|at| 255.0 * std[at % count]),
        };
        if values.capacity() < pixels.len() {
            // Memory that the system clears page by page, as it is written.
            *values = vec![0.0; pixels.len()];
        }
        values.resize(pixels.len(), 0.0);
        pattern.apply(pixels, values);
        Ok(())
    }
}

/// Values after which means and deviations repeat, for 1 and for 3 channels, and a whole number of the
/// processor's vectors.
const PATTERN: usize = 48;

/// Means and deviations in the order of values, times 255.
struct Pattern {
    means: [f32; PATTERN],
    stds: [f32; PATTERN],
}

impl Pattern {
    fn apply(&self, pixels: &[u8], values: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return unsafe { self.apply_avx2(pixels, values) };
        }
        self.apply_plain(pixels, values);
    }

    /// The same in longer vectors; no operation is another, so values are the same, too.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn apply_avx2(&self, pixels: &[u8], values: &mut [f32]) {
        self.apply_plain(pixels, values);
    }

    #[inline(always)]
    fn apply_plain(&self, pixels: &[u8], values: &mut [f32]) {
        let (blocks, rest) = pixels.as_chunks::<PATTERN>();
        let (out_blocks, out_rest) = values.as_chunks_mut::<PATTERN>();
        for (out, block) in out_blocks.iter_mut().zip(blocks) {
            for at in 0..PATTERN {
                out[at] = (f32::from(block[at]) - self.means[at]) / self.stds[at];
            }
        }
        for (at, (out, &value)) in out_rest.iter_mut().zip(rest).enumerate() {
            *out = (f32::from(value) - self.means[at]) / self.stds[at];
        }
    }
}

fn check(name: &str, values: &[f32], count: usize, good: fn(f32) -> bool) -> Result<(), DataError> {
    let setting = format!("normalize: Custom: {name}");
    if values.len() != count {
        let problem = format!("has {} value(s), but images have {count} channel(s)", values.len());
        return Err(DataError::setting(setting, problem));
    }
    match values.iter().find(|&&value| !good(value)) {
        Some(value) => Err(DataError::setting(setting, format!("cannot be {value}"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inception_is_exact() {
        let pixels: Vec<u8> = (0..=255).collect();
        let values = Normalization::Inception.apply(&pixels, Channels::Grey).unwrap();
        for (pixel, value) in pixels.iter().zip(values) {
            assert_eq!(value, (f32::from(*pixel) - 127.5) / 127.5);
        }
    }

    #[test]
    fn each_channel_has_its_own_numbers() {
        let values =
            Normalization::ImageNet.apply(&[255, 255, 255, 0, 0, 0], Channels::Rgb).unwrap();
        let expected = [
            (1.0 - 0.485) / 0.229,
            (1.0 - 0.456) / 0.224,
            (1.0 - 0.406) / 0.225,
            -0.485 / 0.229,
            -0.456 / 0.224,
            -0.406 / 0.225,
        ];
        for (value, expected) in values.iter().zip(expected) {
            assert!((value - expected).abs() < 1e-5, "{value} is not {expected}");
        }
        let grey = Normalization::ImageNet.apply(&[0], Channels::Grey).unwrap();
        assert!((grey[0] + 0.449 / 0.226).abs() < 1e-5);
    }

    #[test]
    fn memory_may_come_from_another_batch() {
        let pixels: Vec<u8> = (0..=255).cycle().take(999).collect();
        let mut values = Vec::new();
        for length in [999, 3, 600, 0, 51, 999] {
            let pixels = &pixels[..length];
            Normalization::ImageNet.apply_into(pixels, Channels::Rgb, &mut values).unwrap();
            for (at, (&pixel, &value)) in pixels.iter().zip(&values).enumerate() {
                let mean = [0.485, 0.456, 0.406_f32][at % 3];
                let std = [0.229, 0.224, 0.225_f32][at % 3];
                assert_eq!(value, (f32::from(pixel) - 255.0 * mean) / (255.0 * std));
            }
            assert_eq!(values.len(), length);
        }
    }

    #[test]
    fn custom_numbers_must_fit_the_channels() {
        let custom = |mean: &[f32], std: &[f32]| Normalization::Custom {
            mean: mean.to_vec(),
            std: std.to_vec(),
        };
        assert!(custom(&[0.2], &[0.3]).apply(&[1, 2], Channels::Grey).is_ok());
        let error = custom(&[0.2], &[0.3]).mean_std(Channels::Rgb).unwrap_err();
        assert!(error.to_string().contains("mean: has 1 value(s)"), "{error}");
        assert!(custom(&[0.2], &[0.0]).mean_std(Channels::Grey).is_err());
        assert!(custom(&[f32::NAN], &[1.0]).mean_std(Channels::Grey).is_err());
        assert!(Normalization::Inception.apply(&[1, 2], Channels::Rgb).is_err());
    }

    #[test]
    fn reads_from_ron() {
        let read = |text| ron::from_str::<Normalization>(text);
        assert_eq!(read("ImageNet").unwrap(), Normalization::ImageNet);
        let custom = Normalization::Custom { mean: vec![0.5], std: vec![0.25] };
        assert_eq!(read("Custom(mean: [0.5], std: [0.25])").unwrap(), custom);
        assert!(read("Custom(mean: [0.5], std: [0.25], variance: [1.0])").is_err());
    }
}
