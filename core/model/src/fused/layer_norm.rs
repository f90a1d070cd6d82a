//! Layer normalisation.

use burn::{
    backend::flex::FlexTensor,
    tensor::{Tensor, module},
};
use vitral_kernels::layer_norm::{LayerNorm, LayerNormGradients};

use super::{
    covers,
    memory::Buffer,
    operation::{Input, Operation, count, from_last, run, shape, values},
};

/// Normalises the last dimension, `[..., width]`.
pub(crate) fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    if !covers(&x) {
        return module::layer_norm(x, weight, Some(bias), eps);
    }
    run(Norm { eps: eps as f32 }, [Input::new(x), Input::new(weight), Input::new(bias)])
}

#[derive(Clone, Debug)]
struct Norm {
    eps: f32,
}

impl Norm {
    fn of<'a>(&self, [_, weight, bias]: &'a [FlexTensor; 3]) -> LayerNorm<'a> {
        LayerNorm { weight: values(weight), bias: values(bias), eps: self.eps }
    }
}

impl Operation<3> for Norm {
    /// Mean and inverse deviation of each row.
    type Saved = FlexTensor;

    fn forward(&self, inputs: &[FlexTensor; 3], _: bool) -> (FlexTensor, Option<FlexTensor>) {
        let x = &inputs[0];
        let rows = count(x) / from_last(x, 0);
        let (mut out, mut statistics) = (Buffer::new(count(x)), Buffer::new(rows * 2));
        self.of(inputs).forward(values(x), &mut out, &mut statistics);
        (out.into_tensor(shape(x)), Some(statistics.into_tensor([rows, 2])))
    }

    fn backward(
        self,
        inputs: [FlexTensor; 3],
        statistics: FlexTensor,
        gradient: FlexTensor,
        _: [bool; 3],
    ) -> [Option<FlexTensor>; 3] {
        let x = &inputs[0];
        let width = from_last(x, 0);
        let [mut dx, mut weight, mut bias] = [count(x), width, width].map(Buffer::new);
        self.of(&inputs).backward(
            values(x),
            values(&statistics),
            values(&gradient),
            &mut dx,
            LayerNormGradients { weight: &mut weight, bias: &mut bias },
        );
        [
            Some(dx.into_tensor(shape(x))),
            Some(weight.into_tensor([width])),
            Some(bias.into_tensor([width])),
        ]
    }
}
