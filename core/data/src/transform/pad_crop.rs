//! A border around the image, then a random part of the image's own size: the usual augmentation of
//! small images such as CIFAR's.

use rand::Rng as _;
use vitral_seed::Rng;

use crate::pixels::ImageView;

pub(super) fn apply_into(
    image: ImageView<'_>,
    padding: u32,
    fill: u8,
    rng: &mut Rng,
    out: &mut [u8],
) {
    let top = rng.random_range(0..=2 * padding);
    let left = rng.random_range(0..=2 * padding);
    shifted(image, padding, left, top, fill, out);
}

/// The part that starts at (`left`, `top`) of the padded image.
fn shifted(image: ImageView<'_>, padding: u32, left: u32, top: u32, fill: u8, out: &mut [u8]) {
    out.fill(fill);
    let (from_x, to_x, width) = overlap(image.width(), padding, left);
    let (from_y, to_y, height) = overlap(image.height(), padding, top);
    let count = image.channels().count();
    let row_length = image.width() as usize * count;
    for y in 0..height {
        let from = &image.row(from_y + y)[from_x as usize * count..][..width as usize * count];
        let start = (to_y + y) as usize * row_length + to_x as usize * count;
        out[start..][..from.len()].copy_from_slice(from);
    }
}

/// Along one side: where the kept pixels start in the image and in the result, and how many they are.
fn overlap(side: u32, padding: u32, start: u32) -> (u32, u32, u32) {
    // The distance may exceed the side: then only border is left, and the start must stay inside.
    let from = start.saturating_sub(padding).min(side);
    let to = padding.saturating_sub(start).min(side);
    let kept = side.saturating_sub(from.max(to));
    if kept == 0 { (0, 0, 0) } else { (from, to, kept) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channels, Image};
    use std::collections::HashSet;
    use vitral_seed::Seed;

    fn image() -> Image {
        Image::new(3, 2, Channels::Grey, vec![1, 2, 3, 4, 5, 6]).unwrap()
    }

    fn shifted(image: &Image, padding: u32, left: u32, top: u32, fill: u8) -> Vec<u8> {
        // What was there before does not matter.
        let mut out = vec![77; image.pixels().len()];
        super::shifted(image.view(), padding, left, top, fill, &mut out);
        out
    }

    #[test]
    fn parts_are_the_shifted_image() {
        let part = |left, top| shifted(&image(), 1, left, top, 9);
        assert_eq!(part(1, 1), [1, 2, 3, 4, 5, 6]);
        assert_eq!(part(0, 0), [9, 9, 9, 9, 1, 2]);
        assert_eq!(part(2, 2), [5, 6, 9, 9, 9, 9]);
        assert_eq!(part(2, 0), [9, 9, 9, 2, 3, 9]);
    }

    #[test]
    fn colours_move_together() {
        let colour = image().into_channels(Channels::Rgb);
        let part = shifted(&colour, 1, 2, 1, 0);
        assert_eq!(part[..9], [2, 2, 2, 3, 3, 3, 0, 0, 0]);
    }

    #[test]
    fn a_border_wider_than_the_image_can_hide_it() {
        assert_eq!(shifted(&image(), 10, 0, 10, 7), [7; 6]);
        assert_eq!(shifted(&image(), 10, 20, 20, 7), [7; 6]);
    }

    #[test]
    fn every_shift_occurs() {
        let mut rng = Seed::new(1).rng();
        let mut part = || {
            let mut out = vec![77; 6];
            apply_into(image().view(), 1, 0, &mut rng, &mut out);
            out
        };
        let parts: HashSet<_> = (0..500).map(|_| part()).collect();
        assert_eq!(parts.len(), 9);
    }
}
