//! Mixing two values, as Pillow's `Image.blend` does.

/// 2^23 in 256ths: added to a smaller number of 256ths, it rounds it to an integer, which are then the
/// lowest bits.
const ROUNDED: f32 = 8_388_608.0 * 256.0;

/// `from + factor * (to - from)`, cut off at 0 and 255 and towards zero.
pub fn blend(from: u8, to: u8, factor: f32) -> u8 {
    // All of this becomes SIMD, natively and in WebAssembly, which conversions between `f32` and
    // 8 bits do not. In 256ths everything is rounded as in whole numbers.
    let [from, to] = [from, to].map(|value| i32::from(value) << 8);
    let blended = from as f32 + factor * (to - from) as f32;
    // 0 if it is no number, too.
    let cut = if blended > 0.0 { blended } else { 0.0 };
    let cut = if cut < 65535.0 { cut } else { 65535.0 };
    let rounded = cut + ROUNDED;
    let is_above = rounded - ROUNDED > cut;
    (rounded.to_bits() as u8).wrapping_sub(u8::from(is_above))
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
