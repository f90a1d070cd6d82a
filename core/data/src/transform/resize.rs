//! An image in the model's size, whatever its shape was.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_seed::Seed;

use super::hybrid::Hybrid;
use super::interpolation::Interpolation;
use super::stage::{Operation, Passing, Redraw, Step};
use crate::decode::Request;
use crate::error::TransformError;
use crate::region::Crop;

/// Settings of `Resize`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Resize {
    /// How values between pixels are found: `Bilinear` or `Bicubic`.
    #[serde(default)]
    pub interpolation: Interpolation,
}

impl Operation for Resize {
    fn works_in_place(&self, size: (u32, u32), model: u32) -> bool {
        size == (model, model)
    }

    fn step(&self, image: Passing, _: Seed) -> Result<Step<'_>, TransformError> {
        let part = Crop::whole(image.width, image.height);
        let request = Request { part, width: image.model, height: image.model };
        Ok(Step::Redraw(Redraw::Resize(request, self.interpolation)))
    }

    fn hybrid(&self) -> Hybrid {
        Hybrid::resizes(self.interpolation)
    }
}
