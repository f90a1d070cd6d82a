//! Colours: greyscale, saturation, hue. All of them leave grey images as they are.

use super::chunks::each_color;

/// Colours that are made grey at once.
const STEP: usize = 16;

/// Pillow's luma of a colour: ITU-R 601-2 in 16-bit fixed point.
pub const fn luma_of(red: u8, green: u8, blue: u8) -> u8 {
    ((red as u32 * 19_595 + green as u32 * 38_470 + blue as u32 * 7_471 + 0x8000) >> 16) as u8
}

/// The lumas of colours. WebAssembly's SIMD takes the channels apart, as all places are constants.
fn lumas(colors: &[[u8; 3]; STEP]) -> [u8; STEP] {
    let [red, green, blue]: [[u8; STEP]; 3] =
        std::array::from_fn(|channel| std::array::from_fn(|index| colors[index][channel]));
    std::array::from_fn(|index| luma_of(red[index], green[index], blue[index]))
}

/// The sum of all lumas of an RGB image.
pub(super) fn sum_of_luma(pixels: &[u8]) -> u64 {
    let luma = |color: &[u8; 3]| u32::from(luma_of(color[0], color[1], color[2]));
    let (steps, rest) = pixels.as_chunks::<3>().0.as_chunks::<16>();
    let steps = steps.iter().map(|step| u64::from(step.iter().map(luma).sum::<u32>()));
    steps.sum::<u64>() + rest.iter().map(|color| u64::from(luma(color))).sum::<u64>()
}

/// Makes an image grey, in all of its channels.
pub fn luma(pixels: &mut [u8], channels: usize) {
    if channels == 3 {
        each_color(pixels, |color| *color = [luma_of(color[0], color[1], color[2]); 3]);
    }
}

/// Pillow's `ImageEnhance.Color`: 0 is grey, 1 leaves everything as it is.
pub fn saturation(pixels: &mut [u8], channels: usize, factor: f32) {
    if channels != 3 {
        return;
    }
    let (steps, rest) = pixels.as_chunks_mut::<3>().0.as_chunks_mut::<STEP>();
    for step in steps {
        let greys = lumas(step).map(|grey| [grey; 3]);
        super::blend_with(step.as_flattened_mut(), greys.as_flattened(), factor);
    }
    for color in rest {
        let grey = luma_of(color[0], color[1], color[2]);
        super::blend_with(color, &[grey; 3], factor);
    }
}

/// Turns the hue by `turn` of the colour circle (-0.5 to 0.5), at the same saturation and value
/// (HSV), and rounds the result. torchvision's `adjust_hue` of Pillow images goes through 8-bit HSV:
/// in noise it differs by 1 level on average, by at most 8 in 99% of all values, and by 17 at most.
pub fn hue(pixels: &mut [u8], channels: usize, turn: f32) {
    if channels == 3 {
        for rgb in pixels.chunks_exact_mut(3) {
            let turned = turned([rgb[0], rgb[1], rgb[2]], turn);
            rgb.copy_from_slice(&turned);
        }
    }
}

fn turned(rgb: [u8; 3], turn: f32) -> [u8; 3] {
    let [red, green, blue] = rgb.map(f32::from);
    let value = red.max(green).max(blue);
    let chroma = value - red.min(green).min(blue);
    if chroma == 0.0 {
        return rgb;
    }
    // In sixths of the circle, from red.
    let sixths = if value == red {
        (green - blue) / chroma
    } else if value == green {
        (blue - red) / chroma + 2.0
    } else {
        (red - green) / chroma + 4.0
    };
    // What each channel loses at its distance from the hue.
    let mut hue = sixths + turn * 6.0;
    while hue < 0.0 {
        hue += 6.0;
    }
    while hue >= 6.0 {
        hue -= 6.0;
    }
    [5.0, 3.0, 1.0].map(|offset: f32| {
        let mut at = offset + hue;
        if at >= 6.0 {
            at -= 6.0;
        }
        let share = at.min(4.0 - at).clamp(0.0, 1.0);
        (value - chroma * share + 0.5) as u8
    })
}
