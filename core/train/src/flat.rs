//! Flat tensors as values that lie one behind the other, as ranks exchange them.

use burn::tensor::{Device, Tensor};
use vitral_burn::kernels::{covers, lasting};

use crate::{Error, gradients::on_cpu};

/// All values of a flat tensor.
///
/// # Errors
/// The device fails, or has failed since the last time that something was read.
pub(crate) fn values_of(tensor: &Tensor<1>) -> Result<Vec<f32>, Error> {
    tensor.try_to_vec_as::<f32>().map_err(|error| Error::Device(error.to_string()))
}

/// The values of flat tensors, one behind the other.
///
/// # Errors
/// The device fails, or has failed since the last time that something was read.
pub(crate) fn flat(tensors: &[Tensor<1>]) -> Result<Vec<f32>, Error> {
    let mut all = Vec::with_capacity(tensors.iter().map(|tensor| tensor.dims()[0]).sum());
    tensors.iter().try_for_each(|tensor| append(tensor, &mut all))?;
    Ok(all)
}

/// Puts the values of a flat tensor behind others.
///
/// # Errors
/// As [`flat`].
pub(crate) fn append(tensor: &Tensor<1>, all: &mut Vec<f32>) -> Result<(), Error> {
    match covers(tensor) {
        true => all.extend_from_slice(on_cpu(tensor).as_slice().unwrap_or_default()),
        false => all.extend_from_slice(&values_of(tensor)?),
    }
    Ok(())
}

/// Flat tensors of these lengths, whose values lie one behind the other.
///
/// # Panics
/// If there are fewer values.
pub(crate) fn on_device(
    values: &[f32],
    lengths: impl Iterator<Item = usize>,
    device: &Device,
) -> Vec<Tensor<1>> {
    let mut rest = values;
    let mut next = |length: usize| {
        let (one, others) = rest.split_at(length);
        rest = others;
        lasting(one, [length], device)
    };
    lengths.map(&mut next).collect()
}
