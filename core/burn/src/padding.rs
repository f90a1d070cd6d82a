//! Padding as TensorFlow has it.

/// What `SAME` puts before and after `size` values.
pub fn same_padding(size: usize, kernel: usize, stride: usize) -> (usize, usize) {
    let all = ((size.div_ceil(stride) - 1) * stride + kernel).saturating_sub(size);
    (all / 2, all - all / 2)
}
