//! The largest of each 3 x 3 values, two apart.

use burn::tensor::{Tensor, module::max_pool2d, ops::MaxPoolOptions};

use crate::{padding::same_padding, program::RANK};

/// `[.., batch, channels, height, width]` to half of height and width.
pub(super) fn max_pool(input: Tensor<RANK>) -> Tensor<4> {
    let [.., batch, channels, height, width] = input.dims();
    let input: Tensor<4> = input.reshape([batch, channels, height, width]);
    let padding = [height, width].map(|size| same_padding(size, 3, 2));
    max_pool2d(input, MaxPoolOptions { stride: [2; 2], padding, ..MaxPoolOptions::new([3; 2]) })
}
