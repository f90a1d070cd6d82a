//! Filters over neighbours.

use super::Size;
use crate::math;

/// Values of a step, whose loop is unrolled (see `chunks`).
const STEP: usize = 32;

/// Pillow's `ImageFilter.SMOOTH`: a 3x3 mean with weight 5 in the middle; the border stays.
pub fn smooth(pixels: &[u8], size: Size) -> Vec<u8> {
    let mut out = pixels.to_vec();
    let (row, channels) = (size.row(), size.channels);
    if size.width < 3 || size.height < 3 {
        return out;
    }
    // Of three rows; those of three columns are sums of these.
    let mut sums = vec![0; row];
    for y in 1..size.height - 1 {
        let line = |y: usize| &pixels[y * row..][..row];
        let (above, middle, below) = (line(y - 1), line(y), line(y + 1));
        add(&mut sums, [above, middle, below]);
        let count = row - 2 * channels;
        let sums = [0, channels, 2 * channels].map(|start| &sums[start..][..count]);
        means(&mut out[y * row + channels..][..count], sums, &middle[channels..][..count]);
    }
    out
}

/// Adds rows, value by value.
fn add(sums: &mut [u16], rows: [&[u8]; 3]) {
    let done = add_steps::<STEP>(sums, rows);
    add_steps::<1>(&mut sums[done..], rows.map(|row| &row[done..]));
}

/// The same for whole steps; says how many values these are.
fn add_steps<const N: usize>(sums: &mut [u16], rows: [&[u8]; 3]) -> usize {
    let sums = sums.as_chunks_mut::<N>().0;
    let done = sums.len() * N;
    let [above, middle, below] = rows.map(|row| row.as_chunks::<N>().0.iter());
    for (((sums, above), middle), below) in sums.iter_mut().zip(above).zip(middle).zip(below) {
        for index in 0..N {
            sums[index] =
                u16::from(above[index]) + u16::from(middle[index]) + u16::from(below[index]);
        }
    }
    done
}

/// The means of values in the middle and their neighbours, whose sums of columns are given.
fn means(out: &mut [u8], sums: [&[u16]; 3], middle: &[u8]) {
    let done = means_of_steps::<STEP>(out, sums, middle);
    let sums = sums.map(|sums| &sums[done..]);
    means_of_steps::<1>(&mut out[done..], sums, &middle[done..]);
}

/// The same for whole steps; says how many values these are.
fn means_of_steps<const N: usize>(out: &mut [u8], sums: [&[u16]; 3], middle: &[u8]) -> usize {
    let (out, middle) = (out.as_chunks_mut::<N>().0, middle.as_chunks::<N>().0);
    let done = out.len() * N;
    let [left, here, right] = sums.map(|sums| sums.as_chunks::<N>().0.iter());
    let sums = left.zip(here).zip(right);
    for ((out, ((left, here), right)), middle) in out.iter_mut().zip(sums).zip(middle) {
        for index in 0..N {
            let middle = 4 * u16::from(middle[index]);
            out[index] = mean(left[index] + here[index] + right[index] + middle);
        }
    }
    done
}

/// A 13th, rounded; a sum of 13ths is never in the middle of two values. All in 16 bits, of which
/// SIMD has most: a first quotient, and what it has left over.
const fn mean(sum: u16) -> u8 {
    let sum = sum + 6;
    let about = (sum * 19) >> 8;
    let rest = sum - 13 * about;
    (about + ((rest * 79) >> 10)) as u8
}

// It is exact for every sum there is.
const _: () = {
    let mut sum = 0;
    while sum <= 13 * 255 {
        assert!(mean(sum) as u16 == (sum + 6) / 13);
        sum += 1;
    }
};

/// Pillow's `ImageEnhance.Sharpness`: 0 is smoothed, 1 leaves everything as it is, 2 sharpens.
pub fn sharpness(pixels: &mut [u8], size: Size, factor: f32) {
    let smoothed = smooth(pixels, size);
    super::blend_with(pixels, &smoothed, factor);
}

/// Gaussian blur of a deviation in pixels, with the image's border repeated outwards. The kernel
/// reaches three deviations and has 16-bit weights: noise, edges and ramps come out less than 1 from
/// an exact Gaussian, and where all is black up to there and white beyond it is less than 1.5. Pillow
/// approximates a Gaussian by three box blurs instead.
pub fn gaussian_blur(pixels: &mut [u8], size: Size, deviation: f32) {
    if deviation <= 0.0 || pixels.is_empty() {
        return;
    }
    let kernel = gaussian(deviation);
    let mut across = vec![0; pixels.len()];
    let row = size.row();
    for (from, to) in pixels.chunks_exact(row).zip(across.chunks_exact_mut(row)) {
        blur_row(from, to, size.channels, &kernel);
    }
    blur_columns(&across, pixels, size, &kernel);
}

/// Weights in 16-bit fixed point, which sum to 65536.
fn gaussian(deviation: f32) -> Vec<u32> {
    let radius = (3.0 * deviation + 0.999) as i32;
    let deviation = f64::from(deviation);
    let weight = |at: i32| math::exp(-f64::from(at * at) / (2.0 * deviation * deviation));
    let sum: f64 = (-radius..=radius).map(weight).sum();
    let mut kernel: Vec<u32> =
        (-radius..=radius).map(|at| (weight(at) / sum * 65536.0 + 0.5) as u32).collect();
    let total: u32 = kernel.iter().sum();
    let middle = &mut kernel[radius as usize];
    *middle = (*middle + 65536).saturating_sub(total);
    kernel
}

fn blur_row(from: &[u8], to: &mut [u8], channels: usize, kernel: &[u32]) {
    let radius = kernel.len() / 2;
    let width = from.len() / channels;
    // The row with its border repeated, so that the loop below has no branch.
    let mut padded = Vec::with_capacity(from.len() + 2 * radius * channels);
    for _ in 0..radius {
        padded.extend_from_slice(&from[..channels]);
    }
    padded.extend_from_slice(from);
    for _ in 0..radius {
        padded.extend_from_slice(&from[(width - 1) * channels..]);
    }
    let mut sums = vec![1 << 15; from.len()];
    for (tap, &weight) in kernel.iter().enumerate() {
        accumulate(&mut sums, &padded[tap * channels..][..from.len()], weight);
    }
    finish(&sums, to);
}

fn blur_columns(from: &[u8], to: &mut [u8], size: Size, kernel: &[u32]) {
    let (row, radius) = (size.row(), kernel.len() / 2);
    let mut sums = vec![0; row];
    for (y, to) in to.chunks_exact_mut(row).enumerate() {
        sums.fill(1 << 15);
        for (tap, &weight) in kernel.iter().enumerate() {
            let y = (y + tap).saturating_sub(radius).min(size.height - 1);
            accumulate(&mut sums, &from[y * row..][..row], weight);
        }
        finish(&sums, to);
    }
}

fn accumulate(sums: &mut [u32], values: &[u8], weight: u32) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += weight * u32::from(value);
    }
}

fn finish(sums: &[u32], to: &mut [u8]) {
    for (value, &sum) in to.iter_mut().zip(sums) {
        *value = (sum >> 16).min(255) as u8;
    }
}
