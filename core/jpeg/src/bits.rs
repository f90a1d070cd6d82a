//! The bits of a scan, 64 at a time.

use crate::Error;

/// Bytes of a scan that are made ready at once.
const READY: usize = 4096;

/// A scan's next bytes, without the zeros that follow each 0xff.
pub(crate) type Ready = [u8; READY];

/// Bytes that are ready at least where a block begins. One block has 64 codes with numbers of at most 31 bits
/// together, or, where it is refined, one code and one bit more for each coefficient; 8 bytes are read at
/// once.
const AHEAD: usize = 64 * 31 / 8 + 8;

/// Reads bits from the most significant on, until a marker.
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    /// The next byte of the file that is to be made ready.
    from: usize,
    ready: Ready,
    /// How many they are. Where the scan has ended, zeros follow.
    filled: usize,
    has_ended: bool,
    /// Whether bits were read that the file does not have.
    is_overdrawn: bool,
    pub cursor: Cursor,
}

/// A place among the bytes that are ready.
#[derive(Clone, Copy)]
pub(crate) struct Cursor {
    at: usize,
    /// The next bit is the highest. What follows the `count` known bits are zeros, or bits that will be
    /// read again, the same.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    /// Starts at a byte of the file.
    pub fn new(data: &'a [u8], at: usize) -> Self {
        Self {
            data,
            from: at,
            ready: [0; READY],
            // The first block has more made ready.
            filled: 0,
            has_ended: false,
            is_overdrawn: false,
            cursor: Cursor { at: 0, buffer: 0, count: 0 },
        }
    }

    /// Makes bytes ready for a whole block, and gives them with the place that reading has come to. Where
    /// it comes to with that block, `cursor` must be set to.
    #[inline(always)]
    pub fn block(&mut self) -> (&Ready, Cursor) {
        let end = if self.has_ended { READY } else { self.filled };
        if self.cursor.at + AHEAD > end {
            self.advance();
        }
        (&self.ready, self.cursor)
    }

    /// Forgets the bytes that have been read, and makes others ready.
    #[cold]
    #[inline(never)]
    fn advance(&mut self) {
        self.is_overdrawn |= self.has_ended && self.left() < 0;
        let at = self.cursor.at.min(self.filled);
        self.ready.copy_within(at..self.filled, 0);
        self.filled -= at;
        self.cursor.at -= at;
        while self.filled < READY && !self.has_ended {
            self.copy();
        }
        if self.has_ended {
            self.ready[self.filled..].fill(0);
        }
    }

    /// Copies bytes up to a 0xff, and that one if it belongs to the scan.
    fn copy(&mut self) {
        let rest = self.data.get(self.from..).unwrap_or_default();
        let room = &mut self.ready[self.filled..];
        let rest = &rest[..rest.len().min(room.len())];
        let length = memchr::memchr(0xff, rest).unwrap_or(rest.len());
        room[..length].copy_from_slice(&rest[..length]);
        self.from += length;
        self.filled += length;
        if length == room.len() {
            return;
        }
        if self.data.get(self.from..self.from + 2) == Some(&[0xff, 0]) {
            self.ready[self.filled] = 0xff;
            self.from += 2;
            self.filled += 1;
        } else {
            // A marker, or no more bytes.
            self.has_ended = true;
        }
    }

    /// Bits of what is ready that have not been taken; below 0 where more were taken.
    fn left(&self) -> isize {
        8 * (self.filled as isize - self.cursor.at as isize) + self.cursor.count as isize
    }

    /// Refuses a scan that has used more bits than there are.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_overdrawn || (self.has_ended && self.left() < 0) {
            return Err(Error::Damaged("its data ends before its image does"));
        }
        Ok(())
    }

    /// Goes behind the restart marker that is due here.
    pub fn restart(&mut self, number: u8) -> Result<(), Error> {
        let at = self.end()?;
        if self.data.get(at..at + 2) != Some(&[0xff, 0xd0 + number]) {
            return Err(Error::Damaged("a restart marker is missing"));
        }
        *self = Self::new(self.data, at + 2);
        Ok(())
    }

    /// Where the marker after the scan is.
    pub fn end(&mut self) -> Result<usize, Error> {
        self.advance();
        self.check()?;
        // Whole bytes that are left are no part of the scan.
        if !self.has_ended || self.left() >= 8 {
            return Err(Error::Damaged("there is data that belongs to no block"));
        }
        let mut at = self.from;
        while self.data.get(at + 1) == Some(&0xff) {
            at += 1; // a fill byte
        }
        Ok(at)
    }
}

impl Cursor {
    /// Makes at least 56 bits known.
    #[inline(always)]
    pub fn fill(&mut self, ready: &Ready) {
        // Always there, as a block does not go so far.
        let bytes = ready.get(self.at..).and_then(|rest| rest.first_chunk::<8>());
        let word = u64::from_be_bytes(bytes.copied().unwrap_or_default());
        self.buffer |= word >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// The next `length` bits, at least 1 and at most 16, of those that are known.
    #[inline(always)]
    pub fn peek(&self, length: u32) -> u32 {
        (self.buffer >> (64 - length)) as u32
    }

    /// Goes on by `length` known bits.
    #[inline(always)]
    pub fn skip(&mut self, length: u32) {
        self.buffer <<= length;
        self.count = self.count.wrapping_sub(length);
    }

    /// Takes `length` known bits, from 0 to 16.
    #[inline(always)]
    pub fn take(&mut self, length: u32) -> u32 {
        let value = ((self.buffer >> 32) >> (32 - length)) as u32;
        self.skip(length);
        value
    }

    /// The number of `size` bits that follow `code` bits, all known; nothing is taken.
    #[inline(always)]
    pub fn number(&self, code: u32, size: u32) -> i32 {
        number(self.buffer, code, size)
    }

    /// Takes one bit, which may have to be read first.
    #[inline(always)]
    pub fn bit(&mut self, ready: &Ready) -> bool {
        self.fill(ready);
        self.take(1) == 1
    }
}

/// The number of `size` bits that follow `code` bits, the first of which is the highest: the upper half of
/// their values stands for positive numbers, the lower one for negative ones (ITU-T T.81, F.2.2.1).
#[inline(always)]
pub(crate) fn number(bits: u64, code: u32, size: u32) -> i32 {
    let bits = bits << code;
    let positive = (bits as i64 >> 63) as i32;
    let value = ((bits >> 1) >> (63 - size)) as i32;
    value - (!positive & ((1 << size) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes bits as a block that consists of nothing else.
    fn take(bits: &mut Bits<'_>, length: u32) -> u32 {
        let (ready, mut cursor) = bits.block();
        cursor.fill(ready);
        let value = cursor.take(length);
        bits.cursor = cursor;
        value
    }

    #[test]
    fn bits_come_in_order_and_stuffed_zeros_go() {
        // Longer than what is ready at once, and with a 0xff at all places of what is copied at once.
        let plain: Vec<u8> =
            (0..3 * READY).map(|n| if n % 7 == 3 { 0xff } else { (n * 5) as u8 & 0x7f }).collect();
        let data: Vec<u8> = plain
            .iter()
            .flat_map(|&byte| if byte == 0xff { vec![0xff, 0] } else { vec![byte] })
            .collect();
        for length in 1..=16 {
            let mut bits = Bits::new(&data, 0);
            for start in (0..plain.len() * 8 - 16).step_by(length) {
                let expected = (start..start + length)
                    .fold(0, |value, at| value << 1 | u32::from(plain[at / 8] >> (7 - at % 8) & 1));
                assert_eq!(take(&mut bits, length as u32), expected, "{length} bits at {start}");
            }
            assert!(bits.check().is_ok());
        }
    }

    #[test]
    fn data_that_is_not_there_is_noticed() {
        let mut bits = Bits::new(&[0xab, 0xff, 0xd9], 0);
        assert_eq!(take(&mut bits, 8), 0xab);
        assert!(bits.check().is_ok());
        assert_eq!(bits.end().unwrap(), 1);
        take(&mut bits, 1);
        assert!(bits.check().is_err());
        assert!(bits.end().is_err());
        let mut left = Bits::new(&[1, 2, 0xff, 0xd9], 0);
        take(&mut left, 7);
        assert!(left.end().is_err());
        take(&mut left, 2);
        assert_eq!(left.end().unwrap(), 2);
    }

    #[test]
    fn reading_on_after_the_end_gives_zeros_and_is_never_forgotten() {
        for data in [&[0xff, 0xd9][..], &[0xaa; 100], &[0xff]] {
            let mut bits = Bits::new(data, 0);
            for at in 0..READY {
                let expected = if at < 50 && data.len() == 100 { 0xaaaa } else { 0 };
                assert_eq!(take(&mut bits, 16), expected);
                assert_eq!(bits.check().is_ok(), at < 50 && data.len() == 100, "{at}");
            }
        }
    }

    #[test]
    fn numbers_have_signs() {
        let of = |bits: u64, size: u32| number((5 << 61) | bits << (61 - size), 3, size);
        let numbers: Vec<_> = (0..8).map(|bits| of(bits, 3)).collect();
        assert_eq!(numbers, [-7, -6, -5, -4, 4, 5, 6, 7]);
        assert_eq!((of(0, 0), of(0, 1), of(1, 1)), (0, -1, 1));
        assert_eq!((of(0, 15), of(32_767, 15)), (-32_767, 32_767));
    }

    #[test]
    fn restarts_begin_after_their_marker() {
        let mut bits = Bits::new(&[0x0f, 0xff, 0xff, 0xd3, 0x80, 0xff, 0xd9], 0);
        take(&mut bits, 3);
        bits.restart(3).unwrap();
        assert_eq!(take(&mut bits, 1), 1);
        assert!(bits.restart(4).is_err());
    }
}
