//! Kernels as operations of Burn's automatic differentiation on GPUs.

use std::fmt::Debug;

use burn::{
    backend::{
        Autodiff, BackendTensor, Cube, DispatchTensor, DispatchTensorKind,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        tensor::FloatTensor,
    },
    tensor::Tensor,
};

/// A tensor on a GPU, without a history.
pub(super) type Values = FloatTensor<Cube>;

/// A tensor of Burn's automatic differentiation on a GPU.
type Differentiable = FloatTensor<Autodiff<Cube>>;

/// A function of `N` tensors whose backward pass is its own.
pub(super) trait Operation<const N: usize>: Clone + Debug + Send + 'static {
    /// What forward keeps for backward.
    type Saved: Clone + Debug + Send + 'static;

    /// The result, and what backward needs.
    fn forward(&self, inputs: [Values; N]) -> (Values, Self::Saved);

    /// The result alone, where there is no backward pass.
    fn result(&self, inputs: [Values; N]) -> Values {
        self.forward(inputs).0
    }

    /// The gradients of those inputs for which one is wanted, from the gradient of the result.
    fn backward(
        self,
        saved: Self::Saved,
        gradient: Values,
        wanted: [bool; N],
    ) -> [Option<Values>; N];
}

/// Runs an operation of tensors on a GPU, and has automatic differentiation know of it where one of them is tracked.
pub(super) fn run<Op: Operation<N>, const N: usize, const D: usize>(
    operation: Op,
    inputs: [DispatchTensor; N],
) -> Tensor<D> {
    let inputs = inputs.map(on_gpu);
    if !inputs.iter().any(|input| matches!(input, BackendTensor::Autodiff(_))) {
        let values = inputs.map(BackendTensor::float);
        return Tensor::from_primitive::<Cube>(operation.result(values));
    }
    let tracked = inputs.map(|input| match input {
        BackendTensor::Autodiff(tensor) => tensor,
        constant => Differentiable::new(constant.float()),
    });
    let parts = tracked.map(Differentiable::into_parts);
    let mut values = Vec::with_capacity(N);
    let guards = parts.map(|(tensor, guard)| {
        values.push(tensor);
        guard
    });
    let Ok(values) = <[Values; N]>::try_from(values) else { unreachable!("N of them") };
    let step = Step(operation.clone());
    let out = match step.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (out, saved) = operation.forward(values);
            prepared.finish(saved, out)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(operation.result(values)),
    };
    Tensor::from_primitive::<Autodiff<Cube>>(out)
}

#[derive(Debug)]
struct Step<Op>(Op);

impl<Op: Operation<N>, const N: usize> Backward<Cube, N> for Step<Op> {
    type State = Op::Saved;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Cube>(&ops.node);
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let found = self.0.backward(ops.state, gradient, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Cube>(parent.id, gradient);
            }
        }
    }
}

/// The tensor that this one, which must be on a GPU, is there.
pub(super) fn on_gpu(tensor: DispatchTensor) -> BackendTensor<Cube> {
    match tensor.kind {
        DispatchTensorKind::Cube(tensor) => tensor,
        DispatchTensorKind::Autodiff(inner) => match *inner {
            DispatchTensorKind::Cube(tensor) => tensor,
            _ => unreachable!("only asked of tensors on a GPU"),
        },
        DispatchTensorKind::Flex(_) => unreachable!("only asked of tensors on a GPU"),
    }
}
