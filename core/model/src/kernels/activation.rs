//! Activations of MLPs that do not run as one kernel.

use burn::{
    backend::flex::FlexTensor,
    tensor::{Tensor, activation},
};
use vitral_kernels::activation::Activation;

use super::{
    covers,
    memory::Buffer,
    operation::{Input, Operation, count, run, shape, values},
};
use crate::compute::in_f32;

/// Each value to its activation, computed in `f32`.
pub(crate) fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    if covers(&x) {
        return run(Activate { activation }, [Input::new(x)]);
    }
    in_f32(
        x,
        match activation {
            Activation::Gelu => activation::gelu,
            Activation::GeluTanh => activation::gelu_approximate,
        },
    )
}

#[derive(Clone, Debug)]
struct Activate {
    activation: Activation,
}

impl Operation<1> for Activate {
    type Saved = ();

    fn forward(&self, [x]: &[FlexTensor; 1], _: bool) -> (FlexTensor, Option<()>) {
        let mut out = Buffer::new(count(x));
        self.activation.forward(values(x), &mut out);
        (out.into_tensor(shape(x)), Some(()))
    }

    fn backward(
        self,
        [x]: [FlexTensor; 1],
        (): (),
        gradient: FlexTensor,
        _: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let mut dx = Buffer::new(count(&x));
        self.activation.backward(values(&x), values(&gradient), &mut dx);
        [Some(dx.into_tensor(shape(&x)))]
    }
}
