//! Micro-kernels for `bf16`, of which each instruction multiplies pairs and sums them in `f32`.
//!
//! They are called for each tile and leave its sums in memory, which is the first cache: they are
//! compiled for instructions that what surrounds them cannot presume. These take values below the least
//! normal one for zero, and give no smaller sums.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;

use crate::simd::InstructionSet;

/// A micro-kernel.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// Most rows of a tile.
    pub(crate) rows: usize,
    /// Whether rows of a left operand that is packed for it lie one after the other, and not side by
    /// side.
    pub(crate) left_by_row: bool,
    /// How many pairs it takes at a time: packed operands end with zeros after a multiple of them.
    pub(crate) step: usize,
    /// Makes the thread ready for tiles of so many rows.
    begin: unsafe fn(usize),
    run: unsafe fn(&Tile, &mut Sums),
    /// Frees what `begin` took.
    end: fn(),
}

/// A micro-kernel on a thread that is ready for tiles of some height.
pub(crate) struct Ready<'a> {
    pub(crate) kernel: &'a Kernel,
    /// The height.
    pub(crate) rows: usize,
}

/// What a micro-kernel multiplies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// Pairs of the first row, each a word.
    pub(crate) left: *const u8,
    /// Bytes from one row to the next.
    pub(crate) left_row: usize,
    /// Bytes from one pair of a row to the next.
    pub(crate) left_pair: usize,
    /// Rows, not more than the kernel's.
    pub(crate) rows: usize,
    /// Values of each row.
    pub(crate) depth: usize,
    /// Whether an odd row's last value is alone in memory, and not followed by a zero.
    pub(crate) ragged: bool,
    /// A panel of the right operand, pair after pair.
    pub(crate) right: *const f32,
    /// Words from one pair of the right operand to the next: the panel's width, but where the kernel takes
    /// the left operand row by row.
    pub(crate) right_pair: usize,
    /// The panel's width: one vector, or two.
    pub(crate) vectors: usize,
    /// What a kernel that is fast enough to wait for it brings to the second cache while it multiplies, one word for
    /// each [`AHEAD`] of the panel: it may lie anywhere.
    pub(crate) ahead: Option<*const f32>,
}

/// How many tiles bring a panel as large as their own from the third cache to the second.
pub(crate) const AHEAD: usize = 2;

/// Values of a vector.
pub(crate) const LANES: usize = 16;

/// Most rows of a tile of any kernel.
const ROWS: usize = 32;

/// A tile's sums, row after row, each as wide as the panel.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Sums([f32; ROWS * 2 * LANES]);

impl Sums {
    pub(crate) fn new() -> Self {
        Self([0.0; ROWS * 2 * LANES])
    }

    pub(crate) fn as_ptr(&self) -> *const f32 {
        self.0.as_ptr()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.0.as_mut_ptr()
    }
}

impl Kernel {
    /// That of the current instruction set, if it has one.
    pub(crate) fn current() -> Option<&'static Self> {
        match InstructionSet::current() {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Bf16 => Some(&avx512::KERNEL),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            InstructionSet::Amx => Some(&amx::KERNEL),
            _ => None,
        }
    }

    /// Makes the thread ready for tiles of so many rows, until what it returns is dropped.
    ///
    /// # Safety
    /// The kernel must be the current one.
    #[inline(always)]
    pub(crate) unsafe fn begin(&self, rows: usize) -> Ready<'_> {
        debug_assert!((1..=self.rows).contains(&rows));
        // SAFETY: as the caller says.
        unsafe { (self.begin)(rows) };
        Ready { kernel: self, rows }
    }
}

impl Ready<'_> {
    /// Computes a tile's sums.
    ///
    /// # Safety
    /// The operands must be as large as `tile` says, and it must have the rows that this is for.
    #[inline(always)]
    pub(crate) unsafe fn run(&self, tile: &Tile, sums: &mut Sums) {
        debug_assert!(tile.rows == self.rows && (1..=2).contains(&tile.vectors));
        // SAFETY: as the caller says.
        unsafe { (self.kernel.run)(tile, sums) };
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        (self.kernel.end)();
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, __m512bh, _mm512_castsi512_ps, _mm512_dpbf16_ps, _mm512_loadu_ps,
        _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_ps,
    };

    use super::{Kernel, LANES, Sums, Tile};

    /// Twelve rows of two vectors, as with `f32`: 24 registers hold sums.
    pub(super) static KERNEL: Kernel =
        Kernel { rows: 12, step: 1, left_by_row: false, begin: |_| {}, run, end: || {} };

    macro_rules! each_height {
        ($tile:ident, $sums:ident, $($rows:literal)*) => {
            match ($tile.rows, $tile.vectors) {
                $(
                    // SAFETY: as the caller says.
                    ($rows, 1) => unsafe { sum::<$rows, 1>($tile, $sums) },
                    // SAFETY: as the caller says.
                    ($rows, _) => unsafe { sum::<$rows, 2>($tile, $sums) },
                )*
                _ => unreachable!("a tile has one to twelve rows"),
            }
        };
    }

    /// # Safety
    /// See [`Kernel::run`].
    unsafe fn run(tile: &Tile, sums: &mut Sums) {
        each_height!(tile, sums, 12 11 10 9 8 7 6 5 4 3 2 1);
    }

    /// # Safety
    /// See [`Kernel::run`]; the tile must have `ROWS` rows and `VECTORS` vectors.
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn sum<const ROWS: usize, const VECTORS: usize>(tile: &Tile, out: &mut Sums) {
        // SAFETY: both are 64 bytes of plain bits.
        let pairs = |bits: __m512| unsafe { std::mem::transmute::<__m512, __m512bh>(bits) };
        let mut sums = [[_mm512_setzero_ps(); VECTORS]; ROWS];
        let (mut left, mut right) = (tile.left, tile.right);
        let alone = tile.ragged && !tile.depth.is_multiple_of(2);
        macro_rules! step {
            ($read:expr) => {
                let mut columns = [_mm512_setzero_ps(); VECTORS];
                for (vector, column) in columns.iter_mut().enumerate() {
                    // SAFETY: the panel has that many vectors for each pair.
                    *column = unsafe { _mm512_loadu_ps(right.add(vector * LANES)) };
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: each row has that pair.
                    let word: i32 = unsafe { $read(left.add(row * tile.left_row)) };
                    let value = _mm512_castsi512_ps(_mm512_set1_epi32(word));
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = _mm512_dpbf16_ps(*sum, pairs(value), pairs(column));
                    }
                }
                left = left.wrapping_add(tile.left_pair);
                right = right.wrapping_add(VECTORS * LANES);
            };
        }
        for _ in 0..tile.depth.div_ceil(2) - usize::from(alone) {
            step!(|at: *const u8| at.cast::<i32>().read_unaligned());
        }
        if alone {
            step!(|at: *const u8| i32::from(at.cast::<u16>().read_unaligned()));
        }
        let _ = (left, right);
        for (row, sums) in sums.into_iter().enumerate() {
            for (vector, sum) in sums.into_iter().enumerate() {
                // SAFETY: there is place for more rows of two vectors than a tile has.
                unsafe {
                    _mm512_storeu_ps(out.0.as_mut_ptr().add((row * VECTORS + vector) * LANES), sum);
                }
            }
        }
    }
}
