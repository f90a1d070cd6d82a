//! Where the values of a component lie: how many a block gives, and what they are to the image.

use crate::{Frame, Part, Scale};

/// The values of one component of a part, at some scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Values that a block gives in a row: 1, 2, 4 or 8.
    pub across: u32,
    /// Rows of values that a block gives: 1, 2, 4 or 8.
    pub down: u32,
    /// Whether it has half the image's width.
    pub half_width: bool,
    /// Whether it has half the image's height.
    pub half_height: bool,
    /// Values in a row of the part.
    pub width: u32,
    /// Rows of values of the part.
    pub height: u32,
    /// The column of the image's pixels, at its scale, where the part begins.
    pub left: u32,
    /// The row of the image's pixels, at its scale, where the part begins.
    pub top: u32,
    /// The last column of values that is within the image, rather than filling of its last blocks.
    pub last_column: u32,
    /// The last row of values that is within the image.
    pub last_row: u32,
}

impl Grid {
    /// The grid of a component, by its index in [`Frame::components`].
    pub fn new(frame: &Frame, component: usize, part: Part, scale: Scale) -> Self {
        let (first, own) = (frame.components[0], frame.components[component]);
        let (unit_width, unit_height) = frame.unit();
        let divisor = scale.divisor();
        // Values that a unit's blocks have to make along a side. A block has 8 at most, so that at full
        // size those of colours may be half as many.
        let size = |units: u32, own: u32, length: u32| {
            let values = (length / divisor / own).min(8);
            (values, values * own * divisor < length, units * own * values)
        };
        let (across, half_width, width) = size(part.width, own.across, unit_width);
        let (down, half_height, height) = size(part.height, own.down, unit_height);
        let (left, top) = (part.left * unit_width / divisor, part.top * unit_height / divisor);
        let last = |length: u32, sampling: u32, half: bool, start: u32, size: u32| {
            let start = if half { start / 2 } else { start };
            let length = if half { length.div_ceil(sampling) } else { length.div_ceil(divisor) };
            (length - start).min(size) - 1
        };
        Self {
            across,
            down,
            half_width,
            half_height,
            width,
            height,
            left,
            top,
            last_column: last(frame.width, first.across, half_width, left, width),
            last_row: last(frame.height, first.down, half_height, top, height),
        }
    }
}
