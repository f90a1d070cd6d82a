//! Gradients of parameters that are taken as soon as backward has them, rather than when it has ended.

use std::{fmt, sync::Arc};

use burn::{
    backend::{
        Autodiff, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
    },
    module::ParamId,
    tensor::Tensor,
};

use super::operation::Input;
use crate::cpu::is_cpu;

/// Takes the whole gradient of a parameter, flat. It is called from within backward, and must not differentiate.
#[derive(Clone)]
pub struct Taker(Arc<dyn Fn(ParamId, Tensor<1>) + Send + Sync>);

impl Taker {
    /// What takes them.
    pub fn new(take: impl Fn(ParamId, Tensor<1>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Hands one over.
    pub fn take(&self, id: ParamId, gradient: Tensor<1>) {
        (self.0)(id, gradient);
    }
}

impl fmt::Debug for Taker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taker")
    }
}

/// The same parameter for what is computed of `before`, which hands its gradient over once backward has passed all
/// that was computed of `before`, in the place of leaving it. Backward goes by how many operations a tensor is away
/// from those that have no history: a parameter alone would have its turn at the end.
///
/// Gradients on a GPU, which computes them later, stay where they are, and so do those of what does not come from a
/// tensor with a history.
pub fn taken<const D: usize, const E: usize>(
    (id, parameter): (ParamId, Tensor<D>),
    before: &Tensor<E>,
    taker: &Taker,
) -> Tensor<D> {
    if !is_cpu(&parameter.device()) || !is_cpu(&before.device()) {
        return parameter;
    }
    let operands = [Input::new(parameter.clone()), Input::new(before.clone())];
    let [Input::Tracked(own), Input::Tracked(before)] = operands else { return parameter };
    let ((values, own), (_, before)) = (own.into_parts(), before.into_parts());
    let step = Take::<D>.prepare::<NoCheckpointing>([own, before]).compute_bound();
    let out = match step.stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((id, taker.clone()), values),
        OpsKind::UnTracked(prepared) => prepared.finish(values),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(out)
}

#[derive(Debug)]
struct Take<const D: usize>;

impl<const D: usize> Backward<Flex, 2> for Take<D> {
    type State = (ParamId, Taker);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (id, taker) = ops.state;
        let gradient = Tensor::<D>::from_primitive::<Flex>(grads.consume::<Flex>(&ops.node));
        let count = gradient.dims().iter().product::<usize>();
        taker.take(id, gradient.reshape([count]));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use burn::tensor::Device;

    use super::*;

    /// Each parameter is handed over while the history of what is below it is still to come, and is complete where
    /// it is used twice.
    #[test]
    fn gradients_are_taken_while_backward_runs() {
        let device = Device::flex().autodiff();
        let leaf = |values: [f32; 2]| Tensor::<1>::from_floats(values, &device).require_grad();
        let (first, second) = (leaf([2.0, 3.0]), leaf([5.0, 7.0]));
        let order = Arc::new(Mutex::new(Vec::new()));
        let ids = [ParamId::new(), ParamId::new()];
        let taker = {
            let order = Arc::clone(&order);
            Taker::new(move |id, gradient: Tensor<1>| {
                let values: Vec<f32> = gradient.try_into_vec_as().unwrap();
                order.lock().unwrap().push((id, values));
            })
        };
        let below = leaf([1.0, 1.0]) * 1.0;
        let own = taken((ids[0], first.clone()), &below, &taker);
        let middle = below * own.clone() * own;
        let own = taken((ids[1], second.clone()), &middle, &taker);
        let mut gradients = (middle * own).sum().backward();
        let order = order.lock().unwrap();
        // What is nearer to the end comes first: first², and 2 first second.
        assert_eq!(*order, [(ids[1], vec![4.0, 9.0]), (ids[0], vec![20.0, 42.0])]);
        assert!(first.grad_remove(&mut gradients).is_none() && second.grad(&gradients).is_none());
        let constant = Tensor::<1>::ones([2], &Device::flex());
        let same = taken((ids[0], first.clone()), &constant, &taker);
        let gradients = same.sum().backward();
        assert!(first.grad(&gradients).is_some(), "nobody knows when it is complete");
    }
}
