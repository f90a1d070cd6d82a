//! Sides of training images that change over the epochs (progressive resizing).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The side of training images in the epochs before one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageSizeStage {
    /// The first epoch, counted from 0, that has the next stage's size, or the model's after the
    /// last stage: `until_epoch: 3` is for the first three.
    #[schemars(range(min = 1, max = 100_000))]
    pub until_epoch: u64,
    /// Side of the square images in pixels; a multiple of the model's patch size.
    #[schemars(range(min = 1, max = 8192))]
    pub size: u32,
}

/// The side of an epoch's images, by the first stage that is not over; none after all.
pub(crate) fn size_at(stages: &[ImageSizeStage], epoch: u64) -> Option<u32> {
    stages.iter().find(|stage| epoch < stage.until_epoch).map(|stage| stage.size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_the_size_of_the_first_stage_that_is_not_over() {
        let stage = |until_epoch, size| ImageSizeStage { until_epoch, size };
        let stages = [stage(2, 96), stage(3, 128)];
        let sizes: Vec<_> = (0..5).map(|epoch| size_at(&stages, epoch)).collect();
        assert_eq!(sizes, [Some(96), Some(96), Some(128), None, None]);
        assert_eq!(size_at(&[], 0), None);
    }
}
