//! Layer normalisation.

use std::marker::PhantomData;

use burn::{
    backend::flex::FlexTensor,
    tensor::{DType, Tensor, module},
};
use half::bf16;
use vitral_kernels::layer_norm::{LayerNorm, LayerNormGradients};

use super::{
    memory::{Buffer, Stored},
    multiplied::{Multiplied, multiplied},
    operation::{Input, Operation, count, from_last, run, shape, values, values_of},
};
use crate::compute::in_f32;

/// Normalises the last dimension, `[..., width]`, in `f32` whatever the type of `x`; weight and bias
/// are `f32`.
pub(crate) fn layer_norm<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    eps: f64,
) -> Tensor<D> {
    #[cfg(feature = "gpu")]
    if let Some(out) = super::gpu::layer_norm(&x, &weight, &bias, eps) {
        return out;
    }
    let Some(multiplied) = multiplied(&x) else {
        return match x.dtype() {
            DType::F32 => module::layer_norm(x, weight, Some(bias), eps),
            _ => in_f32(x, |x| layer_norm(x, weight, bias, eps)),
        };
    };
    let (inputs, eps) = ([Input::new(x), Input::new(weight), Input::new(bias)], eps as f32);
    match multiplied {
        Multiplied::F32 => run(Norm::<f32> { eps, values: PhantomData }, inputs),
        Multiplied::Bf16 => run(Norm::<bf16> { eps, values: PhantomData }, inputs),
    }
}

#[derive(Clone, Debug)]
struct Norm<T> {
    eps: f32,
    values: PhantomData<T>,
}

impl<T: Stored> Norm<T> {
    fn of<'a>(&self, [_, weight, bias]: &'a [FlexTensor; 3]) -> LayerNorm<'a> {
        LayerNorm { weight: values(weight), bias: values(bias), eps: self.eps }
    }
}

impl<T: Stored> Operation<3> for Norm<T> {
    /// Mean and inverse deviation of each row.
    type Saved = FlexTensor;

    fn forward(&self, inputs: &[FlexTensor; 3], _: bool) -> (FlexTensor, Option<FlexTensor>) {
        let x = &inputs[0];
        let rows = count(x) / from_last(x, 0);
        let (mut out, mut statistics) = (Buffer::<T>::new(count(x)), Buffer::<f32>::new(rows * 2));
        self.of(inputs).forward::<T, T>(values_of(x), &mut out, &mut statistics);
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
        let mut dx = Buffer::<T>::new(count(x));
        let [mut weight, mut bias] = [width, width].map(Buffer::<f32>::of_gradient);
        self.of(&inputs).backward::<T, T>(
            values_of(x),
            values(&statistics),
            values_of(&gradient),
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

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType, TensorData};

    use super::*;

    /// Deviations of 300 have squares above 65504, and sums of values around 1000 are, too: neither
    /// can be `f16`. All that may differ from the formula in `f64` is the rounding of the result.
    #[test]
    fn values_whose_squares_and_sums_overflow_f16_are_normalised() {
        let device = Device::flex().autodiff();
        let (rows, width, eps) = (3, 96, 1e-6);
        let row = |at: usize| 1000.0 + 300.0 * (at as f32 * 0.7).sin();
        let data = TensorData::new((0..rows * width).map(row).collect::<Vec<f32>>(), [rows, width]);
        let x = Tensor::<2>::from_data(data, &device).cast(FloatDType::F16).require_grad();
        let weight = Tensor::<1>::ones([width], &device);
        let bias = Tensor::<1>::zeros([width], &device);
        let read = |tensor: Tensor<2>| -> Vec<f32> { tensor.try_into_vec_as().unwrap() };
        let found = read(layer_norm(x.clone(), weight.clone(), bias.clone(), eps));
        let exact = |row: &[f32]| {
            let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64;
            let variance =
                row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / width as f64;
            let normal = |&v: &f32| (f64::from(v) - mean) / (variance + eps).sqrt();
            row.iter().map(normal).collect::<Vec<f64>>()
        };
        let input = read(x.clone());
        let exact: Vec<f64> = input.chunks(width).flat_map(exact).collect();
        for (found, exact) in found.iter().zip(&exact) {
            let rounding = exact.abs() * 2f64.powi(-11) + 1e-6;
            assert!((f64::from(*found) - exact).abs() <= rounding, "{found} is not {exact}");
        }
        // So that this cannot pass without `f32`: the same in `f16` is far off.
        let [weight, bias] = [weight, bias].map(|tensor| tensor.cast(FloatDType::F16));
        let pure = read(module::layer_norm(x, weight, Some(bias), eps));
        let error = |found: &f32, exact: &f64| (f64::from(*found) - exact).abs();
        let right = pure.iter().zip(&exact).filter(|(found, exact)| error(found, exact) < 0.1);
        assert!(right.count() < width, "f16 alone is good enough for this");
    }
}
