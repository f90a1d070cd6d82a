//! The processor's half of the hybrid JPEG decoder: Huffman decoding alone. What is left to do, the
//! inverse DCT, colours, the cut and the resizing, is linear but for the last clamp, and is told in
//! numbers with which a device computes it for a whole batch (nvJPEG's "hybrid" decoding, and more).

use image::metadata::Orientation;
use vitral_jpeg::{Block, Grid, Jpeg, Sink, last_below};

use super::jpeg::Segments;
use super::part::{Located, check_size, upright_size};
use super::request::Request;
use crate::error::DecodeError;
use crate::pixels::Channels;

/// Longest side of a window in sides of the result. A batch takes the memory of its longest sides for each
/// image, so that an unusual one is left to the processor.
const MAX_SHRINKING: u32 = 4;

/// Images of a batch whose coefficients are there and whose pixels a device is to compute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CodedImages {
    /// Quantised coefficients of all planes, two in each number: the lower 16 bits are the first, and both
    /// are signed.
    pub words: Vec<i32>,
    /// The images, in the order of their batch.
    pub images: Vec<CodedImage>,
}

/// An image as coefficients.
#[derive(Clone, Debug, PartialEq)]
pub struct CodedImage {
    /// Which image of the batch it is, from 0.
    pub place: usize,
    /// Brightness (Y) alone, or Y, Cb and Cr, each with values around 0, where 128 is meant.
    pub planes: Vec<CodedPlane>,
}

/// One component of an image: blocks of coefficients side by side, those of rows and columns in the order
/// of their frequencies.
#[derive(Clone, Debug, PartialEq)]
pub struct CodedPlane {
    /// Where it begins in [`CodedImages::words`].
    pub start: usize,
    /// Rows of coefficients, a multiple of 8.
    pub rows: usize,
    /// Coefficients in a row, a multiple of 8.
    pub columns: usize,
    /// From coefficients in a column to rows of the result.
    pub down: CodedAxis,
    /// From coefficients in a row to columns of the result.
    pub across: CodedAxis,
    /// What coefficients are multiplied by, in a pattern that repeats every 8 rows and columns.
    pub quantisation: [f32; 64],
}

/// How the coefficients along one side of a plane become pixels along a side of the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CodedAxis {
    /// Coefficients of a block, and values that it gives: 1, 2, 4 or 8.
    pub block: u32,
    /// Whether a value counts for two pixels, between which it goes over by a triangle filter.
    pub is_half: bool,
    /// The last value within the image, which is its own neighbour as the first one is.
    pub last: u32,
    /// First pixel of those that may be looked at, and the one after the last.
    pub pixels: (u32, u32),
    /// Where the part begins that is resized, in pixels.
    pub start: f64,
    /// The part's length in pixels.
    pub length: f64,
    /// Whether the result is reversed.
    pub is_mirrored: bool,
}

impl CodedImages {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Adds an image that becomes the image `place` of its batch. `choose` tells, by its upright size,
    /// which part of it is wanted in which size, and whether that is then mirrored left to right.
    ///
    /// # Errors
    /// It is no JPEG file, or one that only another decoder can read. Nothing has been added then.
    pub(crate) fn add(
        &mut self,
        bytes: &[u8],
        place: usize,
        channels: Channels,
        choose: impl FnOnce(u32, u32) -> Result<(Request, bool), DecodeError>,
    ) -> Result<(), DecodeError> {
        let length = self.words.len();
        match self.try_add(bytes, channels, choose) {
            Ok(planes) => {
                self.images.push(CodedImage { place, planes });
                Ok(())
            }
            Err(error) => {
                self.words.truncate(length);
                Err(error)
            }
        }
    }

    fn try_add(
        &mut self,
        bytes: &[u8],
        channels: Channels,
        choose: impl FnOnce(u32, u32) -> Result<(Request, bool), DecodeError>,
    ) -> Result<Vec<CodedPlane>, DecodeError> {
        let explain = |error: vitral_jpeg::Error| DecodeError(error.to_string());
        let jpeg = Jpeg::open(bytes).map_err(explain)?;
        let segments = Segments::read(bytes);
        segments.check()?;
        let frame = jpeg.frame().clone();
        check_size(frame.width, frame.height)?;
        let turn = Turn::of(segments.orientation);
        let (width, height) = upright_size(frame.width, frame.height, segments.orientation);
        let (request, is_mirrored) = choose(width, height)?;
        let located = Located::new(request, segments.orientation, frame.width, frame.height);
        let part = located.window.units(&frame, located.scale);
        let count = if channels == Channels::Grey { 1 } else { frame.components.len() };
        let longest = MAX_SHRINKING * request.width.max(request.height);
        if located.window.width.max(located.window.height) > longest {
            return Err(DecodeError("its sides are too different for a batch's memory".into()));
        }
        let mut planes = Vec::with_capacity(count);
        for component in 0..count {
            let grid = Grid::new(&frame, component, part, located.scale);
            let quantisation = jpeg.quantisation(component).map_err(explain)?;
            let start = self.words.len();
            let plane = plane(&grid, &located, turn, is_mirrored, &quantisation, start);
            self.words.resize(start + plane.rows * plane.columns / 2, 0);
            planes.push((plane, grid));
        }
        let limits: Vec<_> = planes
            .iter()
            .map(|(_, grid)| last_below(grid.across as usize, grid.down as usize))
            .collect();
        let mut sink = Planes { words: &mut self.words, planes: &planes, turn };
        jpeg.read(part, &limits, &mut sink).map_err(explain)?;
        Ok(planes.into_iter().map(|(plane, _)| plane).collect())
    }
}

/// How an image is turned to be upright: rows and columns exchanged, and both reversed thereafter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    is_transposed: bool,
    reverses_columns: bool,
    reverses_rows: bool,
}

impl Turn {
    fn of(orientation: Orientation) -> Self {
        let (is_transposed, reverses_columns, reverses_rows) = match orientation {
            Orientation::NoTransforms => (false, false, false),
            Orientation::FlipHorizontal => (false, true, false),
            Orientation::Rotate180 => (false, true, true),
            Orientation::FlipVertical => (false, false, true),
            Orientation::Rotate90FlipH => (true, false, false),
            Orientation::Rotate90 => (true, true, false),
            Orientation::Rotate270FlipH => (true, true, true),
            Orientation::Rotate270 => (true, false, true),
        };
        Self { is_transposed, reverses_columns, reverses_rows }
    }
}

fn plane(
    grid: &Grid,
    located: &Located,
    turn: Turn,
    is_mirrored: bool,
    quantisation: &[u16; 64],
    start: usize,
) -> CodedPlane {
    let (window, area) = (located.window, located.area);
    let axis = |block, is_half, last, origin: u32, first: u32, count: u32, at: f64, length: f64| {
        let first = first - origin;
        // What rounding has pushed out of the covering pixels is cut off, as when pixels are resized.
        let at = at.max(0.0);
        CodedAxis {
            block,
            is_half,
            last,
            pixels: (first, first + count),
            start: f64::from(first) + at,
            length: length.min(f64::from(count) - at),
            is_mirrored: false,
        }
    };
    let mut across = axis(
        grid.across,
        grid.half_width,
        grid.last_column,
        grid.left,
        window.left,
        window.width,
        area.left,
        area.width,
    );
    let mut down = axis(
        grid.down,
        grid.half_height,
        grid.last_row,
        grid.top,
        window.top,
        window.height,
        area.top,
        area.height,
    );
    let (mut columns, mut rows) = (grid.width, grid.height);
    if turn.is_transposed {
        std::mem::swap(&mut across, &mut down);
        std::mem::swap(&mut columns, &mut rows);
    }
    across.is_mirrored = turn.reverses_columns != is_mirrored;
    down.is_mirrored = turn.reverses_rows;
    let quantisation = std::array::from_fn(|at| {
        let (row, column) = (at / 8 % down.block as usize, at % 8 % across.block as usize);
        let (h, v) = if turn.is_transposed { (row, column) } else { (column, row) };
        f32::from(quantisation[8 * h + v])
    });
    let [rows, columns] = [rows, columns].map(|side| side.next_multiple_of(8) as usize);
    CodedPlane { start, rows, columns, down, across, quantisation }
}

/// Writes blocks to their places.
struct Planes<'a> {
    words: &'a mut [i32],
    planes: &'a [(CodedPlane, Grid)],
    turn: Turn,
}

impl Sink for Planes<'_> {
    fn block(&mut self, component: usize, column: u32, row: u32, block: &Block) {
        let (plane, _) = &self.planes[component];
        let (column, row) = if self.turn.is_transposed { (row, column) } else { (column, row) };
        let (across, down) = (plane.across.block as usize, plane.down.block as usize);
        let left = column as usize * across;
        let top = row as usize * down;
        let at = |y: usize| plane.start + ((top + y) * plane.columns + left) / 2;
        let value = |y: usize, x: usize| {
            block.values[if self.turn.is_transposed { 8 * y + x } else { 8 * x + y }]
        };
        if block.last == 0 && across > 1 {
            self.words[at(0)] = pair(block.values[0], 0);
            return;
        }
        if across == 1 {
            let shift = 16 * (left % 2);
            for y in 0..down {
                self.words[at(y)] |= pair(value(y, 0), 0) << shift;
            }
            return;
        }
        for y in 0..down {
            let row = &mut self.words[at(y)..][..across / 2];
            for (x, word) in row.iter_mut().enumerate() {
                *word = pair(value(y, 2 * x), value(y, 2 * x + 1));
            }
        }
    }
}

/// Two coefficients in one number.
fn pair(first: i16, second: i16) -> i32 {
    i32::from(second) << 16 | i32::from(first as u16)
}
