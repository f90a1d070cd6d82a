//! Bytes of images that become values on the device.

use burn::{
    backend::Cube,
    tensor::{Device, Int, IntDType, Tensor, TensorData},
};
use vitral_gpu_kernels::GpuKernels;

use super::operation::on_gpu;

/// What `table`, `[256 * channels]`, has for each byte and its channel, which is the last dimension of `shape`.
/// What goes to the device are the bytes, four in a number.
pub(in super::super) fn looked_up(
    bytes: &[u8],
    shape: [usize; 4],
    table: Vec<f32>,
    device: &Device,
) -> Tensor<4> {
    let (whole, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let last = (!rest.is_empty()).then_some(&last);
    let words: Vec<i32> = whole.iter().chain(last).map(|&word| i32::from_le_bytes(word)).collect();
    let device = &device.clone().without_autodiff();
    let count = words.len();
    let words = Tensor::<1, Int>::from_data(TensorData::new(words, [count]), device);
    let words = on_gpu(words.cast(IntDType::I32).into_dispatch()).int();
    let length = table.len();
    let table = Tensor::<1>::from_data(TensorData::new(table, [length]), device);
    let table = on_gpu(table.into_dispatch()).float();
    Tensor::from_primitive::<Cube>(Cube::looked_up(words, table, shape))
}
