//! Files whose single scan has every block as a whole (baseline and extended sequential).

use crate::bits::Bits;
use crate::header::Tables;
use crate::huffman::Table;
use crate::{Block, Error, Jpeg, Part, Sink, ZIGZAG};

/// One block of a unit.
struct Place<'t> {
    component: usize,
    /// Columns and rows of the component's blocks in a unit, and which of them this is.
    across: u32,
    down: u32,
    column: u32,
    row: u32,
    dc: &'t Table,
    ac: &'t Table,
    /// The last coefficient that is wanted; none of components that are not.
    limit: Option<usize>,
}

pub(crate) fn read(
    jpeg: &Jpeg<'_>,
    part: Part,
    limits: &[usize],
    sink: &mut impl Sink,
) -> Result<(), Error> {
    let tables = &jpeg.reader.tables;
    let places = places(jpeg, tables, limits)?;
    let (units, _) = jpeg.frame.units();
    let mut bits = Bits::new(jpeg.bytes, jpeg.scan.data);
    let mut predictions = [0_i32; 3];
    let mut block = Block { values: [0; 64], last: 0 };
    let mut until_restart = tables.restart;
    let mut restarts = 0_u8;
    for row in 0..part.top + part.height {
        for column in 0..units {
            if tables.restart > 0 {
                if until_restart == 0 {
                    bits.restart(restarts % 8)?;
                    restarts = restarts.wrapping_add(1);
                    predictions = [0; 3];
                    until_restart = tables.restart;
                }
                until_restart -= 1;
            }
            let wanted = row >= part.top && column >= part.left && column - part.left < part.width;
            for place in &places {
                let prediction = &mut predictions[place.component];
                match place.limit {
                    Some(limit) if wanted => {
                        read_block(&mut bits, place, prediction, limit, &mut block)?;
                        let column = (column - part.left) * place.across + place.column;
                        let row = (row - part.top) * place.down + place.row;
                        sink.block(place.component, column, row, &block);
                        block.values = [0; 64];
                    }
                    _ => {
                        *prediction = prediction.wrapping_add(read_dc(&mut bits, place.dc)?);
                        skip_from(1, &mut bits, place.ac)?;
                    }
                }
            }
        }
        bits.check()?;
    }
    Ok(())
}

fn places<'t>(
    jpeg: &Jpeg<'_>,
    tables: &'t Tables,
    limits: &[usize],
) -> Result<Vec<Place<'t>>, Error> {
    let components = &jpeg.frame.components;
    if jpeg.scan.parts.len() != components.len() {
        return Err(Error::Unsupported("components that are not interleaved"));
    }
    let mut places = Vec::new();
    for &(component, dc, ac) in &jpeg.scan.parts {
        let missing = Error::Damaged("a Huffman table is missing");
        let dc = tables.dc[dc].as_deref().ok_or(missing)?;
        let ac = tables.ac[ac].as_deref().ok_or(missing)?;
        let (across, down) = (components[component].across, components[component].down);
        let limit = limits.get(component).copied();
        for row in 0..down {
            for column in 0..across {
                places.push(Place { component, across, down, column, row, dc, ac, limit });
            }
        }
    }
    Ok(places)
}

/// Reads how much a block's mean differs from that of the block before.
#[inline(always)]
fn read_dc(bits: &mut Bits<'_>, table: &Table) -> Result<i32, Error> {
    bits.fill();
    let entry = table.entry(bits)?;
    if let Some(number) = entry.number() {
        bits.skip(entry.length());
        return Ok(number);
    }
    bits.skip(entry.code());
    Ok(bits.number(entry.size()))
}

/// Reads a block, whose values are all 0 before.
#[inline(always)]
fn read_block(
    bits: &mut Bits<'_>,
    place: &Place<'_>,
    prediction: &mut i32,
    limit: usize,
    block: &mut Block,
) -> Result<(), Error> {
    *prediction = prediction.wrapping_add(read_dc(bits, place.dc)?);
    let outside = |_| Error::Damaged("a value is too large");
    block.values[0] = i16::try_from(*prediction).map_err(outside)?;
    block.last = 0;
    let mut at = 1;
    while at <= limit {
        bits.fill();
        let entry = place.ac.entry(bits)?;
        let number = match entry.number() {
            Some(number) => {
                bits.skip(entry.length());
                number
            }
            None => {
                bits.skip(entry.code());
                bits.number(entry.size())
            }
        };
        at += entry.run() as usize;
        if entry.size() == 0 {
            if entry.run() < 15 {
                return Ok(());
            }
            at += 1;
            continue;
        }
        // Sizes are below 16, so that numbers have 16 bits; and runs lead at most to index 63 + 15.
        block.values[usize::from(ZIGZAG[at])] = number as i16;
        block.last = at;
        at += 1;
    }
    skip_from(at, bits, place.ac)
}

/// Skips the rest of a block.
#[inline(always)]
fn skip_from(mut at: usize, bits: &mut Bits<'_>, table: &Table) -> Result<(), Error> {
    while at < 64 {
        bits.fill();
        let entry = table.entry(bits)?;
        bits.skip(entry.length());
        if entry.size() == 0 && entry.run() < 15 {
            return Ok(());
        }
        at += entry.run() as usize + 1;
    }
    if at == 64 { Ok(()) } else { Err(Error::Damaged("a block has too many values")) }
}
