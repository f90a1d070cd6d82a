//! Filling rectangles.

use super::Size;

/// A part of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// The first row.
    pub top: usize,
    /// The first pixel of each row.
    pub left: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Gives every pixel of a rectangle one colour. What lies outside of the image is left out.
pub fn fill(pixels: &mut [u8], size: Size, rectangle: Rectangle, color: [u8; 3]) {
    fill_with(pixels, size, rectangle, |row| {
        for pixel in row.chunks_exact_mut(size.channels) {
            pixel.copy_from_slice(&color[..size.channels]);
        }
    });
}

/// Lets a function fill each row of a rectangle, from top to bottom.
pub fn fill_with(
    pixels: &mut [u8],
    size: Size,
    rectangle: Rectangle,
    mut fill: impl FnMut(&mut [u8]),
) {
    let Rectangle { top, left, width, height } = rectangle;
    let (left, right) = (left.min(size.width), left.saturating_add(width).min(size.width));
    let rows = pixels.chunks_exact_mut(size.row().max(1)).skip(top).take(height);
    for row in rows {
        fill(&mut row[left * size.channels..right * size.channels]);
    }
}
