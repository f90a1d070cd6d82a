//! A rectangle of an image, with a border where it reaches beyond the image.

use crate::pixels::ImageView;

/// A rectangle, in pixels from the image's upper left corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub left: i64,
    pub top: i64,
    pub width: u32,
    pub height: u32,
    /// Value of the border's pixels.
    pub fill: u8,
}

impl Cut {
    /// Whether it is all of an image, and nothing else.
    pub fn is_whole(&self, width: u32, height: u32) -> bool {
        (self.left, self.top, self.width, self.height) == (0, 0, width, height)
    }

    /// Copies it into `out`, which has its length. What was there before does not matter.
    pub fn draw(&self, image: ImageView<'_>, out: &mut [u8]) {
        let across = Overlap::new(image.width(), self.left, self.width);
        let down = Overlap::new(image.height(), self.top, self.height);
        if (across.kept, down.kept) != (self.width, self.height) {
            out.fill(self.fill);
        }
        let count = image.channels().count();
        let (start, length) = (across.from as usize * count, across.kept as usize * count);
        for y in 0..down.kept {
            let row = (down.to + y) as usize * self.width as usize + across.to as usize;
            let row = &mut out[row * count..][..length];
            row.copy_from_slice(&image.row(down.from + y)[start..][..length]);
        }
    }
}

/// What is kept along one side.
struct Overlap {
    /// Where it starts in the image.
    from: u32,
    /// Where it starts in the result.
    to: u32,
    /// How many pixels it is.
    kept: u32,
}

impl Overlap {
    /// Of `count` pixels from `start` on, those that an image's side has.
    fn new(side: u32, start: i64, count: u32) -> Self {
        // Both are within 0 and a u32.
        let from = start.clamp(0, side.into()) as u32;
        let to = (-start).clamp(0, count.into()) as u32;
        Self { from, to, kept: (side - from).min(count - to) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Channels, Image};

    /// 1, 2, 3 above 4, 5, 6.
    fn image(channels: Channels) -> Image {
        let grey = Image::new(3, 2, Channels::Grey, vec![1, 2, 3, 4, 5, 6]).unwrap();
        grey.into_channels(channels)
    }

    fn cut(channels: Channels, left: i64, top: i64, width: u32, height: u32) -> Vec<u8> {
        let mut out = vec![77; (width * height) as usize * channels.count()];
        Cut { left, top, width, height, fill: 9 }.draw(image(channels).view(), &mut out);
        out
    }

    #[test]
    fn what_lies_beyond_the_image_is_border() {
        let part = |left, top| cut(Channels::Grey, left, top, 3, 2);
        assert_eq!(part(0, 0), [1, 2, 3, 4, 5, 6]);
        assert_eq!(part(-1, -1), [9, 9, 9, 9, 1, 2]);
        assert_eq!(part(1, 1), [5, 6, 9, 9, 9, 9]);
        assert_eq!(part(1, -1), [9, 9, 9, 2, 3, 9]);
        assert_eq!(cut(Channels::Grey, 1, 0, 1, 2), [2, 5]);
        assert_eq!(cut(Channels::Grey, -1, 1, 5, 1), [9, 4, 5, 6, 9]);
    }

    #[test]
    fn colours_move_together() {
        assert_eq!(cut(Channels::Rgb, 1, 0, 3, 1), [2, 2, 2, 3, 3, 3, 9, 9, 9]);
    }

    #[test]
    fn a_rectangle_beside_the_image_is_all_border() {
        for start in [-10, -3, 3, 10] {
            assert_eq!(cut(Channels::Grey, start, 0, 3, 2), [9; 6]);
            assert_eq!(cut(Channels::Grey, 0, start, 3, 2), [9; 6]);
        }
    }
}
