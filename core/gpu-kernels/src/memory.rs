//! Tensors as kernels take and give them: row by row.

use burn::{
    backend::cubecl::dtype_to_storage_type,
    tensor::{DType, Shape},
};
use burn_cubecl::{
    kernel::into_contiguous, ops::numeric::empty_device_contiguous_dtype, tensor::CubeTensor,
};
use cubecl::{
    client::Client,
    ir::ElemType,
    prelude::BufferArg,
    server::{MemoryLayout, MemoryLayoutDescriptor},
    zspace::metadata::Metadata,
};

/// The values of a tensor, row by row.
pub(crate) fn input(tensor: &CubeTensor) -> BufferArg {
    into_contiguous(tensor.clone()).into_buffer_arg()
}

/// Where a kernel writes, which must lie row by row.
pub(crate) fn output(tensor: &CubeTensor) -> BufferArg {
    tensor.clone().into_buffer_arg()
}

/// A tensor on the device of another. It has no values yet.
pub(crate) fn new_beside(tensor: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, shape.into(), dtype)
}

/// Tensors on the device of another, without values yet, in one piece of memory that is free again when none of them is
/// left. For tensors that are small, each of which would take the host as long as a large one, or that come and go
/// together.
pub(crate) fn new_together(
    tensor: &CubeTensor,
    shapes: impl IntoIterator<Item = Shape>,
    dtype: DType,
) -> Vec<CubeTensor> {
    let layout = |shape| MemoryLayoutDescriptor::contiguous(shape, dtype.size());
    let shapes: Vec<Shape> = shapes.into_iter().collect();
    if shapes.is_empty() {
        return Vec::new();
    }
    let layouts = tensor.client.empty_tensors(shapes.iter().cloned().map(layout).collect());
    let tensors =
        shapes.into_iter().zip(layouts).map(|(shape, MemoryLayout { memory, strides })| {
            let metadata = Metadata::new(shape, strides);
            CubeTensor::new(tensor.client.clone(), memory, metadata, tensor.device.clone(), dtype)
        });
    tensors.collect()
}

/// A tensor's element type as kernels know it.
pub(crate) fn element(tensor: &CubeTensor) -> ElemType {
    dtype_to_storage_type(tensor.dtype)
}

/// The most tensors of each kind in a launch of any number: a kernel has the same text for each.
const MOST: usize = 24;

/// How many things a launch takes that binds so many buffers of each, and three more.
pub(crate) fn at_once(client: &Client, buffers: usize) -> usize {
    let most = client.properties().hardware.max_bindings as usize;
    (most.saturating_sub(3) / buffers).clamp(1, MOST)
}
