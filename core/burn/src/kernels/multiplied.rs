//! The type that kernels multiply in, where there are any.

use burn::tensor::{DType, Device, Tensor};

use crate::cpu::is_cpu;

/// The type that a kernel multiplies in, and keeps for backward what it keeps of activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multiplied {
    /// `f32`.
    F32,
    /// `bf16`, summed in `f32`.
    Bf16,
}

/// The type that kernels multiply in on a device for a model that computes in some type, if there are
/// any: `f32` or `bf16`, on the CPU.
pub fn of_type(dtype: DType, device: &Device) -> Option<Multiplied> {
    match dtype {
        DType::F32 if is_cpu(device) => Some(Multiplied::F32),
        DType::BF16 if is_cpu(device) => Some(Multiplied::Bf16),
        _ => None,
    }
}

/// What kernels do with this tensor, if there are any for it.
pub(super) fn multiplied<const D: usize>(tensor: &Tensor<D>) -> Option<Multiplied> {
    of_type(tensor.dtype(), &tensor.device())
}

/// Whether kernels exist for this tensor that take and give `f32`.
pub fn covers<const D: usize>(tensor: &Tensor<D>) -> bool {
    multiplied(tensor) == Some(Multiplied::F32)
}
