//! Reads JPEG files as far as it is needed: to the DCT coefficients of a part of their image
//! ([`Jpeg::read`]), or to its pixels, also at 1/2, 1/4 and 1/8 of its size ([`Pixels`]).
//!
//! Baseline and progressive Huffman coding after ITU-T T.81, 8 bits, grey or Y, Cb, Cr, with colours in
//! full, in half the width, half the height, or half of both. Of other files it says
//! [`Unsupported`](Error::Unsupported), and of damaged ones [`Damaged`](Error::Damaged); it repairs
//! nothing, so that whoever calls can leave both to a decoder that does more. What lies outside of the
//! part is only skipped, and nothing is read after its last row, but for progressive files, which are
//! read to the end.
//!
//! No input makes it panic. Its memory is that of the part, and of all coefficients of a progressive
//! image, two bytes each; limits for the sizes in [`Frame`] are up to the caller.
//!
//! ```
//! use vitral_jpeg::{Jpeg, Pixels, Scale, Window};
//!
//! let file = std::fs::read("src/fixtures/420.jpg")?;
//! let jpeg = Jpeg::open(&file)?;
//! let (width, height) = (jpeg.frame().width, jpeg.frame().height);
//!
//! // The left half of the image, at half its size.
//! let window = Window { left: 0, top: 0, width: width / 4, height: height / 2 };
//! let mut pixels = Vec::new();
//! Pixels::default().read(jpeg, window, Scale::Half, false, &mut pixels)?;
//! assert_eq!(pixels.len(), 3 * (width as usize / 4) * (height as usize / 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bits;
mod grid;
mod header;
mod huffman;
mod idct;
mod pixels;
mod progressive;
mod scale;
mod sequential;

pub use grid::Grid;
pub use header::{Component, Frame};
pub use pixels::{Pixels, Window};
pub use scale::Scale;

use header::{Reader, Scan};

/// Why a file cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It may be right, but is of a kind that this crate does not read.
    #[error("this decoder does not read {0}")]
    Unsupported(&'static str),
    /// It breaks the format's rules.
    #[error("the JPEG file is damaged: {0}")]
    Damaged(&'static str),
}

/// A part of an image, in units (MCU). It lies within the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Units left of it.
    pub left: u32,
    /// Rows of units above it.
    pub top: u32,
    /// Units in a row of it.
    pub width: u32,
    /// Rows of units in it.
    pub height: u32,
}

/// The coefficients of 8 x 8 values as the file has them, not yet multiplied by the quantisation table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(align(32))]
pub struct Block {
    /// The coefficient of horizontal frequency `h` and vertical frequency `v` is `values[8 * h + v]`.
    pub values: [i16; 64],
    /// No coefficient after this one, in zigzag order, is other than 0.
    pub last: usize,
}

/// Takes the blocks of a part.
pub trait Sink {
    /// Takes the block of a component in a column and a row of blocks, counted from the part's corner.
    fn block(&mut self, component: usize, column: u32, row: u32, block: &Block);
}

/// A file whose header has been read.
pub struct Jpeg<'a> {
    bytes: &'a [u8],
    reader: Reader<'a>,
    frame: Frame,
    scan: Scan,
}

impl<'a> Jpeg<'a> {
    /// Reads a file's header.
    ///
    /// # Errors
    /// The header is damaged, or the file is of a kind that cannot be read.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes)?;
        let scan = reader.scan()?.ok_or(Error::Damaged("it holds no image"))?;
        let frame = reader.frame.clone().ok_or(Error::Damaged("its header is missing"))?;
        reader.check_colours(&frame)?;
        Ok(Self { bytes, reader, frame, scan })
    }

    /// Size and kind of the image.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// What the coefficients of a component are multiplied by: `[8 * h + v]` for horizontal frequency `h`
    /// and vertical frequency `v`.
    ///
    /// # Errors
    /// The file lacks the table.
    pub fn quantisation(&self, component: usize) -> Result<[u16; 64], Error> {
        let table = self.reader.tables.quantisation[self.frame.components[component].quantisation];
        let table = table.ok_or(Error::Damaged("a quantisation table is missing"))?;
        let mut ordered = [0; 64];
        for (place, value) in ZIGZAG.into_iter().zip(table) {
            ordered[usize::from(place)] = value;
        }
        Ok(ordered)
    }

    /// Reads the blocks of a part into `sink`, of the components that `limits` has an entry for. A
    /// component's entry is the last coefficient that is wanted, in zigzag order; others may be given, too.
    ///
    /// # Errors
    /// The image is damaged, or coded in a way that cannot be read. Some blocks may have been read.
    pub fn read(self, part: Part, limits: &[usize], sink: &mut impl Sink) -> Result<(), Error> {
        if self.frame.progressive {
            progressive::read(self, part, limits, sink)
        } else {
            sequential::read(&self, part, limits, sink)
        }
    }
}

/// The last coefficient in zigzag order among those below `horizontal` and `vertical` frequencies, which
/// are 1 to 8.
pub fn last_below(horizontal: usize, vertical: usize) -> usize {
    let within = |&at: &usize| {
        let place = usize::from(ZIGZAG[at]);
        place / 8 < horizontal && place % 8 < vertical
    };
    (0..64).rev().find(within).unwrap_or(0)
}

/// Where in a block the coefficients belong, in the order in which they are coded; and a last place for
/// those that damaged files have beyond it.
const ZIGZAG: [u8; 80] = {
    let mut places = [63; 80];
    let (mut h, mut v, mut up) = (0_u8, 0_u8, true);
    let mut at = 0;
    while at < 64 {
        places[at] = 8 * h + v;
        (h, v, up) = match (up, h, v) {
            (true, 7, v) => (7, v + 1, false),
            (true, h, 0) => (h + 1, 0, false),
            (true, h, v) => (h + 1, v - 1, true),
            (false, h, 7) => (h + 1, 7, true),
            (false, 0, v) => (0, v + 1, true),
            (false, h, v) => (h - 1, v + 1, false),
        };
        at += 1;
    }
    places
};

#[cfg(test)]
mod tests;
