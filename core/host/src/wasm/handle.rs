//! A symbolic tensor in a plugin's hands.

use vitral_program::Tensor;

/// What a component's handle of a tensor stands for.
pub struct TensorHandle(pub(super) Tensor);
