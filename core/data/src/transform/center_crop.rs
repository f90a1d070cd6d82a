//! The middle of an image, as torchvision's `CenterCrop` cuts it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_seed::Seed;

use super::cut::Cut;
use super::stage::{Operation, Passing, Redraw, Step};
use crate::error::TransformError;

/// Settings of `CenterCrop`: none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct CenterCrop {}

impl Operation for CenterCrop {
    fn works_in_place(&self, size: (u32, u32), model: u32) -> bool {
        size == (model, model)
    }

    fn step(&self, image: Passing, _: Seed) -> Result<Step<'_>, TransformError> {
        let Passing { width, height, model, .. } = image;
        let (left, top) = (start(width, model), start(height, model));
        Ok(Step::Redraw(Redraw::Cut(Cut { left, top, width: model, height: model, fill: 0 })))
    }
}

/// Where the middle of a side starts.
fn start(side: u32, size: u32) -> i64 {
    if side >= size {
        half_to_even(side - size).into()
    } else {
        // torchvision pads the right and the bottom with the larger half.
        -i64::from((size - side) / 2)
    }
}

/// Half of a number; a fraction of one half goes to the even side, as Python rounds.
fn half_to_even(number: u32) -> u32 {
    let half = number / 2;
    half + (number % 2) * (half % 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_where_torchvision_has_it() {
        assert_eq!([1, 3, 5, 7].map(|more| start(4 + more, 4)), [0, 2, 2, 4]);
        assert_eq!([0, 2, 4].map(|more| start(4 + more, 4)), [0, 1, 2]);
        assert_eq!([1, 2, 3].map(|less| start(4 - less, 4)), [0, -1, -1]);
    }
}
