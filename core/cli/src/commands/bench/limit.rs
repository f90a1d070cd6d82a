//! What the machine can do at best: large products of matrices on all threads.
//!
//! Those of f32 are the `gemm` crate's, whose kernels Burn's CPU backend computes with, so that what is
//! missing to the limit is nobody else's. Those of bf16 are our own kernels', on the instruction set that
//! they chose: no library at hand multiplies bf16 as fast. On a GPU they are Burn's.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;
use gemm::Parallelism;
use half::bf16;
use vitral_kernels::linear::Linear;
use vitral_model::{Compute, device::Device};
use vitral_train::Error;

use super::step::wait;

/// Sides of the square matrices: large enough to be bound by arithmetic alone.
const SIZES: [usize; 3] = [1024, 1536, 2048];
/// How often each is multiplied; the best counts, since noise only slows.
const ROUNDS: usize = 5;

/// Floating-point operations per second of the best product.
pub fn sgemm_limit() -> f64 {
    SIZES.into_iter().map(|size| best_of(size, ROUNDS)).fold(0.0, f64::max)
}

/// The same of operands in bf16, summed in f32.
pub fn bf16_limit() -> f64 {
    SIZES.into_iter().map(|size| best_of_bf16(size, ROUNDS)).fold(0.0, f64::max)
}

/// A product on a GPU that takes as long is bound by arithmetic, or the largest one is, whatever it takes.
const LONG: Duration = Duration::from_millis(5);
const LARGEST: usize = 8192;

/// Floating-point operations per second of a device's best product of operands of a type.
///
/// # Errors
/// The device fails.
pub fn device_limit(device: &Device, compute: Compute) -> Result<f64, Error> {
    let (mut size, mut limit) = (512, 0.0_f64);
    loop {
        let matrix = |shift| {
            let values: Vec<f32> = (0..size * size).map(|index| value(index + shift)).collect();
            let values = Tensor::<1>::from_floats(values.as_slice(), device);
            values.reshape([size, size]).cast(compute.dtype())
        };
        let (left, right): (Tensor<2>, Tensor<2>) = (matrix(0), matrix(5));
        wait(device)?;
        let mut least = Duration::MAX;
        // The first one compiles.
        for _ in 0..=ROUNDS {
            let start = Instant::now();
            let product = left.clone().matmul(right.clone());
            wait(device)?;
            least = least.min(start.elapsed());
            drop(product);
        }
        limit = limit.max(2.0 * (size as f64).powi(3) / least.as_secs_f64());
        if least > LONG || size == LARGEST {
            return Ok(limit);
        }
        size *= 2;
    }
}

fn value(index: usize) -> f32 {
    (index % 17) as f32 / 17.0 - 0.5
}

fn best_of_bf16(size: usize, rounds: usize) -> f64 {
    let left: Vec<bf16> = (0..size * size).map(|index| bf16::from_f32(value(index))).collect();
    let right: Vec<f32> = (0..size * size).map(|index| value(index + 5)).collect();
    let mut product = vec![0.0f32; size * size];
    let right = Linear { weight: &right, bias: None, inputs: size, outputs: size };
    best(size, rounds, || right.forward(&left, &mut product))
}

/// Floating-point operations per second of the best of some rounds.
fn best(size: usize, rounds: usize, mut multiply: impl FnMut()) -> f64 {
    let operations = 2.0 * (size as f64).powi(3);
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            multiply();
            operations / start.elapsed().as_secs_f64()
        })
        .fold(0.0, f64::max)
}

fn best_of(size: usize, rounds: usize) -> f64 {
    let left: Vec<f32> = (0..size * size).map(value).collect();
    let right: Vec<f32> = (0..size * size).map(|index| value(index + 5)).collect();
    let mut product = vec![0.0; size * size];
    best(size, rounds, || multiply([size; 3], &left, &right, &mut product))
}

/// `product = left * right` by the `gemm` crate, with `left` `[rows, depth]` and `right` `[depth,
/// columns]`, row by row.
pub fn multiply(
    [rows, depth, columns]: [usize; 3],
    left: &[f32],
    right: &[f32],
    product: &mut [f32],
) {
    let lengths = [rows * depth, depth * columns, rows * columns];
    assert!([left.len(), right.len(), product.len()] == lengths);
    // SAFETY: every index that these strides reach lies within the slices, whose lengths were
    // checked, and `product` is borrowed by no one else.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            product.as_mut_ptr(),
            1,
            columns as isize,
            false,
            left.as_ptr(),
            1,
            depth as isize,
            right.as_ptr(),
            1,
            columns as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            // As many threads as rayon has.
            Parallelism::Rayon(0),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_timed_is_a_product() {
        let mut product = [0.0; 4];
        multiply([2, 2, 2], &[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0], &mut product);
        assert_eq!(product, [19.0, 22.0, 43.0, 50.0]);
        assert!(best_of(64, 2) > 0.0 && best_of_bf16(64, 2) > 0.0);
        let limit = device_limit(&Device::flex(), Compute::F32).unwrap();
        assert!(limit.is_finite() && limit > 0.0, "{limit}");
    }
}
