//! A border around the image, then a random part of the image's own size: the usual augmentation of
//! small images such as CIFAR's.

use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_seed::Seed;

use super::cut::Cut;
use super::stage::{Operation, Passing, Redraw, Step};
use crate::error::TransformError;

/// Settings of `PadCrop`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct PadCrop {
    /// Width of the border, in pixels.
    #[schemars(range(min = 1, max = 1024))]
    pub padding: u32,
    /// Value of the border's pixels: 0 is black, 255 white.
    #[serde(default)]
    pub fill: u8,
}

impl Operation for PadCrop {
    fn works_in_place(&self, _: (u32, u32), _: u32) -> bool {
        false
    }

    fn step(&self, image: Passing, seed: Seed) -> Result<Step<'_>, TransformError> {
        let mut rng = seed.rng();
        let mut start =
            || i64::from(rng.random_range(0..=2 * self.padding)) - i64::from(self.padding);
        let (top, left) = (start(), start());
        let Passing { width, height, .. } = image;
        Ok(Step::Redraw(Redraw::Cut(Cut { left, top, width, height, fill: self.fill })))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::Channels;

    #[test]
    fn every_shift_occurs() {
        let image = Passing { width: 3, height: 2, channels: Channels::Grey, model: 8 };
        let shift = |seed| match (PadCrop { padding: 1, fill: 7 }).step(image, Seed::new(seed)) {
            Ok(Step::Redraw(Redraw::Cut(Cut { left, top, width: 3, height: 2, fill: 7 }))) => {
                (left, top)
            }
            other => panic!("{other:?}"),
        };
        let found: HashSet<_> = (0..500).map(shift).collect();
        let all = (-1..=1).flat_map(|left| (-1..=1).map(move |top| (left, top)));
        assert_eq!(found, all.collect());
    }
}
