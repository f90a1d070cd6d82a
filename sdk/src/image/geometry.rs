//! Moving pixels: flips and affine warps.

use super::Size;
use super::chunks::each_pixel;
use crate::math;

/// How a value between pixels is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel's value, as Pillow finds it.
    Nearest,
    /// Between the four nearest, in 8-bit steps; within 2 levels of Pillow, which uses doubles.
    Bilinear,
}

/// Where each pixel of the result comes from: `x' = a x + b y + c`, `y' = d x + e y + f`, in pixels
/// from the top left corner, as in Pillow's `Image.transform`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine(pub [f64; 6]);

impl Affine {
    /// Shears each row by `by` times its distance from the top.
    pub fn shear_x(by: f64) -> Self {
        Self([1.0, by, 0.0, 0.0, 1.0, 0.0])
    }

    /// Shears each column by `by` times its distance from the left.
    pub fn shear_y(by: f64) -> Self {
        Self([1.0, 0.0, 0.0, by, 1.0, 0.0])
    }

    /// Moves the image to the right and down.
    pub fn translate(x: f64, y: f64) -> Self {
        Self([1.0, 0.0, -x, 0.0, 1.0, -y])
    }

    /// Turns the image counter-clockwise around its middle, as Pillow's `Image.rotate`.
    pub fn rotate(degrees: f64, size: Size) -> Self {
        let angle = -degrees * (std::f64::consts::PI / 180.0);
        let (sin, cos) = (math::sin(angle), math::cos(angle));
        let (x, y) = (size.width as f64 / 2.0, size.height as f64 / 2.0);
        let at = |a: f64, b: f64, center: f64| a * -x + b * -y + center;
        Self([cos, sin, at(cos, sin, x), -sin, cos, at(-sin, cos, y)])
    }
}

/// Turns left and right around.
pub fn flip_horizontal(pixels: &mut [u8], size: Size) {
    for row in pixels.chunks_exact_mut(size.row().max(1)) {
        match size.channels {
            3 => row.as_chunks_mut::<3>().0.reverse(),
            _ => row.reverse(),
        }
    }
}

/// Turns top and bottom around.
pub fn flip_vertical(pixels: &mut [u8], size: Size) {
    let row = size.row();
    let (top, bottom) = pixels.split_at_mut(size.height / 2 * row);
    let bottom = bottom.chunks_exact_mut(row.max(1)).rev();
    for (upper, lower) in top.chunks_exact_mut(row.max(1)).zip(bottom) {
        upper.swap_with_slice(lower);
    }
}

/// An image of the same size, warped; what comes from outside gets the fill colour.
pub fn warp(
    pixels: &[u8],
    size: Size,
    affine: Affine,
    interpolation: Interpolation,
    fill: [u8; 3],
) -> Vec<u8> {
    let mut out = vec![0; pixels.len()];
    match (interpolation, size.channels) {
        (Interpolation::Nearest, 3) => nearest::<3>(pixels, &mut out, size, affine, fill),
        (Interpolation::Nearest, _) => nearest::<1>(pixels, &mut out, size, affine, [fill[0]]),
        (Interpolation::Bilinear, 3) => bilinear::<3>(pixels, &mut out, size, affine, fill),
        (Interpolation::Bilinear, _) => bilinear::<1>(pixels, &mut out, size, affine, [fill[0]]),
    }
    out
}

/// 16.16 fixed point, as Pillow has it.
fn fixed(value: f64) -> i64 {
    (value * 65536.0 + 0.5).floor() as i64
}

fn nearest<const C: usize>(
    pixels: &[u8],
    out: &mut [u8],
    size: Size,
    Affine([a, b, c, d, e, f]): Affine,
    fill: [u8; C],
) {
    let source = pixels.as_chunks::<C>().0;
    let (width, height) = (size.width as i64, size.height as i64);
    let [right_x, right_y, down_x, down_y] = [a, d, b, e].map(fixed);
    let (mut start_x, mut start_y) = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
    for row in out.as_chunks_mut::<C>().0.chunks_exact_mut(size.width.max(1)) {
        let inside = |index: usize| {
            let (x, y) = (start_x + index as i64 * right_x, start_y + index as i64 * right_y);
            (0..width << 16).contains(&x) && (0..height << 16).contains(&y)
        };
        // What comes from inside of the image lies together, as a line crosses it once.
        let first = (0..row.len()).find(|&index| inside(index)).unwrap_or(row.len());
        let last =
            (first..row.len()).rfind(|&index| inside(index)).map_or(first, |index| index + 1);
        row[..first].fill(fill);
        row[last..].fill(fill);
        let mut x = start_x + first as i64 * right_x;
        let mut y = start_y + first as i64 * right_y;
        each_pixel(&mut row[first..last], |pixel| {
            let at = (y >> 16) * width + (x >> 16);
            *pixel = source.get(at as usize).copied().unwrap_or(fill);
            x += right_x;
            y += right_y;
        });
        start_x += down_x;
        start_y += down_y;
    }
}

fn bilinear<const C: usize>(
    pixels: &[u8],
    out: &mut [u8],
    size: Size,
    Affine([a, b, c, d, e, f]): Affine,
    fill: [u8; C],
) {
    let source = pixels.as_chunks::<C>().0;
    let (width, height) = (size.width as i64, size.height as i64);
    let [right_x, right_y, down_x, down_y] = [a, d, b, e].map(fixed);
    let (mut start_x, mut start_y) = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
    for row in out.as_chunks_mut::<C>().0.chunks_exact_mut(size.width.max(1)) {
        let (mut x, mut y) = (start_x, start_y);
        each_pixel(row, |pixel| {
            let inside = (0..width << 16).contains(&x) && (0..height << 16).contains(&y);
            *pixel = if inside {
                // Pixels have their values in their middles.
                between(source, width, height, x - 0x8000, y - 0x8000)
            } else {
                fill
            };
            x += right_x;
            y += right_y;
        });
        start_x += down_x;
        start_y += down_y;
    }
}

/// The value at a place in 16.16 fixed point; the border is repeated outwards.
fn between<const C: usize>(source: &[[u8; C]], width: i64, height: i64, x: i64, y: i64) -> [u8; C] {
    let (column, line) = (x >> 16, y >> 16);
    let (right, below) = ((x >> 8 & 0xff) as u32, (y >> 8 & 0xff) as u32);
    let at = |line: i64, column: i64| {
        let (line, column) = (line.clamp(0, height - 1), column.clamp(0, width - 1));
        &source[(line * width + column) as usize]
    };
    let (top, bottom) = (
        [at(line, column), at(line, column + 1)],
        [at(line + 1, column), at(line + 1, column + 1)],
    );
    std::array::from_fn(|channel| {
        let mix = |[left, next]: [&[u8; C]; 2]| {
            u32::from(left[channel]) * (256 - right) + u32::from(next[channel]) * right
        };
        ((mix(top) * (256 - below) + mix(bottom) * below + 0x8000) >> 16) as u8
    })
}
