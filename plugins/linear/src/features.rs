//! Feature maps: positive functions of queries and keys.

use vitral_sdk::prelude::*;

use crate::projection::projection;

/// Keeps sums of weights away from zero.
pub(crate) const EPSILON: f64 = 1e-6;

/// `elu(x) + 1`.
pub(crate) fn elu(x: Tensor) -> Tensor {
    x.elu(1.0) + 1.0
}

/// Positive random features of queries and keys: with `w` the rows of a random projection,
/// `phi(x) = exp(w x' - |x'|² / 2)` where `x' = x / width^(1/4)`, whose products are on average
/// `exp(q k / sqrt(width))`.
///
/// A factor of all features of one query, or of all features of all keys, is in the sum of weights
/// as well and cancels. So a query's features are a softmax, without `|x'|²` and with no overflow;
/// and the keys' largest feature is 1. What a small number adds to the keys' features is a small
/// weight on each key, so that the weights of a query never add up to zero.
pub(crate) fn favor(
    query: Tensor,
    key: Tensor,
    layer: &Layer,
    features: u32,
    seed: u32,
) -> (Tensor, Tensor) {
    let width = f64::from(layer.head_width);
    let scale = 1.0 / width.sqrt().sqrt();
    let rows = projection(layer.head_width, features, seed, layer.index);
    let columns: Vec<_> = (0..layer.head_width as usize)
        .flat_map(|input| rows.iter().map(move |row| f64::from((row[input] * scale) as f32)))
        .collect();
    let weight = constant(shape![layer.head_width, features], &columns);
    let query = query.linear(weight, None).softmax(3);
    let half_square = key.reduce_sum_square([3], true) * (0.5 * scale * scale);
    let exponent = key.linear(weight, None) - half_square;
    let largest = exponent.reduce_max([2, 3], true);
    (query, (exponent - largest).exp() + EPSILON)
}
