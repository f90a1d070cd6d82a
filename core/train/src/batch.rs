//! A batch on its way from the loader to the device.

use burn::tensor::{Device, Tensor, TensorData};
use vitral_data::{ImageBatch, Normalization};

use crate::Error;

/// Normalised images on a device, `[batch, height, width, channels]`.
///
/// # Errors
/// The normalisation is not one for the batch's channels.
pub fn images_to_device(
    batch: &ImageBatch,
    normalize: &Normalization,
    device: &Device,
) -> Result<Tensor<4>, Error> {
    let values = normalize.apply(&batch.images, batch.channels)?;
    let (size, channels) = (batch.size as usize, batch.channels.count());
    let shape = [batch.len(), size, size, channels];
    Ok(Tensor::from_data(TensorData::new(values, shape), device))
}
