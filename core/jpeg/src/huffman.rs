//! Huffman codes of a JPEG file. A look-up finds a code, and the one after it with its number, where both
//! are short.

use std::cell::RefCell;
use std::rc::Rc;

use crate::Error;
use crate::bits::{Cursor, Ready, number};

/// Bits that are looked up at once.
const LOOK: u32 = 10;

/// Most bits of a code that is looked up, and of the number after it.
pub(crate) const LONGEST: u32 = LOOK + 15;

/// What a look-up gives: a symbol (run of zeros, size of the number after it), and the symbol after it with
/// its number, where they are among the bits that were looked up, too.
///
/// | bits | |
/// |---|---|
/// | 0..5 | length of all codes and numbers; 0 where the code is longer than what is looked up |
/// | 5..10 | length of the first code |
/// | 10..14 | size of its number in bits |
/// | 14..18 | zeros before it |
/// | 18 | 1 if it is a coefficient or the last of 16 zeros; 0 if it ends its block |
/// | 19..23 | after the end of a block, size of a number of blocks that end with it |
/// | 23..27 | zeros before the second number |
/// | 27 | 1 if it is a coefficient or the last of 16 zeros; 0 if it ends the block, or is not there |
/// | 28 | whether one of both ends the block |
/// | 32..48 | the second number, 0 where it is not there |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(u64);

impl Entry {
    /// Of a code with this many bits.
    fn new(code: u32, symbol: u8) -> Self {
        let (run, size) = (u64::from(symbol >> 4), u64::from(symbol & 15));
        let ends = size == 0 && run < 15;
        let rest = if ends { run << 19 | 1 << 28 } else { run << 14 | 1 << 18 };
        let code = u64::from(code);
        Self((code + size) | code << 5 | size << 10 | rest)
    }

    /// With the entry after it, that of these bits, if both lie within what is looked up.
    fn followed_by(self, next: Self, bits: usize) -> Self {
        let length = self.length() + next.length();
        if self.ends() || !next.is_known() || length > LOOK {
            return self;
        }
        // What `next` says of those after it does not count.
        let run_and_count = (next.run() as u64) << 23 | (next.count() as u64) << 27;
        let ends = (next.count() as u64 ^ 1) << 28;
        let number = number((bits as u64) << (64 - LOOK), next.code(), next.size());
        let second = run_and_count | ends | u64::from(number as u16) << 32;
        Self(self.0 & !31 | u64::from(length) | second)
    }

    /// Whether the code is not longer than what is looked up.
    #[inline(always)]
    pub fn is_known(self) -> bool {
        self.0 != 0
    }

    /// Bits of all codes and numbers.
    #[inline(always)]
    pub fn length_of_all(self) -> u32 {
        self.0 as u32 & 31
    }

    /// Bits of the first code and its number.
    #[inline(always)]
    pub fn length(self) -> u32 {
        self.code() + self.size()
    }

    /// Bits of the first code.
    #[inline(always)]
    pub fn code(self) -> u32 {
        self.0 as u32 >> 5 & 31
    }

    /// Bits of its number.
    #[inline(always)]
    pub fn size(self) -> u32 {
        self.0 as u32 >> 10 & 15
    }

    /// Zeros before it.
    #[inline(always)]
    pub fn run(self) -> usize {
        self.0 as usize >> 14 & 15
    }

    /// 1, or 0 if the first symbol ends its block.
    #[inline(always)]
    pub fn count(self) -> usize {
        self.0 as usize >> 18 & 1
    }

    /// Of a symbol that ends its block in a progressive file, the size of a number that follows: of blocks
    /// that end with it.
    #[inline(always)]
    pub fn size_of_ends(self) -> u32 {
        self.0 as u32 >> 19 & 15
    }

    /// The number of the second symbol, or 0.
    #[inline(always)]
    pub fn second(self) -> i16 {
        (self.0 >> 32) as i16
    }

    /// Zeros before it.
    #[inline(always)]
    pub fn second_run(self) -> usize {
        self.0 as usize >> 23 & 15
    }

    /// 1, or 0 if the second symbol is not there or ends its block.
    #[inline(always)]
    pub fn second_count(self) -> usize {
        self.0 as usize >> 27 & 1
    }

    /// Whether the block has no other coefficients.
    #[inline(always)]
    pub fn ends(self) -> bool {
        self.0 & 1 << 28 != 0
    }
}

/// One Huffman code.
#[derive(Clone)]
pub(crate) struct Table {
    look: Box<[Entry; 1 << LOOK]>,
    symbols: Vec<u8>,
    /// For each length of a code, the first value (of 16 bits) that belongs to longer codes.
    limit: [u32; 18],
    /// For each length, what leads from a code to the index of its symbol.
    offset: [i32; 18],
}

thread_local! {
    /// Tables of the files before, with what they were made of: most files of a data set have the same.
    static RECENT: RefCell<Vec<Recent>> = const { RefCell::new(Vec::new()) };
}

/// Most tables that are kept.
const RECENT_TABLES: usize = 8;

struct Recent {
    counts: [u8; 16],
    symbols: Vec<u8>,
    table: Rc<Table>,
}

impl Table {
    /// The table for these counts and symbols, as [`new`](Self::new) makes it.
    pub fn shared(counts: &[u8; 16], symbols: &[u8]) -> Result<Rc<Self>, Error> {
        RECENT.with_borrow_mut(|recent| {
            let is_same = |one: &Recent| one.counts == *counts && one.symbols == symbols;
            if let Some(at) = recent.iter().position(is_same) {
                return Ok(Rc::clone(&recent[at].table));
            }
            let table = Rc::new(Self::new(counts, symbols)?);
            if recent.len() == RECENT_TABLES {
                recent.remove(0);
            }
            let symbols = symbols.to_vec();
            recent.push(Recent { counts: *counts, symbols, table: Rc::clone(&table) });
            Ok(table)
        })
    }

    /// Of how many codes there are of each length from 1 to 16, and their symbols.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Error> {
        const WRONG: Error = Error::Damaged("a Huffman table is wrong");
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        let symbols = symbols.get(..total).filter(|all| !all.is_empty()).ok_or(WRONG)?;
        let mut look = Box::new([Entry(0); 1 << LOOK]);
        let (mut limit, mut offset) = ([0; 18], [0; 18]);
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, &count) in (1_u32..).zip(counts) {
            offset[length as usize] = index as i32 - code as i32;
            for _ in 0..count {
                if code >> length != 0 {
                    return Err(WRONG);
                }
                if length <= LOOK {
                    let free = LOOK - length;
                    let places = (code as usize) << free..((code + 1) as usize) << free;
                    look[places].fill(Entry::new(length, symbols[index]));
                }
                code += 1;
                index += 1;
            }
            limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        limit[17] = u32::MAX;
        for bits in 0..look.len() {
            // Zeros stand for the bits that are not known; none of them is counted.
            let after = bits << look[bits].length() & (look.len() - 1);
            look[bits] = look[bits].followed_by(look[after], after);
        }
        Ok(Self { look, symbols: symbols.to_vec(), limit, offset })
    }

    /// What the next bits hold; nothing is taken.
    #[inline(always)]
    pub fn look_up(&self, cursor: Cursor) -> Entry {
        self.look[cursor.peek(LOOK) as usize]
    }

    /// The next symbol, of 32 bits that are known; nothing is taken.
    #[inline(always)]
    pub fn entry(&self, cursor: Cursor) -> Result<Entry, Error> {
        let entry = self.look_up(cursor);
        if entry.is_known() { Ok(entry) } else { self.long(cursor.peek(16)) }
    }

    /// Takes a code, and gives its symbol; the number remains.
    #[inline(always)]
    pub fn next(&self, ready: &Ready, cursor: &mut Cursor) -> Result<Entry, Error> {
        cursor.fill(ready);
        let entry = self.entry(*cursor)?;
        cursor.skip(entry.code());
        Ok(entry)
    }

    /// The entry of a code that is longer than what is looked up, of the next 16 bits.
    #[cold]
    #[inline(never)]
    fn long(&self, next: u32) -> Result<Entry, Error> {
        let mut length = LOOK + 1;
        while next >= self.limit[length as usize] {
            length += 1;
        }
        let index = (next >> 16_u32.saturating_sub(length)) as i32 + self.offset[length as usize];
        let symbol = usize::try_from(index).ok().and_then(|index| self.symbols.get(index));
        match symbol {
            Some(&symbol) if length <= 16 => Ok(Entry::new(length, symbol)),
            _ => Err(Error::Damaged("its data has a code that is not in its Huffman table")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::Bits;

    /// The place at the beginning of these bytes.
    fn start(data: &[u8]) -> Cursor {
        let mut bits = Bits::new(data, 0);
        let (ready, mut cursor) = bits.block();
        cursor.fill(ready);
        cursor
    }

    /// Codes 0, 10, 110, ... as long as there are symbols, the last of 16 bits.
    fn ladder() -> Table {
        let symbols: Vec<u8> = (0..16).map(|n| n << 4 | (n % 11)).collect();
        Table::new(&[1; 16], &symbols).unwrap()
    }

    #[test]
    fn short_and_long_codes_give_their_symbols() {
        let table = ladder();
        for n in 0..16_u32 {
            let size = n % 11;
            // The code, then a number of `size` ones.
            let code = ((1_u64 << n) - 1) << 1;
            let value = (code << size | ((1 << size) - 1)) << (64 - n - 1 - size);
            let bytes = value.to_be_bytes();
            // 0xff is stuffed.
            let data: Vec<u8> =
                bytes.iter().flat_map(|&b| if b == 0xff { vec![b, 0] } else { vec![b] }).collect();
            let cursor = start(&data);
            let entry = table.entry(cursor).unwrap();
            assert_eq!((entry.size(), entry.code()), (size, n + 1));
            let run = if entry.count() == 0 { entry.size_of_ends() } else { entry.run() as u32 };
            assert_eq!((run, entry.count() == 0), (n, size == 0));
            assert_eq!(entry.length(), n + 1 + size);
            assert_eq!(cursor.number(entry.code(), size), (1 << size) - 1);
        }
    }

    #[test]
    #[allow(clippy::unusual_byte_groupings, reason = "groups are codes and numbers")]
    fn a_second_symbol_is_told_if_it_is_complete() {
        // 0: the end; 10: one coefficient of one bit; 110: a zero and a coefficient of two bits; 1110: 16
        // zeros; 11110: a coefficient of eight bits.
        let mut counts = [0; 16];
        counts[..5].fill(1);
        let table = Table::new(&counts, &[0x00, 0x01, 0x12, 0xf0, 0x08]).unwrap();
        let both = |bits: u32| {
            let cursor = start(&(bits << 16).to_be_bytes());
            let entry = table.look_up(cursor);
            let number = cursor.number(entry.code(), entry.size());
            let first = (entry.run(), entry.count(), number);
            let second = (entry.second_run(), entry.second_count(), i32::from(entry.second()));
            (entry.length(), entry.length_of_all(), first, second, entry.ends())
        };
        let none = (0, 0, 0);
        assert_eq!(both(0b0_10_1_0000_0000_0000), (1, 1, none, none, true));
        assert_eq!(both(0b10_0_0_1111_1111_0000), (3, 4, (0, 1, -1), none, true));
        assert_eq!(both(0b10_1_110_11_0_0000000), (3, 8, (0, 1, 1), (1, 1, 3), false));
        assert_eq!(both(0b1110_110_01_0_000000), (4, 9, (15, 1, 0), (1, 1, -2), false));
        assert_eq!(both(0b110_10_1110_0000000), (5, 9, (1, 1, 2), (15, 1, 0), false));
        // The second, or a number, does not lie within 10 bits.
        assert_eq!(both(0b10_1_11110_11111111), (3, 3, (0, 1, 1), none, false));
        assert_eq!(both(0b110_11_110_11_000000), (5, 10, (1, 1, 3), (1, 1, 3), false));
        assert_eq!(both(0b1110_110_1_1_1100000), (4, 9, (15, 1, 0), (1, 1, 3), false));
        assert_eq!(both(0b11110_11111111_000), (13, 13, (0, 1, 255), none, false));
    }

    #[test]
    fn tables_are_made_once() {
        let make = |symbol: u8| Table::shared(&[1; 16], &[symbol; 16]).unwrap();
        let first = make(1);
        assert!(Rc::ptr_eq(&first, &make(1)));
        assert!(!Rc::ptr_eq(&first, &make(2)));
        (3..20).for_each(|symbol| drop(make(symbol)));
        assert!(!Rc::ptr_eq(&first, &make(1)), "no more than a few are kept");
        assert!(Table::shared(&[3; 16], &[0; 48]).is_err());
    }

    #[test]
    fn codes_that_do_not_exist_are_refused() {
        assert!(ladder().entry(start(&[0xff, 0, 0xff, 0, 0xff, 0])).is_err());
        assert!(Table::new(&[3; 16], &[0; 48]).is_err(), "too many codes of one bit");
        assert!(Table::new(&[0; 16], &[]).is_err(), "no codes");
        assert!(Table::new(&[1; 16], &[0; 15]).is_err(), "too few symbols");
    }
}
