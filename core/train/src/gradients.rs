//! What happens to gradients between backward and the optimizer: accumulation over micro-batches,
//! and clipping by their global norm.

use burn::{
    backend::{Flex, flex::FlexTensor},
    tensor::{Device, Tensor},
};
use vitral_burn::kernels::{self, Buffer, covers};
use vitral_kernels::optimizer::{self, squared_norm as squared_norm_of};

use crate::{Error, groups::ParameterGroup, read_back::scalar};

/// Sums the gradients of micro-batches.
#[derive(Default)]
pub(crate) struct Accumulator {
    sum: Vec<Tensor<1>>,
}

impl Accumulator {
    /// Adds a micro-batch's gradients; its loss must already be weighted by its share of the batch.
    pub(crate) fn add(&mut self, gradients: Vec<Tensor<1>>) {
        match self.sum.is_empty() {
            true => self.sum = gradients,
            false => add(&mut self.sum, gradients),
        }
    }

    pub(crate) fn finish(self) -> Vec<Tensor<1>> {
        self.sum
    }
}

/// Adds gradients to others, parameter by parameter.
pub(crate) fn add(sums: &mut Vec<Tensor<1>>, gradients: Vec<Tensor<1>>) {
    if !sums.iter().all(covers) {
        *sums = kernels::added(std::mem::take(sums), gradients);
        return;
    }
    sums.iter_mut().zip(gradients).for_each(|(sum, gradient)| add_one(sum, gradient));
}

/// Adds the gradient of one parameter to another.
pub(crate) fn add_one(sum: &mut Tensor<1>, gradient: Tensor<1>) {
    match covers(&*sum) {
        true => sum.inplace(|sum| add_on_cpu(sum, &gradient)),
        false => sum.inplace(|sum| sum + gradient),
    }
}

fn add_on_cpu(sum: Tensor<1>, gradient: &Tensor<1>) -> Tensor<1> {
    let (mut sum, gradient) = (owned(sum), on_cpu(gradient));
    if let Some(gradient) = gradient.as_slice() {
        optimizer::add(sum.storage_mut(), gradient);
    }
    Tensor::from_primitive::<Flex>(sum)
}

/// A tensor on the CPU whose memory holds its values and nothing else, as in-place kernels want it.
pub(crate) fn owned(tensor: Tensor<1>) -> FlexTensor {
    let count = tensor.dims()[0];
    match tensor.try_into_primitive::<Flex>() {
        Ok(tensor) if tensor.is_contiguous() && tensor.storage::<f32>().len() == count => tensor,
        Ok(tensor) => {
            let mut buffer = Buffer::<f32>::new(count);
            if let Some(values) = tensor.to_contiguous().as_slice() {
                buffer.copy_from_slice(values);
            }
            buffer.into_tensor([count])
        }
        Err(error) => unreachable!("a tensor that kernels cover is on the CPU: {error:?}"),
    }
}

/// Sum of squares, `[1]`.
///
/// Burn's CPU backend splits sums of four million values and more among threads in whatever order
/// these come; shorter pieces keep the result the same from run to run.
pub(crate) fn squared_norm(values: &Tensor<1>) -> Tensor<1> {
    const PIECE: usize = 1 << 21;
    let count = values.dims()[0];
    let piece =
        |start: usize| values.clone().narrow(0, start, PIECE.min(count - start)).square().sum();
    (PIECE..count).step_by(PIECE).fold(piece(0), |sum, start| sum + piece(start))
}

/// Squared norms of the gradients or of some of their pieces, in parts: on the CPU those that [`global_norm`] adds up.
pub(crate) fn squared_norms(gradients: &[Tensor<1>]) -> Result<Vec<f32>, Error> {
    if gradients.iter().all(covers) {
        let gradients: Vec<FlexTensor> = gradients.iter().map(on_cpu).collect();
        let parts: Vec<&[f32]> = gradients.iter().filter_map(FlexTensor::as_slice).collect();
        return Ok(optimizer::squared_norms(&parts));
    }
    if let Some(square) = kernels::squared_norm(gradients) {
        return Ok(vec![scalar(square)?]);
    }
    let squares = gradients.iter().map(|gradient| scalar(squared_norm(gradient)));
    squares.collect()
}

/// The norm of all gradients as one vector, `[1]`.
pub(crate) fn global_norm(gradients: &[Tensor<1>]) -> Tensor<1> {
    if gradients.iter().all(covers) {
        let gradients: Vec<FlexTensor> = gradients.iter().map(on_cpu).collect();
        let parts: Vec<&[f32]> = gradients.iter().filter_map(FlexTensor::as_slice).collect();
        return Tensor::from_floats([squared_norm_of(&parts).sqrt() as f32], &Device::flex());
    }
    if let Some(square) = kernels::squared_norm(gradients) {
        return square.sqrt();
    }
    let squares = gradients.iter().map(squared_norm).collect();
    Tensor::cat(squares, 0).sum().sqrt()
}

/// A tensor on the CPU, row by row.
pub(crate) fn on_cpu(tensor: &Tensor<1>) -> FlexTensor {
    match tensor.clone().try_into_primitive::<Flex>() {
        Ok(tensor) => tensor.to_contiguous(),
        Err(error) => unreachable!("a tensor that kernels cover is on the CPU: {error:?}"),
    }
}

/// What gradients of this global norm are multiplied with so that it is at most `limit`, `[1]`
/// (Pascanu et al. 2013).
pub(crate) fn clip_factor(norm: &Tensor<1>, limit: f64) -> Tensor<1> {
    // The product of a number and its rounded inverse is not always 1.
    let within = norm.clone().lower_equal_elem(limit);
    (norm.clone().clamp_min(limit).recip() * limit).mask_fill(within, 1.0)
}

/// Gradients of zero for what is frozen, so that it does not count in their norm either.
pub(crate) fn freeze(gradients: &mut [Tensor<1>], groups: &[ParameterGroup]) {
    for (gradient, group) in gradients.iter_mut().zip(groups) {
        if group.is_frozen() {
            *gradient = gradient.zeros_like();
        }
    }
}

/// Multiplies all gradients.
pub(crate) fn scale(gradients: Vec<Tensor<1>>, factor: &Tensor<1>) -> Vec<Tensor<1>> {
    gradients.into_iter().map(|gradient| gradient * factor.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> Tensor<1> {
        Tensor::from_floats(values, &Device::flex())
    }

    fn values(tensor: Tensor<1>) -> Vec<f32> {
        tensor.try_into_vec_as().unwrap()
    }

    #[test]
    fn clipping_keeps_the_direction_and_limits_the_norm() {
        let gradients = vec![tensor(&[3.0, 0.0]), tensor(&[4.0])];
        let norm = global_norm(&gradients);
        assert_eq!(values(norm.clone()), [5.0]);
        let factor = clip_factor(&norm, 1.0);
        let clipped: Vec<Vec<f32>> = scale(gradients, &factor).into_iter().map(values).collect();
        assert!((clipped[0][0] - 0.6).abs() < 1e-6 && (clipped[1][0] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn gradients_within_the_limit_stay_as_they_are() {
        let gradients = vec![tensor(&[0.3, 0.123_456_7]), tensor(&[-0.4])];
        let norm = global_norm(&gradients);
        // Of many numbers the rounded inverse times the number is not 1: of 1.7 and 2.9, for instance.
        for limit in (10..100).map(|tenths| f64::from(tenths) / 10.0) {
            let factor = clip_factor(&norm, limit);
            assert_eq!(values(factor.clone()), [1.0], "a limit of {limit}");
            let clipped: Vec<Vec<f32>> =
                scale(gradients.clone(), &factor).into_iter().map(values).collect();
            assert_eq!(clipped, [vec![0.3, 0.123_456_7], vec![-0.4]]);
        }
    }

    #[test]
    fn long_vectors_are_summed_in_pieces() {
        let long = Tensor::<1>::ones([5_000_000], &Device::flex());
        assert_eq!(values(squared_norm(&long)), [5_000_000.0]);
    }
}
