//! The middle of an image, as torchvision's `CenterCrop` cuts it.

use crate::pixels::ImageView;

/// The middle `size` x `size` pixels, into `out`. Where the image is smaller, the rest is black.
pub(super) fn apply_into(image: ImageView<'_>, size: u32, out: &mut [u8]) {
    let (left, width, target_left) = overlap(image.width(), size);
    let (top, height, target_top) = overlap(image.height(), size);
    let count = image.channels().count();
    if (width, height) != (size, size) {
        out.fill(0);
    }
    for y in 0..height {
        let from = &image.row(top + y)[left as usize * count..][..width as usize * count];
        let start = ((target_top + y) as usize * size as usize + target_left as usize) * count;
        out[start..][..from.len()].copy_from_slice(from);
    }
}

/// Along one side: where the kept pixels start in the image, how many they are, and where they start
/// in the result.
fn overlap(side: u32, size: u32) -> (u32, u32, u32) {
    if side >= size {
        (half_to_even(side - size), size, 0)
    } else {
        // torchvision pads the right and the bottom with the larger half.
        (0, side, (size - side) / 2)
    }
}

/// Half of a number; a fraction of one half goes to the even side, as Python rounds.
fn half_to_even(number: u32) -> u32 {
    let half = number / 2;
    half + (number % 2) * (half % 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channels, Image};

    fn image(width: u32, height: u32) -> Image {
        let pixels = (1..=width * height).map(|value| value as u8).collect();
        Image::new(width, height, Channels::Grey, pixels).unwrap()
    }

    /// The middle of an image.
    fn apply(image: Image, size: u32) -> Vec<u8> {
        // What was there before does not matter.
        let mut out = vec![77; (size * size) as usize * image.channels().count()];
        apply_into(image.view(), size, &mut out);
        out
    }

    #[test]
    fn cuts_the_middle() {
        // Of 4 x 4: 1..=16 in rows.
        assert_eq!(apply(image(4, 4), 2), [6, 7, 10, 11]);
        let colour = apply(image(4, 4).into_channels(Channels::Rgb), 2);
        assert_eq!(colour, [6, 6, 6, 7, 7, 7, 10, 10, 10, 11, 11, 11]);
    }

    #[test]
    fn odd_differences_round_as_python_does() {
        assert_eq!([1, 3, 5, 7].map(half_to_even), [0, 2, 2, 4]);
        assert_eq!([0, 2, 4].map(half_to_even), [0, 1, 2]);
    }

    #[test]
    fn smaller_images_get_a_black_border() {
        assert_eq!(apply(image(1, 4), 2), [2, 0, 3, 0]);
        let result = apply(image(1, 1), 4);
        assert_eq!(result[4..8], [0, 1, 0, 0]);
        assert_eq!(result.iter().filter(|&&value| value > 0).count(), 1);
    }
}
