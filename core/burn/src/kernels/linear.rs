//! Linear layers.

use std::marker::PhantomData;

use burn::{
    backend::flex::FlexTensor,
    tensor::{DType, Shape, Tensor, module},
};
use half::bf16;
use vitral_kernels::linear::{Linear, LinearGradients};

use super::{
    memory::{Buffer, Stored},
    multiplied::{Multiplied, multiplied},
    operation::{
        Input, Operation, count, from_last, optional_values, run, shape, values, values_of,
    },
};
use crate::compute::{cast_like, in_f32};

/// `x W + b`: `[..., inputs]` to `[..., outputs]`, with `W` `[inputs, outputs]`. The product is of
/// the type of `x`; weight and bias are `f32`, and so are the bias's sum and its gradient.
pub(crate) fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let Some(multiplied) = multiplied(&x) else { return composed(x, weight, bias) };
    let inputs = [Input::new(x), Input::new(weight), Input::optional(bias)];
    match multiplied {
        Multiplied::F32 => run(Affine::<f32>(PhantomData), inputs),
        Multiplied::Bf16 => run(Affine::<bf16>(PhantomData), inputs),
    }
}

/// The same from Burn's product.
fn composed<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let weight = cast_like(weight, &x);
    #[cfg(feature = "gpu")]
    if super::gpu::on_gpu(&x) {
        return in_rows(x, weight, bias);
    }
    if x.dtype() == DType::F32 {
        return module::linear(x, weight, bias);
    }
    let product = module::linear(x, weight, None);
    match bias {
        Some(bias) => in_f32(product, |product| product + bias.unsqueeze()),
        None => product,
    }
}

/// The same on a GPU: one product of matrices, and a kernel that adds up the gradient of the bias.
#[cfg(feature = "gpu")]
fn in_rows<const D: usize>(x: Tensor<D>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<D> {
    let (mut dims, [inputs, outputs]) = (x.dims(), weight.dims());
    let rows = dims[..D - 1].iter().product::<usize>();
    dims[D - 1] = outputs;
    let product = module::linear(x.reshape::<2, _>([rows, inputs]), weight, None);
    let out = match bias {
        Some(bias) => super::gpu::biased(product, bias),
        None => product,
    };
    out.reshape(dims)
}

#[derive(Clone, Debug)]
struct Affine<T>(PhantomData<T>);

/// The layer with these parameters.
pub(super) fn layer<'a>(weight: &'a FlexTensor, bias: &'a FlexTensor) -> Linear<'a> {
    Linear {
        weight: values(weight),
        bias: optional_values(bias),
        inputs: from_last(weight, 1),
        outputs: from_last(weight, 0),
    }
}

impl<T: Stored> Operation<3> for Affine<T> {
    type Saved = ();

    fn forward(&self, [x, weight, bias]: &[FlexTensor; 3], _: bool) -> (FlexTensor, Option<()>) {
        let layer = layer(weight, bias);
        let mut out = Buffer::<T>::new(count(x) / layer.inputs * layer.outputs);
        layer.forward::<T, T>(values_of(x), &mut out);
        let mut dims = shape(x).to_vec();
        if let Some(last) = dims.last_mut() {
            *last = layer.outputs;
        }
        (out.into_tensor(Shape::from(dims)), Some(()))
    }

    fn backward(
        self,
        [x, weight, bias]: [FlexTensor; 3],
        (): (),
        gradient: FlexTensor,
        [wants_x, ..]: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let layer = layer(&weight, &bias);
        let mut dx = wants_x.then(|| Buffer::<T>::new(count(&x)));
        let mut dweight = Buffer::<f32>::of_gradient(count(&weight));
        let mut dbias = layer.bias.map(|bias| Buffer::<f32>::of_gradient(bias.len()));
        layer.backward::<T, T>(
            values_of(&x),
            values_of(&gradient),
            dx.as_deref_mut(),
            LinearGradients { weight: &mut dweight, bias: dbias.as_deref_mut() },
        );
        [
            dx.map(|buffer| buffer.into_tensor(shape(&x))),
            Some(dweight.into_tensor(shape(&weight))),
            dbias.map(|buffer| buffer.into_tensor(shape(&bias))),
        ]
    }
}
