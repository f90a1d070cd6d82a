//! Pipelines whose stages a device can compute together with the decoding of JPEG files.

use vitral_seed::Seed;

use super::stages::Job;
use super::{Pipeline, Transform, horizontal_flip};
use crate::decode::CodedImages;
use crate::error::{DataError, DecodeError};

/// Checks that stages are a resize to the model's input size and flips.
///
/// # Errors
/// The first stage that is something else.
pub(crate) fn check(transforms: &[Transform]) -> Result<(), DataError> {
    let is_flip = |transform: &Transform| matches!(transform, Transform::HorizontalFlip { .. });
    let first = transforms.iter().position(|transform| !is_flip(transform));
    let other = transforms.iter().enumerate().find(|(stage, transform)| match transform {
        Transform::RandomResizedCrop { .. } | Transform::Resize {} => first != Some(*stage),
        transform => !is_flip(transform),
    });
    let Some((stage, transform)) = other else { return Ok(()) };
    Err(DataError::setting(
        format!("augment[{stage}]"),
        format!(
            "`{}` needs pixels, which with `decoder: Hybrid` are not there before the batch is on the \
             device; it can have one `RandomResizedCrop` or `Resize`, and flips",
            transform.name()
        ),
    ))
}

impl Pipeline {
    /// Adds a JPEG file's coefficients to a batch, as its image `place`, with what stages of an epoch make
    /// of them. The stages must have passed [`check`].
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
            let flips = self.transforms().iter().enumerate().skip(plan.done);
            let flips = flips.filter(|(stage, transform)| match **transform {
                Transform::HorizontalFlip { probability } => {
                    horizontal_flip::happens(probability, &mut seed.indexed(*stage as u64).rng())
                }
                _ => false,
            });
            Ok((plan.request, plan.mirrored != (flips.count() % 2 == 1)))
        })
    }
}
