//! Left and right exchanged, at random.

use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_seed::Seed;

use super::hybrid::Hybrid;
use super::stage::{Operation, Passing, Step};
use crate::error::TransformError;
use crate::pixels::Channels;

/// Settings of `HorizontalFlip`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct HorizontalFlip {
    /// Probability that an image is mirrored.
    #[serde(default = "default_probability")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub probability: f64,
}

fn default_probability() -> f64 {
    0.5
}

impl Operation for HorizontalFlip {
    fn works_in_place(&self, _: (u32, u32), _: u32) -> bool {
        true
    }

    fn step(&self, _: Passing, seed: Seed) -> Result<Step<'_>, TransformError> {
        Ok(Step::Mirror(seed.rng().random::<f64>() < self.probability))
    }

    fn hybrid(&self) -> Hybrid {
        Hybrid::Mirrors
    }
}

/// Mirrors pixels in rows of `width`.
pub(super) fn flip(pixels: &mut [u8], width: u32, channels: Channels) {
    let width = width as usize;
    match channels {
        Channels::Grey => pixels.chunks_exact_mut(width).for_each(<[u8]>::reverse),
        Channels::Rgb => {
            // Whole pixels are exchanged, so that colours keep their order.
            let (pixels, _) = pixels.as_chunks_mut::<3>();
            pixels.chunks_exact_mut(width).for_each(<[[u8; 3]]>::reverse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_mirrored_exactly() {
        let mut grey = [1, 2, 3, 4, 5, 6];
        flip(&mut grey, 3, Channels::Grey);
        assert_eq!(grey, [3, 2, 1, 6, 5, 4]);
        let mut colour: [u8; 12] = std::array::from_fn(|at| at as u8 + 1);
        flip(&mut colour, 2, Channels::Rgb);
        assert_eq!(colour, [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
    }

    #[test]
    fn happens_as_often_as_asked() {
        let image = Passing { width: 3, height: 2, channels: Channels::Grey, model: 8 };
        let flips = |probability| {
            let flip = HorizontalFlip { probability };
            let happens =
                |seed: &u64| matches!(flip.step(image, Seed::new(*seed)), Ok(Step::Mirror(true)));
            (0..2000).filter(happens).count()
        };
        assert_eq!((flips(0.0), flips(1.0)), (0, 2000));
        assert!(flips(0.25).abs_diff(500) < 80);
    }
}
