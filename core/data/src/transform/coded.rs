//! JPEG files whose coefficients go to a device, with what the stages of a pipeline make of them.

use vitral_seed::Seed;

use super::pipeline::Pipeline;
use super::stage::{Job, Step};
use crate::decode::CodedImages;
use crate::error::DecodeError;

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
