//! Parts of images, in whole pixels and in fractions of them, and how they turn with an image.

use image::metadata::Orientation;

/// A part of an image, in pixels. It has at least one pixel and lies within the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crop {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl Crop {
    /// All of an image.
    pub fn whole(width: u32, height: u32) -> Self {
        Self { left: 0, top: 0, width, height }
    }

    /// Where the part lies once its image, `width` pixels wide, is mirrored left and right.
    pub fn mirrored(self, width: u32) -> Self {
        Self { left: width - self.left - self.width, ..self }
    }

    /// The part as an area.
    pub fn area(self) -> Area {
        Area {
            left: f64::from(self.left),
            top: f64::from(self.top),
            width: f64::from(self.width),
            height: f64::from(self.height),
        }
    }
}

/// A part of an image whose edges may lie within pixels, as a part does in a smaller copy of its image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Area {
    /// The same area of a copy that is `factor` times as large and starts at (`left`, `top`).
    pub fn seen_from(self, factor: f64, left: u32, top: u32) -> Self {
        Self {
            left: self.left * factor - f64::from(left),
            top: self.top * factor - f64::from(top),
            width: self.width * factor,
            height: self.height * factor,
        }
    }

    /// The smallest part in whole pixels that holds the area, in an image of `width` x `height`.
    pub fn cover(self, width: u32, height: u32) -> Crop {
        let (left, columns) = cover(self.left, self.width, width);
        let (top, rows) = cover(self.top, self.height, height);
        Crop { left, top, width: columns, height: rows }
    }

    /// Where the area lies after an image of `width` x `height` has been turned.
    pub fn turned(self, orientation: Orientation, width: u32, height: u32) -> Self {
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        // What was at the left lies at the right, or what was at the top at the bottom.
        let (from_right, from_bottom) = (f64::from(width) - right, f64::from(height) - bottom);
        let straight = |left, top| Self { left, top, ..self };
        let across = |left, top| Self { left, top, width: self.height, height: self.width };
        match orientation {
            Orientation::NoTransforms => self,
            Orientation::FlipHorizontal => straight(from_right, self.top),
            Orientation::FlipVertical => straight(self.left, from_bottom),
            Orientation::Rotate180 => straight(from_right, from_bottom),
            Orientation::Rotate90 => across(from_bottom, self.left),
            Orientation::Rotate270 => across(self.top, from_right),
            Orientation::Rotate90FlipH => across(self.top, self.left),
            Orientation::Rotate270FlipH => across(from_bottom, from_right),
        }
    }
}

fn cover(start: f64, length: f64, side: u32) -> (u32, u32) {
    // A rounding error must not reach for another pixel.
    const NOTHING: f64 = 1e-6;
    let first = ((start + NOTHING).floor().max(0.0) as u32).min(side - 1);
    let end = (start + length - NOTHING).ceil().max(0.0) as u32;
    (first, end.clamp(first + 1, side) - first)
}

/// The turn that undoes another.
pub(crate) fn inverse(orientation: Orientation) -> Orientation {
    match orientation {
        Orientation::Rotate90 => Orientation::Rotate270,
        Orientation::Rotate270 => Orientation::Rotate90,
        own => own,
    }
}

/// Whether a turn exchanges width and height.
pub(crate) fn exchanges_sides(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, GrayImage, Luma};

    #[test]
    fn areas_turn_as_images_do() {
        let part = Crop { left: 1, top: 2, width: 3, height: 1 };
        // One bright part in a dark image, turned by the image library.
        let marked = GrayImage::from_fn(7, 5, |x, y| {
            let inside = (1..4).contains(&x) && y == 2;
            Luma([if inside { 255 } else { 0 }])
        });
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut turned = DynamicImage::from(marked.clone());
            turned.apply_orientation(orientation);
            let turned = turned.into_luma8();
            let found = part.area().turned(orientation, 7, 5);
            let crop = found.cover(turned.width(), turned.height());
            let bright: Vec<_> = turned.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 0).collect();
            assert_eq!(bright.len(), 3);
            assert!(bright.iter().all(|&(x, y, _)| {
                (crop.left..crop.left + crop.width).contains(&x)
                    && (crop.top..crop.top + crop.height).contains(&y)
            }));
            assert_eq!(crop.width * crop.height, 3);
            let back = found.turned(inverse(orientation), turned.width(), turned.height());
            assert_eq!(back, part.area(), "{orientation:?}");
            assert_eq!(exchanges_sides(orientation), turned.width() == 5);
        }
    }

    #[test]
    fn whole_pixels_cover_an_area() {
        let area = Area { left: 1.25, top: 0.0, width: 2.5, height: 3.0 };
        assert_eq!(area.cover(9, 9), Crop { left: 1, top: 0, width: 3, height: 3 });
        assert_eq!(area.cover(3, 2), Crop { left: 1, top: 0, width: 2, height: 2 });
        let exact = Crop { left: 3, top: 4, width: 5, height: 6 };
        assert_eq!(exact.area().cover(100, 100), exact);
        let dot = Area { left: 8.999, top: 9.5, width: 0.001, height: 0.01 };
        assert_eq!(dot.cover(9, 9), Crop { left: 8, top: 8, width: 1, height: 1 });
    }
}
