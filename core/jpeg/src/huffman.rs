//! Huffman codes of a JPEG file, with one look-up for most of what a scan holds.

use crate::Error;
use crate::bits::{Bits, extend};

/// Bits that are looked up at once.
const LOOK: u32 = 10;

/// What a look-up gives: a symbol (run of zeros, size of the number after it), and the number, where
/// its bits are among those that were looked up.
///
/// | bits | |
/// |---|---|
/// | 0..6 | length of code and number |
/// | 6..12 | length of the code; 0 where it is longer than what is looked up |
/// | 12..16 | size of the number in bits |
/// | 16..20 | zeros before it |
/// | 20 | whether the number is there |
/// | 21..32 | the number, signed |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(u32);

impl Entry {
    fn new(code: u32, symbol: u8, number: Option<i32>) -> Self {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let there = number.map_or(0, |number| 1 << 20 | (number << 21) as u32);
        Self((code + size) | code << 6 | size << 12 | run << 16 | there)
    }

    #[inline(always)]
    pub fn is_known(self) -> bool {
        self.0 != 0
    }

    /// Bits of code and number.
    #[inline(always)]
    pub fn length(self) -> u32 {
        self.0 & 63
    }

    /// Bits of the code.
    #[inline(always)]
    pub fn code(self) -> u32 {
        self.0 >> 6 & 63
    }

    /// Bits of the number.
    #[inline(always)]
    pub fn size(self) -> u32 {
        self.0 >> 12 & 15
    }

    /// Zeros before the number.
    #[inline(always)]
    pub fn run(self) -> u32 {
        self.0 >> 16 & 15
    }

    /// The number, where it is part of the entry.
    #[inline(always)]
    pub fn number(self) -> Option<i32> {
        (self.0 & 1 << 20 != 0).then_some(self.0 as i32 >> 21)
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

impl Table {
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
                    enter(&mut look, code, length, symbols[index]);
                }
                code += 1;
                index += 1;
            }
            limit[length as usize] = code << (16 - length);
            code <<= 1;
        }
        limit[17] = u32::MAX;
        Ok(Self { look, symbols: symbols.to_vec(), limit, offset })
    }

    /// The entry for the next bits, of which 32 are known; nothing is taken.
    #[inline(always)]
    pub fn entry(&self, bits: &Bits<'_>) -> Result<Entry, Error> {
        let entry = self.look[bits.peek(LOOK) as usize];
        if entry.is_known() { Ok(entry) } else { self.long(bits) }
    }

    #[cold]
    #[inline(never)]
    fn long(&self, bits: &Bits<'_>) -> Result<Entry, Error> {
        let next = bits.peek(16);
        let mut length = LOOK + 1;
        while next >= self.limit[length as usize] {
            length += 1;
        }
        let index = (next >> 16_u32.saturating_sub(length)) as i32 + self.offset[length as usize];
        let symbol = usize::try_from(index).ok().and_then(|index| self.symbols.get(index));
        match symbol {
            Some(&symbol) if length <= 16 => Ok(Entry::new(length, symbol, None)),
            _ => Err(Error::Damaged("its data has a code that is not in its Huffman table")),
        }
    }

    /// Takes a code, and gives its symbol as an entry; the number remains.
    #[inline(always)]
    pub fn symbol(&self, bits: &mut Bits<'_>) -> Result<Entry, Error> {
        bits.fill();
        let entry = self.entry(bits)?;
        bits.skip(entry.code());
        Ok(entry)
    }
}

/// Enters a code at all places that begin with it.
fn enter(look: &mut [Entry; 1 << LOOK], code: u32, length: u32, symbol: u8) {
    let size = u32::from(symbol & 15);
    let free = LOOK - length;
    for rest in 0..1_u32 << free {
        let number = (size <= free).then(|| extend(rest >> (free - size), size));
        look[(code << free | rest) as usize] = Entry::new(length, symbol, number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes 0, 10, 110, ... as long as there are symbols, the last of 16 bits.
    fn ladder() -> Table {
        let symbols: Vec<u8> = (0..16).map(|n| n << 4 | (n % 11)).collect();
        Table::new(&[1; 16], &symbols).unwrap()
    }

    #[test]
    fn short_and_long_codes_give_their_symbols_and_numbers() {
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
            let mut bits = Bits::new(&data, 0);
            bits.fill();
            let entry = table.entry(&bits).unwrap();
            assert_eq!((entry.run(), entry.size(), entry.code()), (n, size, n + 1));
            assert_eq!(entry.length(), n + 1 + size);
            let expected = (1 << size) - 1;
            assert_eq!(entry.number().is_some(), n + 1 + size <= LOOK);
            assert_eq!(entry.number().unwrap_or(expected), expected);
            bits.skip(entry.code());
            assert_eq!(bits.number(size), expected);
        }
    }

    #[test]
    fn codes_that_do_not_exist_are_refused() {
        let mut bits = Bits::new(&[0xff, 0, 0xff, 0, 0xff, 0], 0);
        bits.fill();
        assert!(ladder().entry(&bits).is_err());
        assert!(Table::new(&[3; 16], &[0; 48]).is_err(), "too many codes of one bit");
        assert!(Table::new(&[0; 16], &[]).is_err(), "no codes");
        assert!(Table::new(&[1; 16], &[0; 15]).is_err(), "too few symbols");
    }
}
