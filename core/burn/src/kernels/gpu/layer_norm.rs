//! Layer normalisation, forward and backward in one kernel each.

use burn::{backend::Cube, tensor::Tensor};
use vitral_gpu_kernels::GpuKernels;

use super::{
    on_gpu,
    operation::{Operation, Values, run},
};

/// The widest rows, of which a unit in backward keeps a part in registers.
pub(super) const WIDEST: usize = 4096;

/// Normalises the last dimension, if kernels take it.
pub(in super::super) fn layer_norm<const D: usize>(
    x: &Tensor<D>,
    weight: &Tensor<1>,
    bias: &Tensor<1>,
    eps: f64,
) -> Option<Tensor<D>> {
    let dims = x.dims();
    let width = dims[D - 1];
    if !on_gpu(x) || width > WIDEST {
        return None;
    }
    let rows = x.clone().reshape::<2, _>([dims[..D - 1].iter().product(), width]);
    let inputs =
        [rows.into_dispatch(), weight.clone().into_dispatch(), bias.clone().into_dispatch()];
    let normed: Tensor<2> = run(Norm { eps: eps as f32 }, inputs);
    Some(normed.reshape(dims))
}

#[derive(Clone, Debug)]
struct Norm {
    eps: f32,
}

impl Operation<3> for Norm {
    /// The input, the factors, and mean and inverse deviation of each row.
    type Saved = [Values; 3];

    fn forward(&self, [x, weight, bias]: [Values; 3]) -> (Values, Self::Saved) {
        let (out, statistics) = Cube::layer_norm(x.clone(), weight.clone(), bias, self.eps);
        (out, [x, weight, statistics])
    }

    fn backward(
        self,
        [x, weight, statistics]: Self::Saved,
        gradient: Values,
        _: [bool; 3],
    ) -> [Option<Values>; 3] {
        let (dx, dweight, dbias) = Cube::layer_norm_backward(x, weight, statistics, gradient);
        [dx, dweight, dbias].map(Some)
    }
}
