//! Moving pixels: flips and affine warps.

use std::ops::Range;

use super::Size;
use super::chunks::each_pixel;
use crate::math;

/// How a value between pixels is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel's value, as Pillow finds it.
    Nearest,
    /// Between the four nearest, in doubles and cut off towards zero, as Pillow does it.
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
        let angle = -degrees.rem_euclid(360.0) * (std::f64::consts::PI / 180.0);
        let [sin, cos] = [math::sin(angle), math::cos(angle)].map(to_15_places);
        let (x, y) = (size.width as f64 / 2.0, size.height as f64 / 2.0);
        let at = |a: f64, b: f64, center: f64| a * -x + b * -y + center;
        Self([cos, sin, at(cos, sin, x), -sin, cos, at(-sin, cos, y)])
    }
}

/// A number of at most 1, rounded to 15 decimal places, as Pillow does it with sines.
fn to_15_places(value: f64) -> f64 {
    const SCALE: u64 = 1_000_000_000_000_000;
    let bits = value.to_bits();
    let (exponent, fraction) = (bits >> 52 & 0x7ff, bits & ((1 << 52) - 1));
    // The value is `mantissa / 2^places`; from 2^104 on, the product below would be no half.
    let places = 1075_u64.saturating_sub(exponent);
    if places > 104 {
        return 0.0;
    }
    let mantissa = u128::from(fraction | 1 << 52);
    // Without an error, where a product of doubles has one.
    let product = mantissa * u128::from(SCALE);
    let rounded = (product + (1 << (places - 1))) >> places;
    (rounded as f64 / SCALE as f64).copysign(value)
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

/// Warps an image; what comes from outside gets the fill colour.
pub fn warp(
    pixels: &mut [u8],
    size: Size,
    affine: Affine,
    interpolation: Interpolation,
    fill: [u8; 3],
) {
    let source = pixels.to_vec();
    match (interpolation, size.channels) {
        (Interpolation::Nearest, 3) => nearest::<3>(&source, pixels, size, affine, fill),
        (Interpolation::Nearest, _) => nearest::<1>(&source, pixels, size, affine, [fill[0]]),
        (Interpolation::Bilinear, 3) => bilinear::<3>(&source, pixels, size, affine, fill),
        (Interpolation::Bilinear, _) => bilinear::<1>(&source, pixels, size, affine, [fill[0]]),
    }
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
        let inside = run(row.len(), inside);
        row[..inside.start].fill(fill);
        row[inside.end..].fill(fill);
        let mut x = start_x + inside.start as i64 * right_x;
        let mut y = start_y + inside.start as i64 * right_y;
        if right_x == 1 << 16 && right_y == 0 {
            // Neighbours stay neighbours.
            let from = ((y >> 16) * width + (x >> 16)) as usize;
            let neighbours = source.get(from..).and_then(|rest| rest.get(..inside.len()));
            if let Some(neighbours) = neighbours {
                row[inside].copy_from_slice(neighbours);
            }
        } else {
            each_pixel(&mut row[inside], |pixel| {
                let at = (y >> 16) * width + (x >> 16);
                *pixel = source.get(at as usize).copied().unwrap_or(fill);
                x += right_x;
                y += right_y;
            });
        }
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
    let (width, height) = (size.width as f64, size.height as f64);
    for (line, row) in out.as_chunks_mut::<C>().0.chunks_exact_mut(size.width.max(1)).enumerate() {
        let line = line as f64 + 0.5;
        let (down_x, down_y) = (b * line, e * line);
        // Sums in Pillow's order, so that they are rounded as Pillow's.
        let from = |column: f64| (a * column + down_x + c, d * column + down_y + f);
        let inside = run(row.len(), |index| {
            let (x, y) = from(index as f64 + 0.5);
            (0.0..width).contains(&x) && (0.0..height).contains(&y)
        });
        row[..inside.start].fill(fill);
        row[inside.end..].fill(fill);
        let mut column = inside.start as f64 + 0.5;
        each_pixel(&mut row[inside], |pixel| {
            let (x, y) = from(column);
            *pixel = between(source, size, x, y);
            column += 1.0;
        });
    }
}

/// The value at a place inside of the image; the border is repeated outwards.
fn between<const C: usize>(source: &[[u8; C]], size: Size, x: f64, y: f64) -> [u8; C] {
    let ([left, right], along) = neighbours(x, size.width);
    let ([above, below], down) = neighbours(y, size.height);
    let [above, below] = [above, below].map(|line| line * size.width);
    let at = |index: usize| source[index].map(i32::from);
    let [top_left, top_right] = [at(above + left), at(above + right)];
    let [low_left, low_right] = [at(below + left), at(below + right)];
    std::array::from_fn(|channel| {
        let mix = |from: i32, to: i32| -> f64 { f64::from(from) + f64::from(to - from) * along };
        let top = mix(top_left[channel], top_right[channel]);
        let low = mix(low_left[channel], low_right[channel]);
        (top + (low - top) * down) as i32 as u8
    })
}

/// The pixels on both sides of a place, which have their values in their middles, and how far it is
/// from the first to the second.
fn neighbours(at: f64, length: usize) -> ([usize; 2], f64) {
    let at = at - 0.5;
    let before = if at < 0.0 { -1 } else { at as i32 };
    let last = length as i32 - 1;
    ([before.max(0) as usize, (before + 1).min(last) as usize], at - f64::from(before))
}

/// The pixels of a row that come from inside of the image: they lie together, as a line crosses it
/// once.
fn run(length: usize, inside: impl Fn(usize) -> bool) -> Range<usize> {
    if length > 0 && inside(0) && inside(length - 1) {
        return 0..length;
    }
    let first = (0..length).find(|&index| inside(index)).unwrap_or(length);
    let last = (first..length).rfind(|&index| inside(index)).map_or(first, |index| index + 1);
    first..last
}
