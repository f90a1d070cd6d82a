//! A number read back from the device.

use burn::tensor::Tensor;

use crate::Error;

/// The value of a tensor `[1]`.
///
/// # Errors
/// The device fails, or has failed since the last time that something was read.
pub(crate) fn scalar(tensor: Tensor<1>) -> Result<f32, Error> {
    tensor.try_into_scalar::<f32>().map_err(|error| Error::Device(error.to_string()))
}
