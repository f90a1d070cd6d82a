//! Pictures of images and of a model's attention to them.

use std::io::Cursor;

use image::{ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, imageops};
use vitral_data::{Channels, Image};
use vitral_train::AttendedImage;

/// Least pixels of a picture's sides; smaller images keep their pixels visible.
const SIDE: u32 = 224;
/// Pixels of a picture's sides in a sheet of heads.
const CELL: u32 = 112;
/// Pixels between two of them.
const GAP: u32 = 4;
const BACKGROUND: Rgb<u8> = Rgb([40, 44, 52]);
/// Share of a colour in what lies over an image.
const COVER: f32 = 0.62;
/// From little to much: colours of rising brightness, as matplotlib's magma has them.
const COLOURS: [[f32; 3]; 6] = [
    [0.0, 0.0, 4.0],
    [59.0, 15.0, 112.0],
    [140.0, 41.0, 129.0],
    [222.0, 73.0, 104.0],
    [254.0, 159.0, 109.0],
    [252.0, 253.0, 191.0],
];

/// An image in colours, at least so many pixels wide.
pub fn shown(image: &Image, least: u32) -> RgbImage {
    let image = image.clone().into_channels(Channels::Rgb);
    let (width, height) = (image.width(), image.height());
    // An image has as many pixels as its sides say.
    let colours = RgbImage::from_raw(width, height, image.into_pixels());
    let colours = colours.unwrap_or_else(|| RgbImage::new(width, height));
    match least.div_ceil(width.max(1)) {
        0 | 1 => colours,
        times => {
            imageops::resize(&colours, times * width, times * height, imageops::FilterType::Nearest)
        }
    }
}

/// Attention rollout over an image.
pub fn rollout(attended: &AttendedImage) -> RgbImage {
    let maps = &attended.maps;
    over(&shown(&attended.image, SIDE), &maps.rollout, maps.grid)
}

/// Each head's attention over an image: a row for each layer, a column for each head.
pub fn heads(attended: &AttendedImage) -> RgbImage {
    let (maps, image) = (&attended.maps, shown(&attended.image, CELL));
    let image = imageops::resize(&image, CELL, CELL, imageops::FilterType::Triangle);
    let columns = maps.heads.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let side = |count: u32| count * (CELL + GAP) + GAP;
    let mut sheet = RgbImage::from_pixel(side(columns), side(maps.heads.len() as u32), BACKGROUND);
    for (row, layer) in (0..).zip(&maps.heads) {
        for (column, head) in (0..).zip(layer) {
            let (x, y) = (GAP + column * (CELL + GAP), GAP + row * (CELL + GAP));
            imageops::replace(&mut sheet, &over(&image, head, maps.grid), x.into(), y.into());
        }
    }
    sheet
}

/// A map of patches over an image, from its least value to its greatest.
fn over(image: &RgbImage, map: &[f32], grid: usize) -> RgbImage {
    let (width, height) = image.dimensions();
    let least = map.iter().copied().fold(f32::INFINITY, f32::min);
    let most = map.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = (most - least).max(f32::MIN_POSITIVE);
    let scaled: Vec<f32> = map.iter().map(|value| (value - least) / range).collect();
    // A map has a value for each patch.
    let patches = ImageBuffer::<Luma<f32>, _>::from_raw(grid as u32, grid as u32, scaled);
    let patches = patches.unwrap_or_else(|| ImageBuffer::new(1, 1));
    let values = imageops::resize(&patches, width, height, imageops::FilterType::Triangle);
    RgbImage::from_fn(width, height, |x, y| {
        let Rgb([red, green, blue]) = *image.get_pixel(x, y);
        let grey = 0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue);
        let colour = colour(values.get_pixel(x, y).0[0]);
        Rgb(colour.map(|part| ((1.0 - COVER) * grey + COVER * part).round() as u8))
    })
}

/// The colour of a value from 0 to 1.
fn colour(value: f32) -> [f32; 3] {
    let place = value.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f32;
    let first = (place as usize).min(COLOURS.len() - 2);
    let share = place - first as f32;
    std::array::from_fn(|part| {
        COLOURS[first][part] * (1.0 - share) + COLOURS[first + 1][part] * share
    })
}

/// A picture as a PNG file.
pub fn png(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    // Memory takes all that is written.
    let _ = picture.write_to(&mut bytes, ImageFormat::Png);
    bytes.into_inner()
}

#[cfg(test)]
mod tests {
    use vitral_model::attention_maps::AttentionMaps;

    use super::*;

    #[test]
    fn what_is_looked_at_is_bright_and_pictures_have_their_size() {
        let image = Image::new(8, 8, Channels::Grey, vec![100; 64]).unwrap();
        let heads = vec![vec![vec![0.0, 0.0, 0.0, 1.0]; 3]; 2];
        let maps = AttentionMaps { grid: 2, rollout: vec![0.1, 0.0, 0.0, 0.0], heads };
        let attended = AttendedImage { image, maps };
        let picture = rollout(&attended);
        assert_eq!(picture.dimensions(), (224, 224));
        let sum = |picture: &RgbImage, x, y| -> u32 {
            picture.get_pixel(x, y).0.iter().map(|&part| u32::from(part)).sum()
        };
        let corners = [(1, 1), (222, 1), (1, 222), (222, 222)].map(|(x, y)| sum(&picture, x, y));
        assert!(corners[1..].iter().all(|&corner| corners[0] > 2 * corner), "{corners:?}");
        let sheet = super::heads(&attended);
        assert_eq!(sheet.dimensions(), (3 * 116 + 4, 2 * 116 + 4));
        assert_eq!(*sheet.get_pixel(1, 1), BACKGROUND);
        assert!(sum(&sheet, 114, 114) > 2 * sum(&sheet, 5, 5));
        let decoded = image::load_from_memory(&png(&sheet)).unwrap().to_rgb8();
        assert_eq!(decoded, sheet);
    }

    #[test]
    fn a_map_that_is_the_same_everywhere_has_one_colour() {
        let image = RgbImage::from_pixel(10, 10, Rgb([9, 9, 9]));
        let flat = over(&image, &[0.25; 4], 2);
        assert!(flat.pixels().all(|pixel| pixel == flat.get_pixel(0, 0)));
    }
}
