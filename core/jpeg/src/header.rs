//! What a JPEG file says before its first scan, and between scans.

use std::rc::Rc;

use crate::Error;
use crate::huffman::Table;

/// One component of an image: brightness or one of two colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    pub(crate) id: u8,
    /// Blocks of it side by side in a unit (MCU): 1 or 2.
    pub across: u32,
    /// Blocks of it one below the other in a unit (MCU): 1 or 2.
    pub down: u32,
    pub(crate) quantisation: usize,
}

/// The image of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// One for grey images; brightness (Y), Cb and Cr of others.
    pub components: Vec<Component>,
    pub(crate) progressive: bool,
}

impl Frame {
    /// Width and height in pixels of the units (MCU) that are coded together.
    pub fn unit(&self) -> (u32, u32) {
        (8 * self.components[0].across, 8 * self.components[0].down)
    }

    /// Units in a row, and rows of units.
    pub fn units(&self) -> (u32, u32) {
        let (width, height) = self.unit();
        (self.width.div_ceil(width), self.height.div_ceil(height))
    }

    /// Width and height in pixels of a component without its filling at the right and the bottom.
    pub fn size_of(&self, component: usize) -> (u32, u32) {
        let (own, first) = (self.components[component], self.components[0]);
        (
            self.width.div_ceil(first.across / own.across),
            self.height.div_ceil(first.down / own.down),
        )
    }
}

/// Tables as they are at some place of a file.
#[derive(Clone, Default)]
pub(crate) struct Tables {
    pub quantisation: [Option<[u16; 64]>; 4],
    pub dc: [Option<Rc<Table>>; 4],
    pub ac: [Option<Rc<Table>>; 4],
    /// Units between restart markers, or 0.
    pub restart: u32,
}

/// What a scan holds.
pub(crate) struct Scan {
    /// Which components, by index, with their tables for DC and AC.
    pub parts: Vec<(usize, usize, usize)>,
    /// First and last coefficient, in zigzag order.
    pub spectrum: (usize, usize),
    /// Bits that earlier scans and this one leave out.
    pub precision: (u32, u32),
    /// Where its data begins.
    pub data: usize,
}

/// Reads segments one after the other.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    pub tables: Tables,
    pub frame: Option<Frame>,
    /// What Adobe's segment says of the colours.
    adobe: Option<u8>,
    jfif: bool,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Result<Self, Error> {
        if !bytes.starts_with(&[0xff, 0xd8]) {
            return Err(Error::Damaged("it does not begin as JPEG files do"));
        }
        Ok(Self { bytes, at: 2, tables: Tables::default(), frame: None, adobe: None, jfif: false })
    }

    /// Goes on after a scan's data.
    pub fn seek(&mut self, at: usize) {
        self.at = at;
    }

    /// Reads up to the next scan, or the end of the image.
    pub fn scan(&mut self) -> Result<Option<Scan>, Error> {
        loop {
            let kind = self.marker()?;
            if kind == 0xd9 {
                return Ok(None);
            }
            let segment = self.segment()?;
            match kind {
                0xc0..=0xc2 => self.read_frame(kind == 0xc2, segment)?,
                0xc4 => self.huffman(segment)?,
                0xda => return self.read_scan(segment).map(Some),
                0xdb => self.quantisation(segment)?,
                0xdd => {
                    let &[high, low] = segment else { return Err(SHORT) };
                    self.tables.restart = u32::from(u16::from_be_bytes([high, low]));
                }
                0xe0 => self.jfif |= segment.starts_with(b"JFIF\0"),
                0xee if segment.starts_with(b"Adobe") => self.adobe = segment.get(11).copied(),
                // Other kinds of compression, and a height that comes after the image.
                0xc3..=0xcf | 0xdc => return Err(Error::Unsupported("its kind of compression")),
                0xe1..=0xff => {}
                _ => return Err(Error::Damaged("it has a marker where none belongs")),
            }
        }
    }

    fn marker(&mut self) -> Result<u8, Error> {
        if self.bytes.get(self.at) != Some(&0xff) {
            return Err(Error::Damaged("a marker is missing"));
        }
        while self.bytes.get(self.at) == Some(&0xff) {
            self.at += 1;
        }
        let kind = *self.bytes.get(self.at).ok_or(SHORT)?;
        self.at += 1;
        Ok(kind)
    }

    /// The content of the segment that begins here, and goes behind it.
    fn segment(&mut self) -> Result<&'a [u8], Error> {
        let bytes = self.bytes;
        let length = bytes.get(self.at..self.at + 2).ok_or(SHORT)?;
        let end = self.at + usize::from(u16::from_be_bytes([length[0], length[1]]));
        let segment = bytes.get(self.at + 2..end).ok_or(SHORT)?;
        self.at = end;
        Ok(segment)
    }

    fn read_frame(&mut self, progressive: bool, segment: &[u8]) -> Result<(), Error> {
        if self.frame.is_some() {
            return Err(Error::Damaged("it has two images"));
        }
        let (&[bits, h1, h0, w1, w0, count], rest) =
            segment.split_first_chunk::<6>().ok_or(SHORT)?;
        if bits != 8 {
            return Err(Error::Unsupported("its bits per value"));
        }
        let (rest, excess) = rest.as_chunks::<3>();
        if rest.len() != usize::from(count) || !excess.is_empty() {
            return Err(SHORT);
        }
        let mut components: Vec<_> = rest
            .iter()
            .map(|&[id, sampling, table]| Component {
                id,
                across: u32::from(sampling >> 4),
                down: u32::from(sampling & 15),
                quantisation: usize::from(table),
            })
            .collect();
        match &mut components[..] {
            // Blocks of a single component are not interleaved, whatever is said of them.
            [grey] => (grey.across, grey.down) = (1, 1),
            [first, others @ ..] if others.len() == 2 => {
                let usual = |sampling| (1..=2).contains(&sampling);
                let same = others.iter().all(|other| (other.across, other.down) == (1, 1));
                if !usual(first.across) || !usual(first.down) || !same {
                    return Err(Error::Unsupported("its chroma subsampling"));
                }
            }
            _ => return Err(Error::Unsupported("its number of components")),
        }
        if components.iter().any(|component| component.quantisation > 3) {
            return Err(Error::Damaged("a quantisation table has a number above 3"));
        }
        let (width, height) = (u16::from_be_bytes([w1, w0]), u16::from_be_bytes([h1, h0]));
        if width == 0 || height == 0 {
            return Err(Error::Unsupported("its size, which is not in its header"));
        }
        let (width, height) = (u32::from(width), u32::from(height));
        self.frame = Some(Frame { width, height, components, progressive });
        Ok(())
    }

    /// Refuses colours other than Y, Cb and Cr, by libjpeg's rules.
    pub fn check_colours(&self, frame: &Frame) -> Result<(), Error> {
        let [a, b, c] = &frame.components[..] else { return Ok(()) };
        let is_ycc = match (self.jfif, self.adobe) {
            (true, _) => true,
            (false, Some(transform)) => transform != 0,
            (false, None) => [a.id, b.id, c.id] != *b"RGB",
        };
        if is_ycc {
            Ok(())
        } else {
            Err(Error::Unsupported("its colours, which are not Y, Cb and Cr"))
        }
    }

    fn quantisation(&mut self, mut segment: &[u8]) -> Result<(), Error> {
        while let Some((&kind, rest)) = segment.split_first() {
            let wide = kind >> 4 != 0;
            let slot = self.tables.quantisation.get_mut(usize::from(kind & 15)).ok_or(SHORT)?;
            let (values, rest) = rest.split_at_checked(if wide { 128 } else { 64 }).ok_or(SHORT)?;
            let mut table = [0; 64];
            for (at, value) in table.iter_mut().enumerate() {
                *value = match wide {
                    true => u16::from_be_bytes([values[2 * at], values[2 * at + 1]]),
                    false => u16::from(values[at]),
                };
            }
            *slot = Some(table);
            segment = rest;
        }
        Ok(())
    }

    fn huffman(&mut self, mut segment: &[u8]) -> Result<(), Error> {
        while let Some((&kind, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or(SHORT)?;
            let tables = match kind >> 4 {
                0 => &mut self.tables.dc,
                1 => &mut self.tables.ac,
                _ => return Err(SHORT),
            };
            let slot = tables.get_mut(usize::from(kind & 15)).ok_or(SHORT)?;
            *slot = Some(Table::shared(counts, symbols)?);
            segment = rest;
        }
        Ok(())
    }

    fn read_scan(&self, segment: &[u8]) -> Result<Scan, Error> {
        let frame = self.frame.as_ref().ok_or(Error::Damaged("its header is missing"))?;
        let (&count, rest) = segment.split_first().ok_or(SHORT)?;
        let (parts, &[first, last, precision]) =
            rest.split_at_checked(2 * usize::from(count)).ok_or(SHORT)?
        else {
            return Err(SHORT);
        };
        let mut found = Vec::new();
        for &[id, tables] in parts.as_chunks::<2>().0 {
            let component = frame.components.iter().position(|component| component.id == id);
            let component = component.ok_or(Error::Damaged("a scan names no component"))?;
            if found.iter().any(|&(other, _, _)| other >= component) {
                return Err(Error::Unsupported("the order of its components"));
            }
            found.push((component, usize::from(tables >> 4 & 3), usize::from(tables & 3)));
        }
        if found.is_empty() {
            return Err(SHORT);
        }
        let spectrum = (usize::from(first), usize::from(last));
        let precision = (u32::from(precision >> 4), u32::from(precision & 15));
        Ok(Scan { parts: found, spectrum, precision, data: self.at })
    }
}

const SHORT: Error = Error::Damaged("a segment of its header is cut short");
