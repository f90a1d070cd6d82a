//! Pipelines whose stages a device can compute together with the decoding of JPEG files.

use vitral_seed::Seed;

use super::stage::{Hybrid, Step};
use super::stages::Job;
use super::{Pipeline, Transform};
use crate::decode::CodedImages;
use crate::error::{DataError, DecodeError};

/// Checks that transforms are a resize to the model's input size and flips.
///
/// # Errors
/// The first one that is something else.
pub(crate) fn check(transforms: &[Transform]) -> Result<(), DataError> {
    check_stages(transforms.iter().map(Transform::hybrid))
}

/// The same of stages, by their names.
pub(super) fn check_stages<'n>(
    stages: impl Iterator<Item = (&'n str, Hybrid)>,
) -> Result<(), DataError> {
    // Once an image has been made smaller, its coefficients no longer say what its parts are.
    let mut first = true;
    for (number, (name, hybrid)) in stages.enumerate() {
        match hybrid {
            Hybrid::Mirrors => {}
            Hybrid::Resizes if first => first = false,
            Hybrid::Resizes | Hybrid::NeedsPixels => {
                return Err(DataError::setting(
                    format!("augment[{number}]"),
                    format!(
                        "`{name}` needs pixels, which with `decoder: Hybrid` are not there before the batch \
                         is on the device; it can have one `RandomResizedCrop` or `Resize`, and flips"
                    ),
                ));
            }
        }
    }
    Ok(())
}

impl Pipeline {
    /// Adds a JPEG file's coefficients to a batch, as its image `place`, with what the stages of an epoch
    /// make of them.
    ///
    /// # Errors
    /// The file is none that can be added; `run_into` may take it.
    pub(crate) fn code_into(
        &self,
        bytes: &[u8],
        place: usize,
        seed: Seed,
        epoch: u64,
        coded: &mut CodedImages,
    ) -> Result<(), DecodeError> {
        let job = Job { seed, epoch, size: self.size(epoch) };
        coded.add(bytes, place, self.channels(), |width, height| {
            let plan = self.plan(width, height, &job)?;
            let mut mirrored = plan.mirrored;
            // What is left is flips, or this pipeline would not be a hybrid decoder's.
            for stage in plan.done..self.stages.len() {
                let image = self.passing((plan.request.width, plan.request.height), &job);
                if let Step::Mirror(happens) = self.step(stage, image, &job)? {
                    mirrored ^= happens;
                }
            }
            Ok((plan.request, mirrored))
        })
    }
}
