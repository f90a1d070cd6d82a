//! Numbers read back from the device.

use burn::tensor::Tensor;

use crate::Error;

/// The value of a tensor `[1]`.
///
/// # Errors
/// The device fails, or has failed since the last time that something was read.
pub(crate) fn scalar(tensor: Tensor<1>) -> Result<f32, Error> {
    tensor.try_into_scalar::<f32>().map_err(|error| Error::Device(error.to_string()))
}

/// The values of several tensors `[1]`, for which a device is waited for only once.
///
/// # Errors
/// As [`scalar`].
pub(crate) fn scalars<const N: usize>(tensors: [Tensor<1>; N]) -> Result<[f32; N], Error> {
    let data = Tensor::cat(tensors.to_vec(), 0).try_into_data();
    let data = data.map_err(|error| Error::Device(error.to_string()))?;
    let values = <[f32; N]>::try_from(data.iter::<f32>().collect::<Vec<_>>());
    values.map_err(|_| Error::Device("a figure is not one number".into()))
}
