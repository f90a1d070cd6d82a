//! Mixing two values, as Pillow's `Image.blend` does.

/// `from + factor * (to - from)`, cut off at 0 and 255 and towards zero.
pub fn blend(from: u8, to: u8, factor: f32) -> u8 {
    // A cast cuts off what is beyond, which Pillow does by hand.
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// Blends each value of `pixels` with the one beside it: `from + factor * (pixels - from)`.
pub fn blend_with(pixels: &mut [u8], from: &[u8], factor: f32) {
    for (value, &from) in pixels.iter_mut().zip(from) {
        *value = blend(from, *value, factor);
    }
}
