//! A batch on its way from the loader to the device.

use burn::tensor::{Device, Int, Tensor, TensorData};
use vitral_burn::kernels::looked_up;
use vitral_data::{Channels, ImageBatch, Normalization};

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
    let (size, channels) = (batch.size as usize, batch.channels.count());
    let coded = &batch.coded;
    let shape = [batch.len() - coded.images.len(), size, size, channels];
    let pixels = normalized(&batch.images, shape, normalize, batch.channels, device)?;
    if coded.is_empty() {
        return Ok(pixels);
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
    Ok(Tensor::cat(vec![decoded, pixels], 0).select(0, order))
}

/// Bytes on the device as what they stand for: looked up there, where there is a kernel for it, in a table that
/// the host has made of every byte; so values are the same wherever they are made.
fn normalized(
    bytes: &[u8],
    shape: [usize; 4],
    normalize: &Normalization,
    channels: Channels,
    device: &Device,
) -> Result<Tensor<4>, Error> {
    let all: Vec<u8> = (0..=u8::MAX).flat_map(|byte| vec![byte; channels.count()]).collect();
    let table = normalize.apply(&all, channels)?;
    if let Some(pixels) = looked_up(bytes, shape, table, device) {
        return Ok(pixels);
    }
    let values = normalize.apply(bytes, channels)?;
    Ok(Tensor::from_data(TensorData::new(values, shape), device))
}

#[cfg(all(test, feature = "wgpu"))]
mod tests {
    use vitral_model::device::{DeviceChoice, Gpu};

    use super::*;

    /// Every byte, in each channel, bit by bit.
    #[test]
    fn a_gpu_has_the_values_that_the_host_has() {
        let gpu = DeviceChoice::Gpu(Gpu::Wgpu, 0).open().unwrap();
        let custom = Normalization::Custom { mean: vec![0.1, 0.7, 0.3], std: vec![0.3, 0.9, 0.11] };
        for normalize in [Normalization::Inception, Normalization::ImageNet, custom] {
            let bytes: Vec<u8> = (0..2 * 16 * 24 * 3).map(|at| (at / 3 + at % 3) as u8).collect();
            let [found, wanted] = [&gpu, &Device::flex()].map(|device| {
                let shape = [2, 16, 24, 3];
                let values = normalized(&bytes, shape, &normalize, Channels::Rgb, device).unwrap();
                values.try_into_vec_as::<f32>().unwrap()
            });
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(found), bits(wanted), "{normalize:?}");
        }
    }
}
