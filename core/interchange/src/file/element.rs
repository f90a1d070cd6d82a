//! The types that weights are stored in, all read as `f32`.

use std::io::{self, Read};

use half::{bf16, f16};

use super::values::{check_finite, room};

/// A type of numbers that weights have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    F32,
    F16,
    BF16,
    F64,
}

/// What a message says that weights are.
pub(crate) const ELEMENTS: &str = "weights are f32, f16, bf16 or f64 (save them dequantised)";

impl Element {
    /// Bytes of one number.
    pub(super) const fn width(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::F64 => 8,
        }
    }

    /// Reads so many finite numbers, piece by piece, so that their bytes are never in memory as a whole.
    /// Whoever calls has seen that there are as many bytes.
    ///
    /// # Errors
    /// There is no room, there are fewer bytes after all, or a number is not finite; in words.
    pub(super) fn read(
        self,
        source: &mut impl Read,
        name: &str,
        count: usize,
    ) -> Result<Vec<f32>, String> {
        let values = self.read_any(source, name, count)?;
        check_finite(name, &values)?;
        Ok(values)
    }

    /// The same, of numbers that nobody may ever look at.
    pub(super) fn read_any(
        self,
        source: &mut impl Read,
        name: &str,
        count: usize,
    ) -> Result<Vec<f32>, String> {
        let mut values = room(name, count)?;
        let width = self.width() as usize;
        let mut piece = vec![0; count.min(PIECE) * width];
        let mut left = count;
        while left > 0 {
            let now = left.min(PIECE);
            let bytes = &mut piece[..now * width];
            source.read_exact(bytes).map_err(|error| damaged(name, &error))?;
            self.convert(bytes, &mut values);
            left -= now;
        }
        Ok(values)
    }

    fn convert(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F32 => {
                values.extend(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)))
            }
            Self::F16 => {
                values.extend(
                    bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()),
                );
            }
            Self::BF16 => {
                values.extend(
                    bytes.as_chunks::<2>().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()),
                );
            }
            Self::F64 => {
                values
                    .extend(bytes.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b) as f32));
            }
        }
    }
}

/// Numbers that are converted at once.
const PIECE: usize = 1 << 18;

/// What an unexpected end or a wrong checksum is called.
pub(super) fn damaged(name: &str, error: &io::Error) -> String {
    format!("`{name}` is damaged or cut short: {error}")
}
