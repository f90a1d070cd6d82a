//! Programs for images of the model's own size.

use vitral_program::{Program, ops as op};

use super::{
    interface::{Interface, Output, VitProgramError},
    trace::Trace,
};
use crate::{Mode, ViT, ops::Ops};

/// Traces a model in evaluation mode.
///
/// # Errors
/// A plugin's attention that draws random numbers for each image, and sizes beyond what a program
/// can have.
pub fn vit_program(model: &ViT, interface: &Interface) -> Result<Program, VitProgramError> {
    model.program(Trace::new(model), interface)
}

impl ViT {
    /// Records the model between what goes in and what comes out.
    pub(super) fn program(
        &self,
        mut trace: Trace,
        interface: &Interface,
    ) -> Result<Program, VitProgramError> {
        let images = trace.images();
        let images = match &interface.normalize {
            Some((mean, std)) => trace.normalized(images, mean, std),
            None => images,
        };
        let logits = self.logits(&mut trace, images, Mode::Eval);
        let output = match interface.output {
            Output::Logits => logits,
            Output::Softmax => trace.apply(op::Softmax { axis: 1 }, [logits]),
            Output::Sigmoid => trace.apply(op::Sigmoid {}, [logits]),
        };
        trace.finish(interface.output.name(), output)
    }
}
