//! Steps that may run out of memory: told from other failures, and injected by tests.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use burn::tensor::Tensor;
use vitral_model::device::is_cpu;

use super::{BatchGradients, Learner};
use crate::{Error, gradients::global_norm, read_back::scalar};

/// Tells, by the step and the images of a micro-batch, whether memory is to run out in it: for tests
/// of what happens then.
#[doc(hidden)]
pub type MemoryFault = Box<dyn Fn(u64, usize) -> bool + Send + Sync>;

impl Learner {
    /// Has memory run out where `fault` says so, for tests of what happens then.
    #[doc(hidden)]
    pub fn set_memory_fault(&mut self, fault: MemoryFault) {
        self.fault = Some(fault);
    }

    /// [`Learner::gradients`], and an error where memory runs out, after which everything is as it
    /// was before: the same step can be made again, in smaller micro-batches.
    ///
    /// On a GPU it waits for the result, since a GPU's allocations fail when something is read.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or the device fails in another way.
    pub fn gradients_within_memory(
        &mut self,
        step: u64,
        images: Tensor<4>,
        targets: Tensor<2>,
    ) -> Result<BatchGradients, Error> {
        within_memory(|| {
            let gradients = self.gradients(step, images, targets);
            wait_for(&gradients.gradients, &gradients.loss)?;
            Ok(gradients)
        })
    }

    /// Has memory run out in a micro-batch of so many images, where a test says so.
    pub(super) fn fail_for_test(&self, step: u64, images: usize) {
        if self.fault.as_ref().is_some_and(|fault| fault(step, images)) {
            // As Burn's GPU backends do, but without the message of a panic.
            resume_unwind(Box::new(format!("{} (a fault for a test)", OUT_OF_MEMORY[0])));
        }
    }
}

/// What Burn's backends call it when memory runs out; `_` and `-` are blanks here. Their errors have a
/// type for it, but by the time that a tensor is read it has become a part of a text.
const OUT_OF_MEMORY: [&str; 3] = ["out of memory", "out of device memory", "can't allocate"];

/// Runs something that may run out of memory, which Burn tells by an error or by a panic.
pub(super) fn within_memory<R>(body: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    // Nothing that the caller sees is changed before it succeeds.
    let failed = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Err(Error::Device(message))) => message,
        Ok(result) => return result,
        Err(panic) => match panic_message(&*panic) {
            Some(message) if is_out_of_memory(&message) => message,
            _ => resume_unwind(panic),
        },
    };
    Err(if is_out_of_memory(&failed) {
        // A backtrace may follow.
        Error::OutOfMemory(failed.lines().next().unwrap_or_default().to_owned())
    } else {
        Error::Device(failed)
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
}

fn is_out_of_memory(message: &str) -> bool {
    let message = message.to_lowercase().replace(['_', '-'], " ");
    OUT_OF_MEMORY.iter().any(|words| message.contains(words))
}

/// Waits until a GPU has computed gradients, and tells whether it could.
pub(super) fn wait_for(gradients: &[Tensor<1>], loss: &Tensor<1>) -> Result<(), Error> {
    if is_cpu(&loss.device()) {
        return Ok(());
    }
    // It depends on all of them.
    scalar(global_norm(gradients) + loss.clone()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_memory_is_told_from_other_failures() {
        for message in [
            "out of device memory allocating 1024 bytes\n  backtrace",
            "An out-of-memory error happened during launch",
            "CUDA_ERROR_OUT_OF_MEMORY",
            "can't allocate buffer of size: 99",
        ] {
            let told = within_memory(|| Err::<(), _>(Error::Device(message.into())));
            assert!(matches!(told, Err(Error::OutOfMemory(_))), "{message}");
            let panicked = within_memory::<()>(|| resume_unwind(Box::new(message.to_owned())));
            assert!(matches!(panicked, Err(Error::OutOfMemory(_))), "{message}");
        }
        let told = within_memory(|| Err::<(), _>(Error::Device("device lost".into())));
        assert!(matches!(told, Err(Error::Device(message)) if message == "device lost"));
        let panicked = catch_unwind(|| within_memory::<()>(|| resume_unwind(Box::new("a bug"))));
        assert!(panicked.is_err(), "other panics go on");
    }
}
