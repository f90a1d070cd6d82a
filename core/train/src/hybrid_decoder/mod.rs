//! The device's half of the hybrid JPEG decoder: from a batch's quantised coefficients to pixels of the
//! model's size.
//!
//! What lies between both is linear along each side of an image: the inverse DCT, the larger or smaller
//! scale of colours, the cut and the resizing by a triangle filter. So each side has one matrix, and a
//! plane of coefficients `X` becomes `R X C^T`, in one matrix product for all images at once. Before it
//! come the quantisation table's factors, after it colours and the clamp to 0 to 255. Processors clamp
//! and round after the inverse DCT, too, which is all that differs.

use burn::tensor::{Device, Int, Tensor, TensorData};
use vitral_data::{Channels, CodedAxis, CodedImage, CodedImages, CodedPlane};

/// Images that are decoded together; more would only take more memory.
const AT_ONCE: usize = 16;

/// Sides of coefficients are filled up to multiples of this, so that a device meets few shapes.
const SIDE: usize = 64;

/// Pixels of 0 to 255, not rounded: `[images, size, size, channels]`.
pub(crate) fn decode(
    coded: &CodedImages,
    size: usize,
    channels: Channels,
    device: &Device,
) -> Tensor<4> {
    let start = |image: &CodedImage| image.planes[0].start;
    let chunks = coded.images.chunks(AT_ONCE).zip(1..).map(|(images, next)| {
        let (first, end) = (start(&images[0]), coded.images.get(next * AT_ONCE).map(start));
        let words = &coded.words[first..end.unwrap_or(coded.words.len())];
        let words = TensorData::new(words.to_vec(), [words.len()]);
        let words = Words { words: Tensor::from_data(words, device), first };
        words.pixels(images, size, channels)
    });
    Tensor::cat(chunks.collect(), 0)
}

/// Coefficients of some images on a device, two in each number.
struct Words {
    words: Tensor<1, Int>,
    /// Which of the batch's numbers is the first.
    first: usize,
}

impl Words {
    fn pixels(&self, images: &[CodedImage], size: usize, channels: Channels) -> Tensor<4> {
        let brightness: Vec<_> = images.iter().map(|image| image.planes[0].clone()).collect();
        let brightness = self.plane(&brightness, size) + 128.0;
        let colours: Vec<_> = match channels {
            Channels::Grey => Vec::new(),
            // Cb of all images, then Cr of all; grey images have coefficients that are multiplied by 0.
            Channels::Rgb => [1, 2]
                .into_iter()
                .flat_map(|plane| images.iter().map(move |image| image.planes.get(plane)))
                .zip(images.iter().cycle())
                .map(|(plane, image)| match plane {
                    Some(plane) => plane.clone(),
                    None => CodedPlane { quantisation: [0.0; 64], ..image.planes[0].clone() },
                })
                .collect(),
        };
        if colours.is_empty() {
            return brightness.clamp(0.0, 255.0).unsqueeze_dim(3);
        }
        let colours = self.plane(&colours, size);
        let count = images.len();
        let (cb, cr) = (colours.clone().narrow(0, 0, count), colours.narrow(0, count, count));
        // JFIF's formulas.
        let red = brightness.clone() + cr.clone() * 1.402;
        let green = brightness.clone() - cb.clone() * 0.344_136 - cr * 0.714_136;
        let blue = brightness + cb * 1.772;
        Tensor::stack::<4>(vec![red, green, blue], 3).clamp(0.0, 255.0)
    }

    /// One plane of each image: `[planes, size, size]`.
    fn plane(&self, planes: &[CodedPlane], size: usize) -> Tensor<3> {
        let side = |length: fn(&CodedPlane) -> usize| {
            planes.iter().map(length).max().unwrap_or(0).next_multiple_of(SIDE)
        };
        let (rows, columns) = (side(|plane| plane.rows), side(|plane| plane.columns));
        let device = self.words.device();
        let down: Vec<_> = planes.iter().map(|plane| plane.down).collect();
        let across: Vec<_> = planes.iter().map(|plane| plane.across).collect();
        let down = matrices(&down, size, rows, &device);
        let across = matrices(&across, size, columns, &device);
        let values = self.coefficients(planes, rows, columns);
        down.matmul(values).matmul(across.swap_dims(1, 2))
    }

    /// Coefficients in their units: `[planes, rows, columns]`. What is beyond a plane's own rows and
    /// columns is some other plane's.
    fn coefficients(&self, planes: &[CodedPlane], rows: usize, columns: usize) -> Tensor<3> {
        let (count, device) = (planes.len(), self.words.device());
        let each = |value: &dyn Fn(&CodedPlane) -> usize| {
            let values: Vec<_> = planes.iter().map(|plane| value(plane) as i32).collect();
            Tensor::<1, Int>::from_data(TensorData::new(values, [count]), &device)
                .reshape([count, 1, 1])
        };
        let line = |length: usize| Tensor::<1, Int>::arange(0..length as i64, &device);
        let index = each(&|plane| plane.start - self.first)
            + line(rows).reshape([1, rows, 1]) * each(&|plane| plane.columns / 2)
            + line(columns / 2).reshape([1, 1, columns / 2]);
        let last = self.words.dims()[0] as i32 - 1;
        let index = index.clamp_max(last).reshape([count * rows * columns / 2]);
        let words = self.words.clone().select(0, index);
        let low = words.clone().bitwise_and_scalar(0xffff).float();
        let low = low.clone() - low.greater_equal_elem(32_768.0).float() * 65_536.0;
        let high = words.bitwise_right_shift_scalar(16).float();
        let values = Tensor::stack::<2>(vec![low, high], 1);
        let factors: Vec<_> = planes.iter().flat_map(|plane| plane.quantisation).collect();
        let factors = TensorData::new(factors, [count, 1, 8, 1, 8]);
        let factors = Tensor::<5>::from_data(factors, &device);
        let values = values.reshape([count, rows / 8, 8, columns / 8, 8]) * factors;
        values.reshape([count, rows, columns])
    }
}

/// What makes `size` pixels of `length` coefficients: `[axes, size, length]`.
fn matrices(axes: &[CodedAxis], size: usize, length: usize, device: &Device) -> Tensor<3> {
    let count = axes.len();
    let upload = |values: Vec<f32>, shape: [usize; 3]| {
        Tensor::<3>::from_data(TensorData::new(values, shape), device)
    };
    let centres = axes.iter().flat_map(|axis| centres(axis, size)).collect();
    let centres = upload(centres, [count, size, 1]);
    let widths = axes.iter().map(|axis| (axis.length / size as f64).max(1.0) as f32).collect();
    let widths = upload(widths, [count, 1, 1]);
    // What a pixel counts for, by how far it is from the centre of a pixel of the result.
    let filter = |pixels: Tensor<3>| {
        let distance = (pixels + 0.5 - centres.clone()).abs() / widths.clone();
        (distance.neg() + 1.0).clamp_min(0.0)
    };
    let is_half = axes.iter().any(|axis| axis.is_half);
    let taps = if is_half { &TAPS[..] } else { &TAPS[..1] };
    let weights = taps.iter().map(|&tap| {
        let shares = axes.iter().flat_map(|axis| shares(axis, tap, length)).collect();
        let pixels = axes.iter().flat_map(|axis| {
            let step = if axis.is_half { 2.0 } else { 1.0 };
            (0..length).map(move |at| at as f32 * step + tap as f32)
        });
        filter(upload(pixels.collect(), [count, 1, length])) * upload(shares, [count, 1, length])
    });
    let weights = weights.reduce(|sum, tap| sum + tap).expect("there is a first tap");
    let weights = weights.clone() / weights.sum_dim(2);
    let transforms = axes.iter().flat_map(|axis| inverse_dct(axis.block as usize)).collect();
    let weights = weights.reshape([count, size * length / 8, 8]);
    weights.matmul(upload(transforms, [count, 8, 8])).reshape([count, size, length])
}

/// Pixels that a value counts for, from the first of those that it lies at: itself alone, or two and
/// their neighbours.
const TAPS: [i64; 4] = [0, 1, 2, -1];

/// How much of each value the pixel `tap` has, of those that may be looked at.
fn shares(axis: &CodedAxis, tap: i64, length: usize) -> impl Iterator<Item = f32> {
    let axis = *axis;
    (0..length as i64).map(move |value| {
        let last = i64::from(axis.last);
        let pixel = if axis.is_half { 2 * value + tap } else { value + tap };
        let (first, end) = (i64::from(axis.pixels.0), i64::from(axis.pixels.1));
        if value > last || !(first..end).contains(&pixel) {
            return 0.0;
        }
        // libjpeg's "fancy upsampling": three quarters of the nearer value, one of the other; values at
        // the image's edges are their own neighbours.
        match (axis.is_half, tap) {
            (false, 0) => 1.0,
            (false, _) => 0.0,
            (true, 0) if value == 0 => 1.0,
            (true, 1) if value == last => 1.0,
            (true, 0 | 1) => 0.75,
            (true, _) => 0.25,
        }
    })
}

/// Where the centres of the result's pixels lie.
fn centres(axis: &CodedAxis, size: usize) -> impl Iterator<Item = f32> {
    let axis = *axis;
    (0..size).map(move |at| {
        let at = if axis.is_mirrored { size - 1 - at } else { at };
        (axis.start + (at as f64 + 0.5) * axis.length / size as f64) as f32
    })
}

/// The inverse DCT of `block` coefficients to as many values, for 8 / `block` blocks side by side:
/// `[values, coefficients]`, 8 x 8. Fewer than 8 values are means of those of a full block.
fn inverse_dct(block: usize) -> [f32; 64] {
    let cosine = |value: usize, frequency: usize| {
        let angle = (2 * value + 1) as f64 * frequency as f64 * std::f64::consts::PI / 16.0;
        angle.cos() * if frequency == 0 { 0.125_f64.sqrt() } else { 0.5 }
    };
    let together = 8 / block;
    std::array::from_fn(|at| {
        let (value, frequency) = (at / 8, at % 8);
        if value / block != frequency / block {
            return 0.0;
        }
        let (value, frequency) = (value % block, frequency % block);
        let full = value * together..(value + 1) * together;
        (full.map(|value| cosine(value, frequency)).sum::<f64>() / together as f64) as f32
    })
}

#[cfg(test)]
mod tests;
