//! How much of the second softmax is taken away: one learned number for all heads of a layer.

use vitral_sdk::{math, prelude::*};

/// Deviation of the vectors that make lambda, as in the paper's code.
const DEVIATION: f64 = 0.1;

/// Lambda at the start of training, apart from the vectors' noise.
pub(crate) fn start(limit: f64, by_depth: bool, layer: u32) -> f64 {
    if by_depth { limit * (1.0 - 0.75 * math::exp(-0.3 * f64::from(layer))) } else { limit }
}

/// `exp(q1 k1) - exp(q2 k2) + start`, with learned vectors of half a head's width. `[1]`.
pub(crate) fn lambda(half: u32, start: f64) -> Tensor {
    let vectors = |name| parameter(name, shape![2, half], Initializer::Normal(DEVIATION), false);
    let products = vectors("lambda_query") * vectors("lambda_key");
    let powers = products.reduce_sum([1], false).exp().split([1, 1], 0);
    powers[0] - powers[1] + start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_the_papers() {
        for (layer, expected) in [(0, 0.2), (1, 0.355_509_067), (11, 0.777_870_100)] {
            assert!((start(0.8, true, layer) - expected).abs() < 1e-6, "layer {layer}");
        }
        assert_eq!(start(0.5, false, 0), 0.5);
    }
}
