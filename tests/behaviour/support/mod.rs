//! What the tests share: the oracle's files, small data sets, and the vitral program.

pub mod images;
pub mod oracle;
pub mod program;

use std::path::PathBuf;

use burn::tensor::Tensor;

/// The root of the repository.
pub fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect()
}

/// A tensor's values.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().unwrap()
}

/// The largest difference between two lists of values.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |largest, (a, b)| {
        assert!(a.is_finite() && b.is_finite(), "{a} and {b}");
        f32::max(largest, (a - b).abs())
    })
}
