//! A batch on its way from the loader to the device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use vitral_data::{ImageBatch, Normalization};

use crate::{Error, hybrid_decoder};

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
    let coded = &batch.coded;
    let shape = [batch.len() - coded.images.len(), size, size, channels];
    let pixels = |values| Tensor::<4>::from_data(TensorData::new(values, shape), device);
    if coded.is_empty() {
        return Ok(pixels(values));
    }
    let (mean, std) = normalize.mean_std(batch.channels)?;
    let each = |values: Vec<f32>| {
        let values = values.into_iter().map(|value| 255.0 * value).collect::<Vec<_>>();
        Tensor::<4>::from_data(TensorData::new(values, [1, 1, 1, channels]), device)
    };
    let decoded = hybrid_decoder::decode(coded, size, batch.channels, device);
    let decoded = (decoded - each(mean)) / each(std);
    if shape[0] == 0 {
        return Ok(decoded);
    }
    // All images that were decoded on the device, and then the others; in the batch's order.
    let mut order = vec![None; batch.len()];
    for (at, image) in coded.images.iter().enumerate() {
        order[image.place] = Some(at as i32);
    }
    let mut others = coded.images.len() as i32..;
    let order: Vec<_> = order.into_iter().filter_map(|at| at.or_else(|| others.next())).collect();
    let order = Tensor::<1, Int>::from_data(TensorData::new(order, [batch.len()]), device);
    Ok(Tensor::cat(vec![decoded, pixels(values)], 0).select(0, order))
}
