//! Filters over neighbours.

use super::Size;
use crate::math;

/// Pillow's `ImageFilter.SMOOTH`: a 3x3 mean with weight 5 in the middle; the border stays.
pub fn smooth(pixels: &[u8], size: Size) -> Vec<u8> {
    let mut out = pixels.to_vec();
    let (row, channels) = (size.row(), size.channels);
    if size.width < 3 || size.height < 3 {
        return out;
    }
    for y in 1..size.height - 1 {
        let line = |y: usize| &pixels[y * row..][..row];
        let (above, middle, below) = (line(y - 1), line(y), line(y + 1));
        let count = row - 2 * channels;
        let out = &mut out[y * row + channels..][..count];
        let (a0, a1, a2) = thirds(above, channels, count);
        let (m0, m1, m2) = thirds(middle, channels, count);
        let (b0, b1, b2) = thirds(below, channels, count);
        for index in 0..count {
            let outer = u32::from(a0[index])
                + u32::from(a1[index])
                + u32::from(a2[index])
                + u32::from(m0[index])
                + u32::from(m2[index])
                + u32::from(b0[index])
                + u32::from(b1[index])
                + u32::from(b2[index]);
            let sum = outer + 5 * u32::from(m1[index]);
            // Rounded; a sum of 13ths is never in the middle of two values.
            out[index] = ((2 * sum + 13) / 26) as u8;
        }
    }
    out
}

/// The left, middle and right neighbours of a row's inner values.
fn thirds(row: &[u8], channels: usize, count: usize) -> (&[u8], &[u8], &[u8]) {
    (&row[..count], &row[channels..][..count], &row[2 * channels..][..count])
}

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
