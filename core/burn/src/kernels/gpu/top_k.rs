//! The places of the largest values, found where they are.

use burn::{
    backend::Cube,
    tensor::{FloatDType, Int, Tensor},
};
use vitral_gpu_kernels::GpuKernels;

use super::operation;

/// A longer lane is sorted sooner: each value of a lane is compared to all others.
const LONGEST: usize = 4096;

/// The places of the `k` largest values of each lane of `[outer, size, inner]`, `[outer, k, inner]`, if a kernel finds
/// them. They have no gradient.
pub(in super::super) fn top_k(values: &Tensor<3>, k: usize) -> Option<Tensor<3, Int>> {
    if !super::on_gpu(values) || values.dims()[1] > LONGEST {
        return None;
    }
    let values = values.clone().without_autodiff().cast(FloatDType::F32);
    let values = operation::on_gpu(values.into_dispatch()).float();
    Some(Tensor::from_primitive::<Cube>(Cube::top_k(values, k)))
}
