//! Mixing two values, as Pillow's `Image.blend` does.

/// `from + factor * (to - from)`, cut off at 0 and 255 and towards zero.
pub fn blend(from: u8, to: u8, factor: f32) -> u8 {
    let blended = f32::from(from) + factor * (f32::from(to) - f32::from(from));
    // Cut off by hand, as this becomes SIMD, and a cast to `u8` that does it does not.
    let cut = if blended < 0.0 { 0.0 } else { blended };
    let cut = if cut > 255.0 { 255.0 } else { cut };
    cut as i32 as u8
}

/// Blends each value of `pixels` with the one beside it: `from + factor * (pixels - from)`.
pub fn blend_with(pixels: &mut [u8], from: &[u8], factor: f32) {
    let (steps, rest) = pixels.as_chunks_mut::<16>();
    let (from_steps, from_rest) = from.as_chunks::<16>();
    for (step, from) in steps.iter_mut().zip(from_steps) {
        for (value, &from) in step.iter_mut().zip(from) {
            *value = blend(from, *value, factor);
        }
    }
    for (value, &from) in rest.iter_mut().zip(from_rest) {
        *value = blend(from, *value, factor);
    }
}
