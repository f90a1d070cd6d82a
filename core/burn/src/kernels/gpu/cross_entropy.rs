//! Softmax and cross-entropy with soft targets, forward and backward in one kernel each.

use burn::{
    backend::Cube,
    tensor::{DType, Tensor},
};
use vitral_gpu_kernels::GpuKernels;

use super::{
    is_gpu,
    operation::{Operation, Values, run},
};

/// The loss of each row, `[rows, 1]`, if kernels take it. Targets get no gradient.
pub(in super::super) fn cross_entropy(
    logits: &Tensor<2>,
    targets: &Tensor<2>,
) -> Option<Tensor<2>> {
    let is_full = [logits, targets].into_iter().all(|tensor| tensor.dtype() == DType::F32);
    if !is_gpu(&logits.device()) || !is_full {
        return None;
    }
    let targets = targets.clone().without_autodiff();
    Some(run(CrossEntropy, [logits.clone().into_dispatch(), targets.into_dispatch()]))
}

#[derive(Clone, Debug)]
struct CrossEntropy;

impl Operation<2> for CrossEntropy {
    /// Logits, targets, and the logarithm of each row's sum.
    type Saved = [Values; 3];

    fn forward(&self, [logits, targets]: [Values; 2]) -> (Values, Self::Saved) {
        let (losses, sums) = Cube::cross_entropy(logits.clone(), targets.clone());
        (losses, [logits, targets, sums])
    }

    fn backward(
        self,
        [logits, targets, sums]: Self::Saved,
        gradient: Values,
        _: [bool; 2],
    ) -> [Option<Values>; 2] {
        [Some(Cube::cross_entropy_backward(logits, targets, sums, gradient)), None]
    }
}
