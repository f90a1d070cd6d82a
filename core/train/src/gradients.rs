//! What happens to gradients between backward and the optimizer: accumulation over micro-batches,
//! and clipping by their global norm.

use burn::tensor::Tensor;

/// Sums the gradients of micro-batches.
#[derive(Default)]
pub(crate) struct Accumulator {
    sum: Vec<Tensor<1>>,
}

impl Accumulator {
    /// Adds a micro-batch's gradients; its loss must already be weighted by its share of the batch.
    pub(crate) fn add(&mut self, gradients: Vec<Tensor<1>>) {
        if self.sum.is_empty() {
            self.sum = gradients;
            return;
        }
        for (sum, gradient) in self.sum.iter_mut().zip(gradients) {
            sum.inplace(|sum| sum + gradient);
        }
    }

    pub(crate) fn finish(self) -> Vec<Tensor<1>> {
        self.sum
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

/// The norm of all gradients as one vector, `[1]`.
pub(crate) fn global_norm(gradients: &[Tensor<1>]) -> Tensor<1> {
    let squares = gradients.iter().map(squared_norm).collect();
    Tensor::cat(squares, 0).sum().sqrt()
}

/// Scales all gradients so that their global norm is at most `limit` (Pascanu et al. 2013).
pub(crate) fn clip(gradients: Vec<Tensor<1>>, norm: &Tensor<1>, limit: f64) -> Vec<Tensor<1>> {
    // Exactly 1 where the norm is within the limit.
    let scale = norm.clone().clamp_min(limit).recip() * limit;
    gradients.into_iter().map(|gradient| gradient * scale.clone()).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

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
        let clipped: Vec<Vec<f32>> = clip(gradients, &norm, 1.0).into_iter().map(values).collect();
        assert!((clipped[0][0] - 0.6).abs() < 1e-6 && (clipped[1][0] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn gradients_within_the_limit_stay_as_they_are() {
        let gradients = vec![tensor(&[0.3, 0.123_456_7]), tensor(&[-0.4])];
        let norm = global_norm(&gradients);
        let clipped: Vec<Vec<f32>> = clip(gradients, &norm, 1.0).into_iter().map(values).collect();
        assert_eq!(clipped, [vec![0.3, 0.123_456_7], vec![-0.4]]);
    }

    #[test]
    fn long_vectors_are_summed_in_pieces() {
        let long = Tensor::<1>::ones([5_000_000], &Device::flex());
        assert_eq!(values(squared_norm(&long)), [5_000_000.0]);
    }
}
