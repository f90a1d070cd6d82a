//! Softmax and cross-entropy with soft targets.

use burn::{
    backend::flex::FlexTensor,
    tensor::{Tensor, activation},
};
use vitral_kernels::cross_entropy::{backward, forward};

use super::{
    memory::Buffer,
    multiplied::covers,
    operation::{Input, Operation, count, from_last, run, shape, values},
};

/// The loss of each image, `-sum(target * log_softmax(logits))`, `[batch, 1]`, from logits and soft
/// targets `[batch, classes]`. Targets are constants: they get no gradient.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<2> {
    #[cfg(feature = "gpu")]
    if let Some(losses) = super::gpu::cross_entropy(&logits, &targets) {
        return losses;
    }
    if !covers(&logits) {
        return (activation::log_softmax(logits, 1) * targets).sum_dim(1).neg();
    }
    run(CrossEntropy, [Input::new(logits), Input::new(targets.without_autodiff())])
}

#[derive(Clone, Debug)]
struct CrossEntropy;

impl Operation<2> for CrossEntropy {
    /// The logarithm of each row's sum.
    type Saved = FlexTensor;

    fn forward(
        &self,
        [logits, targets]: &[FlexTensor; 2],
        _: bool,
    ) -> (FlexTensor, Option<FlexTensor>) {
        let classes = from_last(logits, 0);
        let rows = from_last(logits, 1);
        let (mut losses, mut sums) = (Buffer::new(rows), Buffer::new(rows));
        forward(values(logits), values(targets), classes, &mut losses, &mut sums);
        (losses.into_tensor([rows, 1]), Some(sums.into_tensor([rows])))
    }

    fn backward(
        self,
        [logits, targets]: [FlexTensor; 2],
        sums: FlexTensor,
        gradient: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let classes = from_last(&logits, 0);
        let mut out = Buffer::new(count(&logits));
        let (sums, gradient) = (values(&sums), values(&gradient));
        backward(values(&logits), values(&targets), classes, sums, gradient, &mut out);
        [Some(out.into_tensor(shape(&logits))), None]
    }
}
