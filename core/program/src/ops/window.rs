//! Ops on images that look at a window around each place.

use std::fmt;
use std::str::FromStr;

use super::call::Call;
use super::declare::{Rule, one, op, sums_of};
use crate::array::{Array, each, fill};
use crate::attribute::text_attribute;
use crate::misfit::Misfit;
use crate::shape::{Dim, Shape};
use crate::types::{DType, TensorType};

/// Where an image's channels stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[images, height, width, channels]`
    Nhwc,
    /// `[images, channels, height, width]`
    Nchw,
}

impl Layout {
    /// The axes of height, width and channels.
    pub const fn axes(self) -> [usize; 3] {
        match self {
            Self::Nhwc => [1, 2, 3],
            Self::Nchw => [2, 3, 1],
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nhwc => "nhwc",
            Self::Nchw => "nchw",
        })
    }
}

impl FromStr for Layout {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        match text {
            "nhwc" => Ok(Self::Nhwc),
            "nchw" => Ok(Self::Nchw),
            _ => Err(Misfit::new(format!("`{text}` is not a layout; there are nhwc and nchw"))),
        }
    }
}

text_attribute! { Layout: "nhwc or nchw" }

/// How windows lie along height and width.
struct Windows {
    size: [usize; 2],
    padding: [usize; 4],
    strides: [usize; 2],
    dilations: [usize; 2],
}

impl Windows {
    /// How many windows lie along height (0) or width (1), each of them holding at least its size.
    fn count(&self, side: usize, length: usize) -> Result<usize, Misfit> {
        let (size, stride, dilation) = (self.size[side], self.strides[side], self.dilations[side]);
        if size == 0 || stride == 0 || dilation == 0 {
            return Err(Misfit::new(format!(
                "window {size}, stride {stride} and dilation {dilation} must be at least 1"
            )));
        }
        let (before, after) = (self.padding[2 * side], self.padding[2 * side + 1]);
        let padded = length.checked_add(before).and_then(|length| length.checked_add(after));
        let covered = (size - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1));
        match (padded, covered) {
            (Some(padded), Some(covered)) if covered <= padded => {
                Ok((padded - covered) / stride + 1)
            }
            _ => {
                let side = ["height", "width"][side];
                Err(Misfit::new(format!(
                    "a {side} of {length}, padded by {before} and {after}, has no room for a \
                     window of {size} with dilation {dilation}"
                )))
            }
        }
    }

    /// The pixel at a place of a window, unless it lies in the padding.
    fn pixel(
        &self,
        window: [usize; 2],
        place: [usize; 2],
        [height, width]: [usize; 2],
    ) -> Option<[usize; 2]> {
        let along = |side: usize, length: usize| {
            let padded = window[side] * self.strides[side] + place[side] * self.dilations[side];
            padded.checked_sub(self.padding[2 * side]).filter(|&at| at < length)
        };
        Some([along(0, height)?, along(1, width)?])
    }

    /// The result's type for an image and a number of channels.
    fn infer(
        &self,
        input: &TensorType,
        layout: Layout,
        channels: usize,
    ) -> Result<TensorType, Misfit> {
        let [height, width, _] = sides(input, layout)?;
        let [height_axis, width_axis, channel_axis] = layout.axes();
        let shape = input.shape.replaced(height_axis, Dim::Fixed(self.count(0, height)?))?;
        let shape = shape.replaced(width_axis, Dim::Fixed(self.count(1, width)?))?;
        Ok(input.with(shape.replaced(channel_axis, Dim::Fixed(channels))?))
    }
}

/// Height, width and channels of an image.
fn sides(input: &TensorType, layout: Layout) -> Result<[usize; 3], Misfit> {
    input.expect("input", &[DType::F32])?;
    let side = |axis: usize| input.dims().get(axis).and_then(|dim| dim.fixed());
    let [height, width, channels] = layout.axes().map(side);
    match (height, width, channels) {
        (Some(height), Some(width), Some(channels)) if input.rank() == 4 => {
            Ok([height, width, channels])
        }
        _ => Err(Misfit::new(format!(
            "input is {}, but must have 4 dimensions ({layout}) with the batch in the first only",
            input.shape
        ))),
    }
}

/// An index into an image.
fn image_index(layout: Layout, image: usize, [y, x]: [usize; 2], channel: usize) -> [usize; 4] {
    match layout {
        Layout::Nhwc => [image, y, x, channel],
        Layout::Nchw => [image, channel, y, x],
    }
}

op! {
    /// A convolution (as everywhere, the filter is not mirrored): `f32` images, a filter
    /// `[out, in / groups, height, width]` and a bias `[out]` to images with `out` channels.
    "conv2d" Conv2d(input: Required, filter: Required, bias: Optional) {
        /// Zeros added around the image: at the top, bottom, left and right.
        padding: [usize; 4] = [0; 4],
        /// Steps from window to window along height and width.
        strides: [usize; 2] = [1; 2],
        /// Steps from place to place within a window along height and width.
        dilations: [usize; 2] = [1; 2],
        /// Into how many groups the channels fall, each seeing only itself.
        groups: usize = 1,
        /// Where the channels stand in input and result.
        input_layout as "inputLayout": Layout = Layout::Nhwc,
    }
}

impl Conv2d {
    fn windows(&self, size: [usize; 2]) -> Windows {
        Windows { size, padding: self.padding, strides: self.strides, dilations: self.dilations }
    }
}

impl Rule for Conv2d {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let (input, filter) = (&operands[0], &operands[1]);
        let [_, _, channels] = sides(input, self.input_layout)?;
        filter.expect("filter", &[DType::F32])?;
        let Some(&[out, inner, height, width]) = filter.shape.sizes().as_deref() else {
            return Err(Misfit::new(format!(
                "filter is {}, but must be [out, in / groups, height, width]",
                filter.shape
            )));
        };
        let groups = self.groups;
        if groups == 0 || out % groups != 0 || inner.checked_mul(groups) != Some(channels) {
            let problem = format!(
                "filter is {} in {groups} groups, but must have {channels} / groups channels for \
                 the input, and a multiple of groups for the result",
                filter.shape
            );
            return Err(Misfit::new(problem));
        }
        if let Some(bias) = operands.get(2) {
            bias.expect("bias", &[DType::F32])?;
            if bias.shape != Shape::fixed(&[out])? {
                return Err(Misfit::new(format!("bias is {}, but must be [{out}]", bias.shape)));
            }
        }
        one(self.windows([height, width]).infer(input, self.input_layout, out)?)
    }

    fn products(&self, operands: &[TensorType], results: &[TensorType]) -> u64 {
        let window = operands[1].dims()[1..].iter().map(|dim| dim.per_item() as u64);
        sums_of(results, window.fold(1, u64::saturating_mul))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let (input, filter, bias) = (call.operands[0], call.operands[1], call.operands.get(2));
        let [y_axis, x_axis, channel_axis] = self.input_layout.axes();
        let &[out, inner, height, width] = filter.shape() else { return Vec::new() };
        let windows = self.windows([height, width]);
        let image_size = [input.shape()[y_axis], input.shape()[x_axis]];
        call.one(fill(call.shape(), |index| {
            let channel = index[channel_axis];
            let first = channel / (out / self.groups) * inner;
            let mut sum = bias.map_or(0.0, |bias| bias.values()[channel]);
            each(&[inner, height, width], |place| {
                let (from, y, x) = (place[0], place[1], place[2]);
                let window = [index[y_axis], index[x_axis]];
                if let Some(pixel) = windows.pixel(window, [y, x], image_size) {
                    let value =
                        input.at(&image_index(self.input_layout, index[0], pixel, first + from));
                    sum += value * filter.at(&[channel, from, y, x]);
                }
            });
            sum
        }))
    }
}

op! {
    /// The mean over each window, in every channel by itself, `f32` images to images. Padding does
    /// not count: a window at the border averages what it has of the image.
    "averagePool2d" AveragePool2d(input: Required) {
        /// Height and width of a window.
        window_dimensions as "windowDimensions": [usize; 2],
        /// What is added around the image: at the top, bottom, left and right, less than a window.
        padding: [usize; 4] = [0; 4],
        /// Steps from window to window along height and width.
        strides: [usize; 2] = [1; 2],
        /// Where the channels stand.
        layout: Layout = Layout::Nhwc,
    }
}

impl AveragePool2d {
    fn windows(&self) -> Windows {
        Windows {
            size: self.window_dimensions,
            padding: self.padding,
            strides: self.strides,
            dilations: [1; 2],
        }
    }
}

impl Rule for AveragePool2d {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let [_, _, channels] = sides(&operands[0], self.layout)?;
        let ([height, width], [top, bottom, left, right]) = (self.window_dimensions, self.padding);
        if top.max(bottom) >= height || left.max(right) >= width {
            let problem = format!(
                "padding is {:?}, but must be less than the window of {height} x {width}",
                self.padding
            );
            return Err(Misfit::new(problem));
        }
        one(self.windows().infer(&operands[0], self.layout, channels)?)
    }

    fn products(&self, _: &[TensorType], results: &[TensorType]) -> u64 {
        let [height, width] = self.window_dimensions.map(|side| side as u64);
        sums_of(results, height.saturating_mul(width))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let input = call.operands[0];
        let [y_axis, x_axis, channel_axis] = self.layout.axes();
        let (windows, [height, width]) = (self.windows(), self.window_dimensions);
        let image_size = [input.shape()[y_axis], input.shape()[x_axis]];
        call.one(fill(call.shape(), |index| {
            let (mut sum, mut count) = (0.0, 0.0);
            each(&[height, width], |place| {
                let window = [index[y_axis], index[x_axis]];
                if let Some(pixel) = windows.pixel(window, [place[0], place[1]], image_size) {
                    sum +=
                        input.at(&image_index(self.layout, index[0], pixel, index[channel_axis]));
                    count += 1.0;
                }
            });
            sum / count
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{count, f32, fits, gives, misfits};

    fn plain() -> Conv2d {
        Conv2d {
            padding: [0; 4],
            strides: [1; 2],
            dilations: [1; 2],
            groups: 1,
            input_layout: Layout::Nhwc,
        }
    }

    /// Expected values come from slicing and summing in NumPy.
    #[test]
    fn convolution_is_numpys() {
        let (image, filter) = (|| count(&[1, 4, 4, 1]), || count(&[1, 1, 3, 3]));
        gives(plain(), &[image(), filter()], &[258.0, 294.0, 402.0, 438.0]);
        let strided = Conv2d { padding: [1, 0, 0, 1], strides: [2, 1], ..plain() };
        let expected = [122.0, 155.0, 104.0, 403.0, 439.0, 271.0];
        gives(strided, &[image(), filter(), f32(&[1], &[1.0])], &expected);
    }

    #[test]
    fn groups_and_dilations_are_numpys() {
        let operands = || [count(&[1, 3, 3, 2]), count(&[2, 1, 2, 2]), f32(&[2], &[0.0, 10.0])];
        gives(Conv2d { groups: 2, dilations: [2, 2], ..plain() }, &operands(), &[76.0, 236.0]);
        let expected = [38.0, 134.0, 50.0, 178.0, 74.0, 266.0, 86.0, 310.0];
        gives(Conv2d { groups: 2, ..plain() }, &operands(), &expected);
    }

    #[test]
    fn layouts_compute_the_same() {
        let filter = || count(&[2, 2, 2, 2]);
        let nhwc = [162.0, 450.0, 218.0, 634.0, 330.0, 1002.0, 386.0, 1186.0];
        gives(plain(), &[count(&[1, 3, 3, 2]), filter()], &nhwc);
        let values: Vec<_> = (0..18).map(|at| f64::from(at % 9 * 2 + at / 9)).collect();
        let nchw = [162.0, 218.0, 330.0, 386.0, 450.0, 634.0, 1002.0, 1186.0];
        let op = Conv2d { input_layout: Layout::Nchw, ..plain() };
        gives(op, &[f32(&[1, 2, 3, 3], &values), filter()], &nchw);
    }

    #[test]
    fn convolution_wants_matching_filters_with_room() {
        let patches = Conv2d { strides: [16; 2], ..plain() };
        fits(patches, &["f32[B,224,224,3]", "f32[192,3,16,16]"], "f32[B,14,14,192]");
        let depthwise =
            Conv2d { padding: [1; 4], groups: 64, input_layout: Layout::Nchw, ..plain() };
        fits(depthwise, &["f32[4B,64,7,7]", "f32[64,1,3,3]", "f32[64]"], "f32[4B,64,7,7]");

        let (image, filter) = ("f32[B,7,7,3]", "f32[8,3,2,2]");
        let wants = "filter is [8, 4, 3, 3] in 1 groups, but must have 3 / groups channels";
        misfits(plain(), &[image, "f32[8,4,3,3]"], wants);
        let wants = "a multiple of groups for the result";
        misfits(Conv2d { groups: 2, ..plain() }, &["f32[B,7,7,4]", "f32[3,2,3,3]"], wants);
        misfits(Conv2d { groups: 0, ..plain() }, &[image, filter], "in 0 groups");
        let wants =
            "a height of 7, padded by 0 and 0, has no room for a window of 9 with dilation 1";
        misfits(plain(), &[image, "f32[8,3,9,9]"], wants);
        misfits(Conv2d { dilations: [1, 9], ..plain() }, &[image, filter], "a width of 7");
        misfits(Conv2d { strides: [0, 1], ..plain() }, &[image, filter], "must be at least 1");
        misfits(Conv2d { padding: [usize::MAX; 4], ..plain() }, &[image, filter], "no room");
        misfits(Conv2d { dilations: [usize::MAX; 2], ..plain() }, &[image, filter], "no room");
        let wants = "input is [B, 7, 7], but must have 4 dimensions (nhwc)";
        misfits(plain(), &["f32[B,7,7]", filter], wants);
        misfits(plain(), &["f32[7,B,7,3]", filter], "with the batch in the first only");
        misfits(plain(), &[image, "f32[B,3,2,2]"], "filter is [B, 3, 2, 2]");
        misfits(plain(), &[image, filter, "f32[3]"], "bias is [3], but must be [8]");
    }

    fn pool(size: usize, padding: usize, stride: usize, layout: Layout) -> AveragePool2d {
        AveragePool2d {
            window_dimensions: [size; 2],
            padding: [padding; 4],
            strides: [stride; 2],
            layout,
        }
    }

    #[test]
    fn pooling_averages_what_lies_in_the_image() {
        let image = || count(&[1, 4, 4, 1]);
        gives(pool(2, 0, 2, Layout::Nhwc), &[image()], &[2.5, 4.5, 10.5, 12.5]);
        gives(pool(2, 1, 2, Layout::Nhwc), &[count(&[1, 3, 3, 1])], &[0.0, 1.5, 4.5, 6.0]);
        gives(pool(2, 0, 1, Layout::Nchw), &[count(&[1, 2, 2, 2])], &[1.5, 5.5]);
        gives(pool(2, 0, 1, Layout::Nhwc), &[count(&[1, 2, 2, 2])], &[3.0, 4.0]);
    }

    #[test]
    fn pooling_wants_room_and_some_of_the_image_in_each_window() {
        let image = "f32[B,7,7,64]";
        fits(pool(2, 0, 2, Layout::Nhwc), &[image], "f32[B,3,3,64]");
        fits(pool(3, 1, 2, Layout::Nchw), &["f32[B,64,7,7]"], "f32[B,64,4,4]");
        let wants = "padding is [2, 2, 2, 2], but must be less than the window of 2 x 2";
        misfits(pool(2, 2, 2, Layout::Nhwc), &[image], wants);
        misfits(pool(9, 0, 2, Layout::Nhwc), &[image], "no room for a window of 9");
        misfits(pool(2, 0, 0, Layout::Nhwc), &[image], "must be at least 1");
        misfits(pool(2, 0, 1, Layout::Nhwc), &["i32[B,7,7,64]"], "input is i32");
        misfits(pool(2, 0, 1, Layout::Nhwc), &["f32[B,49,64]"], "must have 4 dimensions");
    }
}
