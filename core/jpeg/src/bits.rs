//! The bits of a scan, 64 at a time.

use crate::Error;

/// Reads bits from the most significant on, until a marker.
pub(crate) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bit is the highest. What follows the `count` known bits are zeros, or bits that will be
    /// read again, the same.
    buffer: u64,
    count: u32,
    /// How many of the known bits are zeros that stand for data that the file does not have.
    made_up: u32,
}

impl<'a> Bits<'a> {
    /// Starts at a byte of the file.
    pub fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, buffer: 0, count: 0, made_up: 0 }
    }

    /// Makes sure that at least 32 bits are known.
    #[inline(always)]
    pub fn fill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(&bytes) = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_be_bytes(bytes);
            if !has_ff(word) {
                self.buffer |= word >> self.count;
                self.at += ((63 - self.count) >> 3) as usize;
                self.count |= 56;
                return;
            }
        }
        self.fill_bytewise();
    }

    /// The same where the next bytes have a marker or a stuffed zero among them, or are the last.
    #[cold]
    #[inline(never)]
    fn fill_bytewise(&mut self) {
        // The fast way may have left bits beyond the known ones.
        self.buffer &= (!0_u64).checked_shl(64 - self.count).unwrap_or(0);
        while self.count <= 56 {
            let byte = match (self.data.get(self.at), self.data.get(self.at + 1)) {
                (Some(0xff), Some(0)) => {
                    self.at += 2;
                    0xff
                }
                (None, _) | (Some(0xff), _) => {
                    self.made_up += 8;
                    0
                }
                (Some(&byte), _) => {
                    self.at += 1;
                    byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
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

    /// Takes the `size` bits of a coefficient: the upper half of their values stands for positive
    /// numbers, the lower one for negative ones (ITU-T T.81, F.2.2.1).
    #[inline(always)]
    pub fn number(&mut self, size: u32) -> i32 {
        extend(self.take(size), size)
    }

    /// Takes one bit, which may have to be read first.
    #[inline(always)]
    pub fn bit(&mut self) -> bool {
        self.fill();
        self.take(1) == 1
    }

    /// Refuses a scan that has used more bits than there are.
    pub fn check(&self) -> Result<(), Error> {
        if self.count < self.made_up {
            return Err(Error::Damaged("its data ends before its image does"));
        }
        Ok(())
    }

    /// Goes behind the restart marker that is due here.
    pub fn restart(&mut self, number: u8) -> Result<(), Error> {
        self.at = self.end()?;
        if self.data.get(self.at..self.at + 2) != Some(&[0xff, 0xd0 + number]) {
            return Err(Error::Damaged("a restart marker is missing"));
        }
        *self = Self::new(self.data, self.at + 2);
        Ok(())
    }

    /// Where the marker after the scan is.
    pub fn end(&mut self) -> Result<usize, Error> {
        self.check()?;
        // Whole bytes that are left are no part of the scan.
        self.fill_bytewise();
        if self.count - self.made_up >= 8 {
            return Err(Error::Damaged("there is data that belongs to no block"));
        }
        let mut at = self.at;
        while self.data.get(at + 1) == Some(&0xff) {
            at += 1; // a fill byte
        }
        Ok(at)
    }
}

/// The number that `size` bits stand for.
#[inline(always)]
pub(crate) fn extend(bits: u32, size: u32) -> i32 {
    let negative = bits < (1 << size) >> 1;
    bits as i32 - if negative { (1 << size) - 1 } else { 0 }
}

/// Whether one of eight bytes is 0xff.
#[inline(always)]
fn has_ff(word: u64) -> bool {
    let inverted = !word;
    inverted.wrapping_sub(0x0101_0101_0101_0101) & word & 0x8080_8080_8080_8080 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_in_order_and_stuffed_zeros_go() {
        let data: Vec<u8> =
            (0..40).flat_map(|n| if n % 7 == 3 { vec![0xff, 0] } else { vec![n * 5] }).collect();
        let plain: Vec<u8> = (0..40).map(|n| if n % 7 == 3 { 0xff } else { n * 5 }).collect();
        for length in 1..=16 {
            let mut bits = Bits::new(&data, 0);
            for start in (0..40 * 8 - 16).step_by(length) {
                bits.fill();
                let expected = (start..start + length)
                    .fold(0, |value, at| value << 1 | u32::from(plain[at / 8] >> (7 - at % 8) & 1));
                assert_eq!(bits.take(length as u32), expected, "{length} bits at {start}");
            }
            assert!(bits.check().is_ok());
        }
    }

    #[test]
    fn data_that_is_not_there_is_noticed() {
        let mut bits = Bits::new(&[0xab, 0xff, 0xd9], 0);
        bits.fill();
        assert_eq!(bits.take(8), 0xab);
        assert!(bits.check().is_ok());
        assert_eq!(bits.end().unwrap(), 1);
        bits.fill();
        bits.skip(1);
        assert!(bits.check().is_err());
        let mut left = Bits::new(&[1, 2, 0xff, 0xd9], 0);
        left.fill();
        left.skip(7);
        assert!(left.end().is_err());
    }

    #[test]
    fn restarts_begin_after_their_marker() {
        let mut bits = Bits::new(&[0x0f, 0xff, 0xff, 0xd3, 0x80, 0xff, 0xd9], 0);
        bits.fill();
        bits.skip(3);
        bits.restart(3).unwrap();
        assert!(bits.bit());
        assert!(bits.restart(4).is_err());
    }

    #[test]
    fn numbers_have_signs() {
        let numbers: Vec<_> = (0..8).map(|bits| extend(bits, 3)).collect();
        assert_eq!(numbers, [-7, -6, -5, -4, 4, 5, 6, 7]);
        assert_eq!((extend(0, 0), extend(0, 1), extend(1, 1)), (0, -1, 1));
    }
}
