//! Ops on images `[images, height, width, channels]` or `[images, channels, height, width]` that
//! look at a window around each place.

use burn::tensor::{
    Tensor, module,
    ops::{AvgPoolOptions, ConvOptions},
};
use vitral_program::{ops, ops::Layout};

use super::value::{Call, RANK, Value};

/// Filter `[out, in / groups, height, width]` and bias `[out]`.
pub(super) fn conv(op: &ops::Conv2d, mut call: Call<'_>) -> Value {
    let x = channels_first(call.float(), op.input_layout);
    let filter = four(call.float());
    let out = filter.dims()[0];
    let bias = call.optional().map(|bias| bias.reshape([out]));
    let padding = pairs(op.padding);
    let options = ConvOptions::new_with_padding(op.strides, padding, op.dilations, op.groups);
    let result = module::conv2d(x, filter, bias, options);
    Value::Float(back(result, op.input_layout).reshape(call.shape()))
}

/// Padding does not count.
pub(super) fn average_pool(op: &ops::AveragePool2d, mut call: Call<'_>) -> Value {
    let x = channels_first(call.float(), op.layout);
    let options = AvgPoolOptions::new(op.window_dimensions)
        .with_stride(op.strides)
        .with_padding_pairs(pairs(op.padding))
        .with_count_include_pad(false);
    Value::Float(back(module::avg_pool2d(x, options), op.layout).reshape(call.shape()))
}

/// Top, bottom, left and right as Burn has them.
fn pairs([top, bottom, left, right]: [usize; 4]) -> [(usize, usize); 2] {
    [(top, bottom), (left, right)]
}

/// The last four dimensions.
fn four(tensor: Tensor<RANK>) -> Tensor<4> {
    let [.., a, b, c, d] = tensor.dims();
    tensor.reshape([a, b, c, d])
}

fn channels_first(image: Tensor<RANK>, layout: Layout) -> Tensor<4> {
    match layout {
        Layout::Nhwc => four(image).permute([0, 3, 1, 2]),
        Layout::Nchw => four(image),
    }
}

fn back(image: Tensor<4>, layout: Layout) -> Tensor<4> {
    match layout {
        Layout::Nhwc => image.permute([0, 2, 3, 1]),
        Layout::Nchw => image,
    }
}
