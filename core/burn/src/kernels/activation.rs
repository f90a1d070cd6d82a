//! Activations of MLPs that do not run as one kernel.

use std::marker::PhantomData;

use burn::{
    backend::flex::FlexTensor,
    tensor::{Tensor, activation},
};
use half::bf16;
use vitral_kernels::activation::Activation;

use super::{
    memory::{Buffer, Stored},
    multiplied::{Multiplied, multiplied},
    operation::{Input, Operation, count, run, shape, values_of},
};
use crate::compute::in_f32;

/// Each value to its activation, computed in `f32`.
pub(crate) fn activate<const D: usize>(x: Tensor<D>, activation: Activation) -> Tensor<D> {
    match multiplied(&x) {
        Some(Multiplied::F32) => {
            run(Activate::<f32> { activation, values: PhantomData }, [Input::new(x)])
        }
        Some(Multiplied::Bf16) => {
            run(Activate::<bf16> { activation, values: PhantomData }, [Input::new(x)])
        }
        None => in_f32(
            x,
            match activation {
                Activation::Gelu => activation::gelu,
                Activation::GeluTanh => activation::gelu_approximate,
            },
        ),
    }
}

#[derive(Clone, Debug)]
struct Activate<T> {
    activation: Activation,
    values: PhantomData<T>,
}

impl<T: Stored> Operation<1> for Activate<T> {
    type Saved = ();

    fn forward(&self, [x]: &[FlexTensor; 1], _: bool) -> (FlexTensor, Option<()>) {
        let mut out = Buffer::<T>::new(count(x));
        self.activation.forward::<T>(values_of(x), &mut out);
        (out.into_tensor(shape(x)), Some(()))
    }

    fn backward(
        self,
        [x]: [FlexTensor; 1],
        (): (),
        gradient: FlexTensor,
        _: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let mut dx = Buffer::<T>::new(count(&x));
        self.activation.backward::<T>(values_of(&x), values_of(&gradient), &mut dx);
        [Some(dx.into_tensor(shape(&x)))]
    }
}
