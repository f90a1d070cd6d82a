//! Changes of each value by itself.

use super::chunks::{each_value, each_value_simd};
use super::color::sum_of_luma;

/// Looks each value up in a table.
pub fn apply(pixels: &mut [u8], table: &[u8; 256]) {
    each_value(pixels, |value| *value = table[usize::from(*value)]);
}

/// Turns light and dark around.
pub fn invert(pixels: &mut [u8]) {
    each_value_simd(pixels, |value| 255 - value);
}

/// Inverts the values from `threshold` on; from 256 on nothing is.
pub fn solarize(pixels: &mut [u8], threshold: u32) {
    let Ok(threshold) = u8::try_from(threshold) else { return };
    each_value_simd(pixels, |value| if value < threshold { value } else { 255 - value });
}

/// Keeps the highest `bits` bits of each value.
pub fn posterize(pixels: &mut [u8], bits: u32) {
    let mask = 0xff_u8.checked_shl(8_u32.saturating_sub(bits)).unwrap_or(0);
    each_value_simd(pixels, |value| value & mask);
}

/// Pillow's `ImageEnhance.Brightness`: 0 is black, 1 leaves everything as it is.
pub fn brightness(pixels: &mut [u8], factor: f32) {
    towards(pixels, 0, factor);
}

/// Pillow's `ImageEnhance.Contrast`: 0 is the image's mean grey, 1 leaves everything as it is.
pub fn contrast(pixels: &mut [u8], channels: usize, factor: f32) {
    let count = (pixels.len() / channels).max(1);
    let sum: u64 = match channels {
        3 => sum_of_luma(pixels),
        _ => pixels.iter().map(|&value| u64::from(value)).sum(),
    };
    let mean = (sum as f64 / count as f64 + 0.5) as u8;
    towards(pixels, mean, factor);
}

/// Blends each value with a constant.
fn towards(pixels: &mut [u8], constant: u8, factor: f32) {
    let mut table = [0; 256];
    for (value, entry) in (0..=255).zip(&mut table) {
        *entry = super::blend(constant, value, factor);
    }
    apply(pixels, &table);
}
