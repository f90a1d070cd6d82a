//! Files whose scans make all blocks better step by step (ITU-T T.81, annex G).

use crate::bits::{Bits, Cursor, Ready};
use crate::header::{Scan, Tables};
use crate::huffman::Table;
use crate::{Block, Error, Frame, Jpeg, Part, Sink, ZIGZAG};

/// Most scans of an image. Real files have about ten; a hostile one takes minutes.
const MAX_SCANS: usize = 100;

/// All coefficients of a component.
struct Plane {
    values: Vec<[i16; 64]>,
    /// Blocks of a row, filling up the last unit.
    stride: usize,
    /// Columns and rows of blocks with pixels in them.
    columns: usize,
    rows: usize,
}

pub(crate) fn read(
    jpeg: Jpeg<'_>,
    part: Part,
    limits: &[usize],
    sink: &mut impl Sink,
) -> Result<(), Error> {
    let Jpeg { bytes, mut reader, frame, scan } = jpeg;
    let mut planes = planes(&frame)?;
    let mut next = Some(scan);
    for _ in 0..MAX_SCANS {
        let Some(scan) = next else {
            emit(&planes, &frame, part, limits, sink);
            return Ok(());
        };
        let mut bits = Bits::new(bytes, scan.data);
        let mut decoder = Decoder { tables: &reader.tables, scan: &scan, bits: &mut bits, rest: 0 };
        decoder.scan(&frame, &mut planes)?;
        reader.seek(bits.end()?);
        next = reader.scan()?;
    }
    Err(Error::Unsupported("more than 100 scans"))
}

fn planes(frame: &Frame) -> Result<Vec<Plane>, Error> {
    let (across, down) = frame.units();
    let plane = |index: usize| {
        let component = frame.components[index];
        let (width, height) = frame.size_of(index);
        let stride = (across * component.across) as usize;
        let count = stride * (down * component.down) as usize;
        let mut values = Vec::new();
        let no_memory = |_| Error::Unsupported("so large an image in this memory");
        values.try_reserve_exact(count).map_err(no_memory)?;
        values.resize(count, [0; 64]);
        let (columns, rows) = (width.div_ceil(8) as usize, height.div_ceil(8) as usize);
        Ok(Plane { values, stride, columns, rows })
    };
    (0..frame.components.len()).map(plane).collect()
}

fn emit(planes: &[Plane], frame: &Frame, part: Part, limits: &[usize], sink: &mut impl Sink) {
    for (index, plane) in planes.iter().enumerate().take(limits.len()) {
        let component = frame.components[index];
        let (left, top) = (part.left * component.across, part.top * component.down);
        for row in 0..part.height * component.down {
            for column in 0..part.width * component.across {
                let at = (top + row) as usize * plane.stride + (left + column) as usize;
                let values = plane.values[at];
                let last = if values[1..].iter().all(|&value| value == 0) { 0 } else { 63 };
                sink.block(index, column, row, &Block { values, last });
            }
        }
    }
}

/// Reads one scan.
struct Decoder<'s, 'b> {
    tables: &'s Tables,
    scan: &'s Scan,
    bits: &'s mut Bits<'b>,
    /// Blocks that follow without coefficients of their own.
    rest: u32,
}

impl Decoder<'_, '_> {
    fn scan(&mut self, frame: &Frame, planes: &mut [Plane]) -> Result<(), Error> {
        let Scan { parts, spectrum, precision, .. } = self.scan;
        let ((first, last), (before, now)) = (*spectrum, *precision);
        let fits = if first == 0 { last == 0 } else { parts.len() == 1 && first <= last };
        if !fits || last > 63 || now > 13 || (before != 0 && before != now + 1) {
            return Err(Error::Damaged("a scan has settings that do not go together"));
        }
        let mut count = Count { restart: self.tables.restart, units: 0 };
        let mut predictions = [0_i32; 3];
        if let &[(component, dc, ac)] = &parts[..] {
            let plane = &mut planes[component];
            for row in 0..plane.rows {
                for column in 0..plane.columns {
                    self.unit(&mut count, &mut predictions)?;
                    let block = &mut plane.values[row * plane.stride + column];
                    if first == 0 {
                        self.dc(dc, &mut predictions[component], block)?;
                    } else {
                        self.ac(ac, block)?;
                    }
                }
                self.bits.check()?;
            }
            return Ok(());
        }
        let (across, down) = frame.units();
        for unit_row in 0..down {
            for unit in 0..across {
                self.unit(&mut count, &mut predictions)?;
                for &(component, dc, _) in parts {
                    let sampling = frame.components[component];
                    let plane = &mut planes[component];
                    for row in 0..sampling.down {
                        for column in 0..sampling.across {
                            let row = (unit_row * sampling.down + row) as usize;
                            let column = (unit * sampling.across + column) as usize;
                            let block = &mut plane.values[row * plane.stride + column];
                            self.dc(dc, &mut predictions[component], block)?;
                        }
                    }
                }
            }
            self.bits.check()?;
        }
        Ok(())
    }

    /// Goes behind a restart marker where one is due before a unit.
    fn unit(&mut self, count: &mut Count, predictions: &mut [i32; 3]) -> Result<(), Error> {
        if let Some(marker) = count.next() {
            self.bits.restart(marker)?;
            *predictions = [0; 3];
            self.rest = 0;
        }
        Ok(())
    }

    fn dc(
        &mut self,
        table: usize,
        prediction: &mut i32,
        block: &mut [i16; 64],
    ) -> Result<(), Error> {
        let (before, now) = self.scan.precision;
        let (ready, mut cursor) = self.bits.block();
        if before != 0 {
            block[0] |= i16::from(cursor.bit(ready)) << now;
        } else {
            let table = self.tables.dc[table].as_deref().ok_or(MISSING)?;
            let entry = table.next(ready, &mut cursor)?;
            *prediction = prediction.wrapping_add(cursor.number(0, entry.size()));
            cursor.skip(entry.size());
            block[0] = shifted(*prediction, now)?;
        }
        self.bits.cursor = cursor;
        Ok(())
    }

    fn ac(&mut self, table: usize, block: &mut [i16; 64]) -> Result<(), Error> {
        // The table is not needed where the whole scan has no coefficients, but always there.
        let table = self.tables.ac[table].as_deref().ok_or(MISSING)?;
        if self.scan.precision.0 == 0 {
            self.ac_first(table, block)
        } else {
            self.refine(table, block)
        }
    }

    fn ac_first(&mut self, table: &Table, block: &mut [i16; 64]) -> Result<(), Error> {
        if self.rest > 0 {
            self.rest -= 1;
            return Ok(());
        }
        let (mut at, last) = self.scan.spectrum;
        let (ready, mut cursor) = self.bits.block();
        while at <= last {
            let entry = table.next(ready, &mut cursor)?;
            if entry.count() == 0 {
                self.rest = blocks(&mut cursor, entry.size_of_ends()) - 1;
                self.bits.cursor = cursor;
                return Ok(());
            }
            if entry.size() == 0 {
                at += 16;
                continue;
            }
            at += entry.run();
            let number = cursor.number(0, entry.size());
            cursor.skip(entry.size());
            if at > last {
                break;
            }
            block[usize::from(ZIGZAG[at])] = shifted(number, self.scan.precision.1)?;
            at += 1;
        }
        self.bits.cursor = cursor;
        // Exactly one after the last, unless a run went too far.
        if at == last + 1 { Ok(()) } else { Err(TOO_MANY) }
    }

    /// One more bit for each coefficient that is known, and those that come new.
    fn refine(&mut self, table: &Table, block: &mut [i16; 64]) -> Result<(), Error> {
        let (mut at, last) = self.scan.spectrum;
        let bit = 1_i16 << self.scan.precision.1;
        let (ready, mut cursor) = self.bits.block();
        while self.rest == 0 && at <= last {
            let entry = table.next(ready, &mut cursor)?;
            let (mut zeros, size) = (entry.run(), entry.size());
            let mut new = 0;
            match size {
                0 if entry.count() == 0 => {
                    self.rest = blocks(&mut cursor, entry.size_of_ends());
                    break;
                }
                0 => {}
                1 => new = if cursor.bit(ready) { bit } else { -bit },
                _ => return Err(Error::Damaged("a coefficient grows by more than a bit")),
            }
            // Past the coefficients that are known, and as many zeros as the run has.
            loop {
                if at > last {
                    return Err(TOO_MANY);
                }
                let value = &mut block[usize::from(ZIGZAG[at])];
                at += 1;
                if *value != 0 {
                    correct(ready, &mut cursor, value, bit);
                } else if zeros == 0 {
                    *value = new;
                    break;
                } else {
                    zeros -= 1;
                }
            }
        }
        if self.rest > 0 {
            for at in at..=last {
                let value = &mut block[usize::from(ZIGZAG[at])];
                if *value != 0 {
                    correct(ready, &mut cursor, value, bit);
                }
            }
            self.rest -= 1;
        }
        self.bits.cursor = cursor;
        Ok(())
    }
}

/// How many blocks have no more coefficients, this one included.
fn blocks(cursor: &mut Cursor, size: u32) -> u32 {
    // A code may leave as few as 16 known bits.
    (1 << size) + cursor.take(size)
}

/// One more bit of a coefficient that is known.
fn correct(ready: &Ready, cursor: &mut Cursor, value: &mut i16, bit: i16) {
    if cursor.bit(ready) && *value & bit == 0 {
        *value = value.saturating_add(if *value > 0 { bit } else { -bit });
    }
}

/// Counts units for restart markers.
struct Count {
    restart: u32,
    units: u32,
}

impl Count {
    /// Counts a unit, and gives the number of the marker before it, if there is one.
    fn next(&mut self) -> Option<u8> {
        let due = self.restart > 0 && self.units > 0 && self.units.is_multiple_of(self.restart);
        let marker = due.then(|| ((self.units / self.restart - 1) % 8) as u8);
        self.units += 1;
        marker
    }
}

const MISSING: Error = Error::Damaged("a Huffman table is missing");
const TOO_MANY: Error = Error::Damaged("a block has too many values");

fn shifted(value: i32, by: u32) -> Result<i16, Error> {
    // `by` is at most 13.
    let value = i64::from(value) << by;
    i16::try_from(value).map_err(|_| Error::Damaged("a value is too large"))
}
