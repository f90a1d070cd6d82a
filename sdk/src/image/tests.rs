//! The kernels against Pillow's results, which `golden/make_golden.py` has written.

use super::*;

const SIZE: Size = Size { width: 16, height: 12, channels: 3 };
const FILL: [u8; 3] = [10, 20, 30];

fn golden(name: &str) -> Vec<u8> {
    let line = include_str!("golden/golden.txt").lines().find_map(|line| {
        let (found, hex) = line.split_once(": ")?;
        (found == name).then_some(hex)
    });
    let hex = line.unwrap().as_bytes();
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    hex.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn changed(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut pixels = golden("image");
    change(&mut pixels);
    pixels
}

#[test]
fn kernels_give_what_pillow_gives() {
    let image = golden("image");
    let warped =
        |affine| changed(|pixels| warp(pixels, SIZE, affine, Interpolation::Nearest, FILL));
    for (name, found) in [
        ("brightness 1.4", changed(|pixels| brightness(pixels, 1.4))),
        ("brightness 0.3", changed(|pixels| brightness(pixels, 0.3))),
        ("contrast 1.7", changed(|pixels| contrast(pixels, 3, 1.7))),
        ("contrast 0.4", changed(|pixels| contrast(pixels, 3, 0.4))),
        ("saturation 1.9", changed(|pixels| saturation(pixels, 3, 1.9))),
        ("saturation 0.1", changed(|pixels| saturation(pixels, 3, 0.1))),
        ("sharpness 1.9", changed(|pixels| sharpness(pixels, SIZE, 1.9))),
        ("sharpness 0.1", changed(|pixels| sharpness(pixels, SIZE, 0.1))),
        ("smooth", smooth(&image, SIZE)),
        ("posterize 3", changed(|pixels| posterize(pixels, 3))),
        ("solarize 100", changed(|pixels| solarize(pixels, 100))),
        ("invert", changed(invert)),
        ("autocontrast", changed(|pixels| autocontrast(pixels, 3))),
        ("equalize", changed(|pixels| equalize(pixels, 3))),
        ("luma", changed(|pixels| luma(pixels, 3))),
        ("flip horizontal", changed(|pixels| flip_horizontal(pixels, SIZE))),
        ("flip vertical", changed(|pixels| flip_vertical(pixels, SIZE))),
        ("rotate 30", warped(Affine::rotate(30.0, SIZE))),
        ("shear x 0.3", warped(Affine::shear_x(0.3))),
        ("shear y -0.2", warped(Affine::shear_y(-0.2))),
        ("translate 3 -2", warped(Affine::translate(3.0, -2.0))),
    ] {
        assert_eq!(found, golden(name), "{name}");
    }
}

#[test]
fn blending_is_rounded_as_its_formula_in_f32() {
    let formula = |from: u8, to: u8, factor: f32| {
        (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
    };
    for factor in [-0.5, 0.1, 0.27, 0.73, 1.0, 1.27, 1.9, 3.0, f32::INFINITY, f32::NAN] {
        for (from, to) in (0..=255).flat_map(|from| (0..=255).map(move |to| (from, to))) {
            let (found, wanted) = (blend(from, to, factor), formula(from, to, factor));
            assert_eq!(found, wanted, "{from}, {to}, {factor}");
        }
    }
}

#[test]
fn bilinear_warps_give_what_pillow_gives() {
    for (name, affine) in [
        ("rotate -7 bilinear", Affine::rotate(-7.0, SIZE)),
        ("shear x 0.3 bilinear", Affine::shear_x(0.3)),
        ("shear y -0.2 bilinear", Affine::shear_y(-0.2)),
        ("translate 3.25 -1.5 bilinear", Affine::translate(3.25, -1.5)),
        ("enlarged bilinear", Affine([0.37, 0.01, -0.3, 0.02, 0.29, 8.6])),
        ("edges bilinear", Affine([1.0, 0.0, 0.499_999_9, 0.0, 1.0, -0.500_000_1])),
    ] {
        let found = changed(|pixels| warp(pixels, SIZE, affine, Interpolation::Bilinear, FILL));
        assert_eq!(found, golden(name), "{name}");
    }
    let mut grey: Vec<u8> = golden("luma").into_iter().step_by(3).collect();
    let size = Size { channels: 1, ..SIZE };
    warp(&mut grey, size, Affine::rotate(20.0, size), Interpolation::Bilinear, FILL);
    assert_eq!(grey, golden("grey rotate 20 bilinear"));
}

/// An exact Gaussian, reaching eight deviations.
fn exact_blur(pixels: &[u8], size: Size, deviation: f64) -> Vec<f64> {
    let radius = (8.0 * deviation).ceil() as i64;
    let weight = |at: i64| (-(at * at) as f64 / (2.0 * deviation * deviation)).exp();
    let total: f64 = (-radius..=radius).map(weight).sum();
    let along = |values: &[f64], start: usize, step: usize, length: usize, at: usize| -> f64 {
        let taps = (-radius..=radius).map(|tap| {
            let from = (at as i64 + tap).clamp(0, length as i64 - 1) as usize;
            weight(tap) / total * values[start + from * step]
        });
        taps.sum()
    };
    let values: Vec<f64> = pixels.iter().map(|&value| f64::from(value)).collect();
    let (row, channels) = (size.row(), size.channels);
    let places = || (0..pixels.len()).map(|index| (index / row, index % row));
    let across: Vec<f64> = places()
        .map(|(y, x)| {
            let start = y * row + x % channels;
            along(&values, start, channels, size.width, x / channels)
        })
        .collect();
    places().map(|(y, x)| along(&across, x, row, size.height, y)).collect()
}

/// How far a blur is from an exact Gaussian, at worst.
fn error_of_blur(pixels: &[u8], size: Size, deviation: f32) -> f64 {
    let mut found = pixels.to_vec();
    gaussian_blur(&mut found, size, deviation);
    let exact = exact_blur(pixels, size, f64::from(deviation));
    let errors = found.iter().zip(exact).map(|(&found, exact)| (f64::from(found) - exact).abs());
    errors.fold(0.0, f64::max)
}

#[test]
fn blur_is_close_to_an_exact_gaussian() {
    let noise: Vec<u8> =
        (0..32 * 32_u32).map(|index| (index.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
    let edges: Vec<u8> = noise.iter().map(|&value| if value < 128 { 0 } else { 255 }).collect();
    let square = Size { width: 32, height: 32, channels: 1 };
    for deviation in [0.1, 0.33, 0.6, 1.3, 2.0, 4.0] {
        for (pixels, size) in [(&golden("image"), SIZE), (&noise, square), (&edges, square)] {
            let error = error_of_blur(pixels, size, deviation);
            assert!(error < 1.0, "{error} at {deviation}");
        }
    }
}

#[test]
fn blur_does_not_see_further_than_three_deviations() {
    let size = Size { width: 121, height: 121, channels: 1 };
    for deviation in [3.0, 5.0, 8.0] {
        // White begins where the kernel ends.
        let radius = (3.0 * deviation) as i64;
        let near = |at: i64| (-radius..=radius).contains(&(at - 60));
        let pixels: Vec<u8> = (0..121 * 121)
            .map(|index| if near(index / 121) && near(index % 121) { 0 } else { 255 })
            .collect();
        let error = error_of_blur(&pixels, size, deviation);
        assert!((1.0..1.5).contains(&error), "{error} at {deviation}");
    }
}

/// A colour with its hue turned, by the formulas of HSV.
fn exact_hue(rgb: [u8; 3], turn: f64) -> [f64; 3] {
    let [red, green, blue] = rgb.map(f64::from);
    let value = red.max(green).max(blue);
    let chroma = value - red.min(green).min(blue);
    let sixths = match value {
        _ if chroma == 0.0 => 0.0,
        _ if value == red => (green - blue) / chroma,
        _ if value == green => (blue - red) / chroma + 2.0,
        _ => (red - green) / chroma + 4.0,
    };
    [5.0, 3.0, 1.0].map(|offset| {
        let at = (offset + sixths + turn * 6.0_f64).rem_euclid(6.0);
        value - chroma * at.min(4.0 - at).clamp(0.0, 1.0)
    })
}

#[test]
fn hue_goes_around() {
    let red = |turn| {
        let mut pixels = vec![255, 0, 0];
        hue(&mut pixels, 3, turn);
        pixels
    };
    assert_eq!(red(1.0 / 3.0), [0, 255, 0]);
    assert_eq!(red(-1.0 / 3.0), [0, 0, 255]);
    assert_eq!(red(0.5), [0, 255, 255]);
    let turned = changed(|pixels| hue(pixels, 3, 0.2));
    let image = golden("image");
    let exact = image.as_chunks::<3>().0.iter().flat_map(|&rgb| exact_hue(rgb, 0.2));
    for (&found, exact) in turned.iter().zip(exact.collect::<Vec<f64>>()) {
        assert!((f64::from(found) - exact).abs() < 0.501, "{found} for {exact}");
    }
    // Pillow's goes through 8-bit hues.
    for (found, wanted) in turned.iter().zip(golden("hue 0.2")) {
        assert!(found.abs_diff(wanted) <= 17, "{found} for {wanted}");
    }
    let there_and_back = changed(|pixels| {
        hue(pixels, 3, 0.2);
        hue(pixels, 3, -0.2);
    });
    for (found, wanted) in there_and_back.iter().zip(golden("image")) {
        assert!(found.abs_diff(wanted) <= 3, "{found} for {wanted}");
    }
}

#[test]
fn grey_and_tiny_images_work() {
    let size = Size { width: 1, height: 1, channels: 1 };
    let mut pixels = vec![77];
    for change in [luma, autocontrast, equalize] {
        change(&mut pixels, 1);
    }
    saturation(&mut pixels, 1, 0.0);
    hue(&mut pixels, 1, 0.3);
    sharpness(&mut pixels, size, 2.0);
    gaussian_blur(&mut pixels, size, 3.0);
    flip_horizontal(&mut pixels, size);
    flip_vertical(&mut pixels, size);
    contrast(&mut pixels, 1, 0.5);
    assert_eq!(pixels, [77]);
    warp(&mut pixels, size, Affine::rotate(45.0, size), Interpolation::Bilinear, FILL);
    assert_eq!(pixels, [77]);
}

#[test]
fn rectangles_end_at_the_image() {
    let size = Size { width: 3, height: 2, channels: 1 };
    let mut pixels = vec![0; 6];
    let part = |top, left| Rectangle { top, left, width: 9, height: 9 };
    fill(&mut pixels, size, part(1, 2), [5; 3]);
    assert_eq!(pixels, [0, 0, 0, 0, 0, 5]);
    fill(&mut pixels, size, part(5, 5), [7; 3]);
    assert_eq!(pixels, [0, 0, 0, 0, 0, 5]);
}
