//! Files whose single scan has every block as a whole (baseline and extended sequential).

use crate::bits::{Bits, Cursor, Ready};
use crate::header::Tables;
use crate::huffman::{Entry, LONGEST, Table};
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
                let (ready, mut cursor) = bits.block();
                match place.limit {
                    Some(limit) if wanted => {
                        read_block(ready, &mut cursor, place, prediction, limit, &mut block)?;
                        bits.cursor = cursor;
                        let column = (column - part.left) * place.across + place.column;
                        let row = (row - part.top) * place.down + place.row;
                        sink.block(place.component, column, row, &block);
                        block.values = [0; 64];
                    }
                    _ => {
                        let difference = read_dc(ready, &mut cursor, place.dc)?;
                        *prediction = prediction.wrapping_add(difference);
                        skip_from(1, ready, &mut cursor, place.ac)?;
                        bits.cursor = cursor;
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
fn read_dc(ready: &Ready, cursor: &mut Cursor, table: &Table) -> Result<i32, Error> {
    cursor.fill(ready);
    let entry = table.entry(*cursor)?;
    let number = cursor.number(entry.code(), entry.size());
    cursor.skip(entry.length());
    Ok(number)
}

/// Reads a block, whose values are all 0 before.
#[inline(always)]
fn read_block(
    ready: &Ready,
    cursor: &mut Cursor,
    place: &Place<'_>,
    prediction: &mut i32,
    limit: usize,
    block: &mut Block,
) -> Result<(), Error> {
    *prediction = prediction.wrapping_add(read_dc(ready, cursor, place.dc)?);
    let outside = |_| Error::Damaged("a value is too large");
    block.values[0] = i16::try_from(*prediction).map_err(outside)?;
    block.last = 0;
    let mut at = 1;
    // Sizes are below 16, so that numbers have 16 bits; and runs lead at most to index 63 + 15.
    let mut put = |at: usize, number: i16| block.values[usize::from(ZIGZAG[at])] = number;
    let mut looks = 0;
    while at <= limit {
        let entry = look_up(ready, cursor, &mut looks, place.ac)?;
        at += entry.run();
        // The end of a block, and 16 zeros, put a 0 where one is.
        put(at, cursor.number(entry.code(), entry.size()) as i16);
        at += entry.count();
        if at > 63 {
            // What follows is no longer the block's.
            cursor.skip(entry.length());
            break;
        }
        at += entry.second_run();
        put(at, entry.second());
        at += entry.second_count();
        cursor.skip(entry.length_of_all());
        if entry.ends() {
            block.last = at - 1;
            return Ok(());
        }
    }
    block.last = at.min(64) - 1;
    skip_from(at, ready, cursor, place.ac)
}

/// Skips the rest of a block.
#[inline(always)]
fn skip_from(
    mut at: usize,
    ready: &Ready,
    cursor: &mut Cursor,
    table: &Table,
) -> Result<(), Error> {
    let mut looks = 0;
    while at < 64 {
        let entry = look_up(ready, cursor, &mut looks, table)?;
        at += entry.run() + entry.count();
        if at > 63 {
            cursor.skip(entry.length());
            break;
        }
        at += entry.second_run() + entry.second_count();
        cursor.skip(entry.length_of_all());
        if entry.ends() {
            return Ok(());
        }
    }
    if at == 64 { Ok(()) } else { Err(Error::Damaged("a block has too many values")) }
}

/// Looks up what comes next; nothing is taken. `looks` counts how often that is possible with the bits that
/// are known, of which there are 56 when more have been made known.
#[inline(always)]
fn look_up(
    ready: &Ready,
    cursor: &mut Cursor,
    looks: &mut u32,
    table: &Table,
) -> Result<Entry, Error> {
    if *looks == 0 {
        cursor.fill(ready);
        *looks = 56 / LONGEST;
    }
    *looks -= 1;
    let entry = table.look_up(*cursor);
    if entry.is_known() {
        return Ok(entry);
    }
    // Long codes may take all bits that are known for several.
    *looks = 0;
    cursor.fill(ready);
    table.entry(*cursor)
}
