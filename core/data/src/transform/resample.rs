//! Resizing with a filter that widens when an image shrinks, as Pillow does it: interpolation with antialiasing.

use vitral_resample::{Part, Source, resize};

use super::interpolation::Interpolation;
use crate::error::TransformError;
use crate::pixels::{Image, ImageView, byte_count};
use crate::region::{Area, Crop};

/// The whole image, resized to `width` x `height` with the usual filter.
pub(crate) fn exactly(image: Image, width: u32, height: u32) -> Result<Image, TransformError> {
    if (image.width(), image.height()) == (width, height) {
        return Ok(image);
    }
    part(
        &image,
        Crop::whole(image.width(), image.height()),
        (width, height),
        Interpolation::default(),
    )
}

/// A part of the image, resized to `width` x `height`. Pixels outside the part have no influence.
fn part(
    image: &Image,
    crop: Crop,
    (width, height): (u32, u32),
    interpolation: Interpolation,
) -> Result<Image, TransformError> {
    let channels = image.channels();
    let bytes =
        byte_count(width, height, channels).map_err(|error| TransformError(error.to_string()))?;
    let mut pixels = vec![0; bytes];
    area_into(image.view(), crop.area(), (width, height), interpolation, &mut pixels)?;
    Image::new(width, height, channels, pixels).map_err(|error| TransformError(error.to_string()))
}

/// An area of the image, resized to `width` x `height` pixels, into `out`, which has their length.
/// Pixels that do not touch the area have no influence.
pub(super) fn area_into(
    image: ImageView<'_>,
    area: Area,
    (width, height): (u32, u32),
    interpolation: Interpolation,
    out: &mut [u8],
) -> Result<(), TransformError> {
    let crop = area.cover(image.width(), image.height());
    let exact = crop.area() == area;
    if exact && (crop.width, crop.height) == (width, height) {
        copy(image, crop, out);
        return Ok(());
    }
    let part = (!exact).then(|| {
        // What rounding has pushed out of the covering pixels is cut off.
        let (left, top) = (area.left - f64::from(crop.left), area.top - f64::from(crop.top));
        let (left, top) = (left.max(0.0), top.max(0.0));
        let width = area.width.min(f64::from(crop.width) - left);
        let height = area.height.min(f64::from(crop.height) - top);
        Part { left, top, width, height }
    });
    let source = Source {
        pixels: image.pixels(),
        width: image.width(),
        height: image.height(),
        channels: image.channels().count(),
    };
    let crop = (crop.left, crop.top, crop.width, crop.height);
    resize(source, crop, part, interpolation.filter(), (width, height), out).map_err(TransformError)
}

fn copy(image: ImageView<'_>, crop: Crop, out: &mut [u8]) {
    let count = image.channels().count();
    let (start, length) = (crop.left as usize * count, crop.width as usize * count);
    for (y, row) in (crop.top..).zip(out.chunks_exact_mut(length)) {
        row.copy_from_slice(&image.row(y)[start..][..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Channels;

    fn grey(width: u32, height: u32, value: impl Fn(u32, u32) -> u8) -> Image {
        let pixels = (0..width * height).map(|at| value(at % width, at / width)).collect();
        Image::new(width, height, Channels::Grey, pixels).unwrap()
    }

    #[test]
    fn a_constant_image_stays_constant() {
        for value in [0, 1, 77, 254, 255] {
            for (width, height) in [(3, 3), (50, 20), (224, 224), (1, 90)] {
                let image = grey(37, 53, |_, _| value).into_channels(Channels::Rgb);
                let resized = exactly(image, width, height).unwrap();
                assert!(resized.pixels().iter().all(|&v| v == value), "{value} {width} x {height}");
                assert_eq!((resized.width(), resized.height()), (width, height));
            }
        }
    }

    #[test]
    fn shrinking_averages_all_pixels() {
        // Every second column is bright; without antialiasing the result would be black or white.
        let stripes = grey(64, 64, |x, _| if x % 2 == 0 { 0 } else { 200 });
        let resized = exactly(stripes, 8, 8).unwrap();
        let inner = &resized.row(4)[1..7];
        assert!(inner.iter().all(|&v| v.abs_diff(100) <= 2), "{inner:?}");
    }

    #[test]
    fn equals_pillows_bilinear() {
        // Image.frombytes("L", (4, 1), bytes([0, 100, 200, 40])).resize((2, 1), BILINEAR):
        // weights of the triangle of support 2 around 1 and 3 are (3, 3, 1) / 7 and (1, 3, 3) / 7.
        let image = grey(4, 1, |x, _| [0, 100, 200, 40][x as usize]);
        let expected = [(300.0 + 200.0) / 7.0, (100.0 + 600.0 + 120.0) / 7.0_f64];
        let resized = exactly(image, 2, 1).unwrap();
        assert_eq!(resized.pixels(), expected.map(|value| value.round() as u8));
    }

    #[test]
    fn a_part_is_within_one_of_pillows_crop_and_resize() {
        let value = |at: u32| {
            let (x, y, c) = (at / 3 % 37, at / 3 / 37, at % 3);
            ((x * 7 + y * 13 + c * 29) * (x + 3 * y + 1) % 256) as u8
        };
        let pixels = (0..37 * 29 * 3).map(value).collect();
        let image = Image::new(37, 29, Channels::Rgb, pixels).unwrap();
        let crop = Crop { left: 5, top: 4, width: 23, height: 19 };
        // Image.frombytes("RGB", (37, 29), ...).crop((5, 4, 28, 23)).resize(..., BILINEAR) in Pillow
        // 13.0: smaller in both directions; wider and lower, the first 36 pixels.
        let small: [u8; 108] = [
            131, 113, 119, 139, 107, 129, 120, 132, 143, 125, 129, 124, 116, 153, 80, 146, 105,
            112, 119, 126, 112, 122, 128, 129, 132, 110, 145, 151, 129, 122, 129, 124, 112, 129,
            122, 124, 121, 108, 106, 135, 141, 109, 123, 126, 109, 114, 121, 112, 125, 89, 145, 87,
            122, 134, 129, 115, 144, 128, 126, 127, 116, 130, 106, 106, 112, 116, 116, 114, 114,
            114, 134, 110, 97, 150, 152, 95, 147, 142, 109, 125, 130, 129, 120, 139, 121, 113, 124,
            135, 128, 140, 74, 134, 134, 111, 126, 133, 118, 138, 154, 140, 95, 124, 127, 108, 132,
            121, 110, 133,
        ];
        let wide: [u8; 108] = [
            84, 102, 90, 108, 110, 107, 145, 124, 135, 153, 137, 127, 152, 143, 113, 120, 112, 93,
            103, 92, 98, 108, 88, 137, 125, 103, 134, 149, 129, 111, 145, 135, 117, 137, 134, 129,
            120, 106, 154, 124, 115, 161, 154, 168, 146, 146, 153, 144, 124, 112, 148, 108, 88,
            133, 100, 81, 124, 115, 129, 132, 131, 145, 140, 148, 129, 148, 148, 125, 137, 143,
            126, 121, 131, 117, 122, 130, 121, 117, 157, 162, 100, 153, 164, 95, 123, 134, 100,
            113, 131, 87, 109, 133, 73, 115, 119, 113, 117, 118, 135, 111, 141, 118, 120, 122, 120,
            140, 73, 135,
        ];
        // The same with BICUBIC.
        let small_cubic: [u8; 108] = [
            135, 111, 118, 141, 101, 133, 119, 135, 144, 125, 131, 129, 112, 158, 73, 150, 100,
            113, 116, 128, 109, 119, 129, 130, 132, 108, 152, 158, 130, 119, 129, 127, 112, 129,
            123, 125, 117, 104, 100, 139, 147, 106, 127, 128, 106, 108, 121, 108, 128, 80, 152, 79,
            122, 135, 133, 112, 147, 129, 126, 130, 115, 130, 101, 102, 110, 114, 115, 114, 114,
            115, 137, 106, 95, 153, 156, 92, 149, 143, 108, 124, 132, 130, 119, 142, 122, 112, 126,
            140, 127, 142, 67, 137, 131, 113, 123, 128, 120, 143, 158, 143, 92, 124, 126, 112, 131,
            116, 109, 131,
        ];
        let wide_cubic: [u8; 108] = [
            78, 100, 82, 103, 108, 102, 146, 124, 135, 163, 143, 131, 157, 147, 113, 117, 112, 86,
            95, 87, 92, 101, 79, 141, 125, 98, 138, 155, 130, 110, 151, 143, 111, 136, 138, 127,
            114, 97, 161, 121, 109, 168, 158, 179, 145, 153, 164, 146, 125, 109, 154, 106, 73, 135,
            99, 72, 121, 113, 134, 129, 132, 154, 141, 152, 129, 151, 153, 124, 138, 144, 126, 119,
            128, 111, 122, 129, 118, 118, 163, 170, 95, 159, 173, 88, 122, 134, 95, 109, 131, 79,
            108, 136, 69, 114, 114, 116, 116, 114, 141, 110, 155, 115, 121, 130, 117, 142, 64, 138,
        ];
        for (size, interpolation, expected) in [
            ((6, 6), Interpolation::Bilinear, small),
            ((40, 3), Interpolation::Bilinear, wide),
            ((6, 6), Interpolation::Bicubic, small_cubic),
            ((40, 3), Interpolation::Bicubic, wide_cubic),
        ] {
            let resized = part(&image, crop, size, interpolation).unwrap();
            let pairs = resized.pixels().iter().zip(expected);
            for (at, (&value, expected)) in pairs.enumerate() {
                let near = value.abs_diff(expected) <= 1;
                assert!(near, "{interpolation:?}, {at}: {value} is not {expected}");
            }
        }
    }

    #[test]
    fn only_the_part_has_influence() {
        let image =
            grey(
                40,
                40,
                |x, y| if (10..20).contains(&x) && (5..25).contains(&y) { 90 } else { 255 },
            );
        let crop = Crop { left: 10, top: 5, width: 10, height: 20 };
        for side in [7, 16, 31] {
            for interpolation in [Interpolation::Bilinear, Interpolation::Bicubic] {
                let resized = part(&image, crop, (side, side), interpolation).unwrap();
                assert!(resized.pixels().iter().all(|&v| v == 90), "{side}");
            }
        }
    }

    #[test]
    fn a_part_of_the_right_size_is_copied() {
        let image = grey(8, 8, |x, y| (10 * y + x) as u8);
        let crop = Crop { left: 2, top: 3, width: 2, height: 2 };
        assert_eq!(
            part(&image, crop, (2, 2), Interpolation::Bicubic).unwrap().pixels(),
            [32, 33, 42, 43]
        );
    }
}
