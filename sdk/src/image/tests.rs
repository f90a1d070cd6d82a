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
    let warped = |affine| warp(&image, SIZE, affine, Interpolation::Nearest, FILL);
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
fn bilinear_warps_give_what_pillow_gives() {
    let image = golden("image");
    for (name, affine) in [
        ("rotate -7 bilinear", Affine::rotate(-7.0, SIZE)),
        ("shear x 0.3 bilinear", Affine::shear_x(0.3)),
        ("shear y -0.2 bilinear", Affine::shear_y(-0.2)),
        ("translate 3.25 -1.5 bilinear", Affine::translate(3.25, -1.5)),
        ("enlarged bilinear", Affine([0.37, 0.01, -0.3, 0.02, 0.29, 8.6])),
        ("edges bilinear", Affine([1.0, 0.0, 0.499_999_9, 0.0, 1.0, -0.500_000_1])),
    ] {
        let found = warp(&image, SIZE, affine, Interpolation::Bilinear, FILL);
        assert_eq!(found, golden(name), "{name}");
    }
    let grey: Vec<u8> = golden("luma").into_iter().step_by(3).collect();
    let size = Size { channels: 1, ..SIZE };
    let turned = warp(&grey, size, Affine::rotate(20.0, size), Interpolation::Bilinear, FILL);
    assert_eq!(turned, golden("grey rotate 20 bilinear"));
}

#[test]
fn blur_is_close_to_an_exact_gaussian() {
    let deviation = 1.3_f64;
    let found = changed(|pixels| gaussian_blur(pixels, SIZE, deviation as f32));
    let image = golden("image");
    let weight = |at: i64| (-(at * at) as f64 / (2.0 * deviation * deviation)).exp();
    for (x, y, channel) in [(0, 0, 0), (7, 5, 1), (15, 11, 2), (3, 11, 0)] {
        let (mut sum, mut total) = (0.0, 0.0);
        for dy in -8_i64..=8 {
            for dx in -8_i64..=8 {
                let (from_x, from_y) = ((x + dx).clamp(0, 15), (y + dy).clamp(0, 11));
                let w = weight(dx) * weight(dy);
                sum += w * f64::from(image[((from_y * 16 + from_x) * 3 + channel) as usize]);
                total += w;
            }
        }
        let got = f64::from(found[((y * 16 + x) * 3 + channel) as usize]);
        assert!((got - sum / total).abs() <= 1.6, "{got} for {}", sum / total);
    }
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
    let turned = warp(&pixels, size, Affine::rotate(45.0, size), Interpolation::Bilinear, FILL);
    assert_eq!(turned, [77]);
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
