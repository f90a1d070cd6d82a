//! AMX: tiles of 16 rows of 64 bytes, and an instruction that multiplies two of them.
//!
//! Rust has no stable intrinsics for it, but its assembler knows the instructions. A thread has a state of
//! tiles to save while it is [ready](super::Ready), and none when it rests.
//!
//! Two times two tiles of sums take four loads for four products, and no larger number of the eight
//! registers takes fewer. Loads come together, before the products: where another thread of the core is
//! busy, registers are not renamed far ahead, and a product that waits for its operand holds up all that
//! follow.

use std::arch::asm;

use super::{AHEAD, Kernel, Sums, Tile};
use crate::simd::prefetch_second;

/// Rows of a tile register.
const HEIGHT: usize = 16;

/// Pairs that a row of a tile register holds.
const PAIRS: usize = 16;

/// Bytes of a row of a tile register.
const BYTES: usize = 64;

/// Bytes of the right operand, two vectors wide, that a step takes.
const STEP: usize = 2 * PAIRS * BYTES;

/// Two times two tiles of sums.
pub(super) static KERNEL: Kernel =
    Kernel { rows: 2 * HEIGHT, step: PAIRS, left_by_row: true, begin, run, end };

/// What `ldtilecfg` reads.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Of a row, for each tile register.
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// For each number of rows: of registers 0 and 1 the upper sums, of 2 and 3 the lower ones, of 4 and 5 the
/// upper and the lower part of the left operand, of 6 and 7 the right one.
static CONFIGURATIONS: [Configuration; 2 * HEIGHT] = {
    const fn of(count: usize) -> Configuration {
        let upper = if count < HEIGHT { count } else { HEIGHT };
        // No register is without rows.
        let lower = if count > HEIGHT { count - HEIGHT } else { HEIGHT };
        let (mut bytes, mut rows) = ([0; 16], [0; 16]);
        let counts = [upper, upper, lower, lower, upper, lower, HEIGHT, HEIGHT];
        let mut register = 0;
        while register < counts.len() {
            bytes[register] = BYTES as u16;
            rows[register] = counts[register] as u8;
            register += 1;
        }
        Configuration { palette: 1, start_row: 0, reserved: [0; 14], bytes, rows }
    }
    let mut all = [of(1); 2 * HEIGHT];
    let mut count = 1;
    while count <= all.len() {
        all[count - 1] = of(count);
        count += 1;
    }
    all
};

/// # Safety
/// See [`Kernel::begin`].
unsafe fn begin(rows: usize) {
    let configuration = &CONFIGURATIONS[rows - 1];
    // SAFETY: the machine has AMX, or the kernel was not current; the registers are nobody else's.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) configuration, options(nostack, preserves_flags, readonly));
    }
}

fn end() {
    // SAFETY: as above.
    unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
}

/// A part of the left operand that does not lie as tiles are loaded.
#[repr(C, align(64))]
struct Staged([[u32; PAIRS]; 2 * HEIGHT]);

/// # Safety
/// See [`super::Ready::run`].
unsafe fn run(tile: &Tile, sums: &mut Sums) {
    debug_assert!(tile.left_pair == size_of::<u32>());
    // SAFETY: as the caller says.
    unsafe {
        match (tile.rows > HEIGHT, tile.vectors > 1) {
            (true, true) => sum::<true, true>(tile, sums),
            (true, false) => sum::<true, false>(tile, sums),
            (false, true) => sum::<false, true>(tile, sums),
            (false, false) => sum::<false, false>(tile, sums),
        }
    }
}

/// `TALL` if there is a lower part, `WIDE` if there are two vectors.
///
/// # Safety
/// See [`super::Ready::run`].
unsafe fn sum<const TALL: bool, const WIDE: bool>(tile: &Tile, sums: &mut Sums) {
    let pitch = tile.right_pair * size_of::<f32>();
    let mut right = tile.right.cast::<u8>();
    let mut left = tile.left;
    // SAFETY: the thread is ready for tiles of this height. All that is loaded lies within the operands, or
    // in `staged`; nothing that is called in between uses the registers. The panel ends with whole tiles.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nostack, preserves_flags, nomem),
        );
        for at in 0..tile.depth / (2 * PAIRS) {
            if let Some(ahead) = tile.ahead {
                let from = ahead.cast::<u8>().wrapping_add(at * STEP / AHEAD);
                for line in (0..STEP / AHEAD).step_by(BYTES) {
                    prefetch_second(from.wrapping_add(line));
                }
            }
            step::<TALL, WIDE>(left, tile.left_row, right, pitch);
            left = left.add(BYTES);
            right = right.add(PAIRS * pitch);
        }
        if !tile.depth.is_multiple_of(2 * PAIRS) {
            let mut staged = Staged([[0; PAIRS]; 2 * HEIGHT]);
            stage(tile, tile.depth / (2 * PAIRS) * PAIRS, &mut staged);
            step::<TALL, WIDE>(staged.0.as_ptr().cast(), BYTES, right, pitch);
        }
        let out = sums.0.as_mut_ptr().cast::<u8>();
        let pitch = tile.vectors * BYTES;
        store::<WIDE, 0>(out, pitch);
        if TALL {
            store::<WIDE, 2>(out.add(HEIGHT * pitch), pitch);
        }
    }
}

/// Adds the product of 16 pairs.
///
/// # Safety
/// Tiles must lie there.
#[inline(always)]
unsafe fn step<const TALL: bool, const WIDE: bool>(
    left: *const u8,
    stride: usize,
    right: *const u8,
    pitch: usize,
) {
    macro_rules! step {
        ($($line:literal)*) => {
            asm!(
                $($line,)*
                left = in(reg) left,
                lower = in(reg) left.wrapping_add(HEIGHT * stride),
                stride = in(reg) stride,
                right = in(reg) right,
                pitch = in(reg) pitch,
                options(nostack, preserves_flags, readonly),
            )
        };
    }
    // SAFETY: as the caller says.
    unsafe {
        match (TALL, WIDE) {
            (true, true) => step!(
                "tileloadd tmm4, [{left} + {stride}*1]"
                "tileloadd tmm5, [{lower} + {stride}*1]"
                "tileloadd tmm6, [{right} + {pitch}*1]"
                "tileloadd tmm7, [{right} + {pitch}*1 + 64]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tdpbf16ps tmm2, tmm5, tmm6"
                "tdpbf16ps tmm1, tmm4, tmm7"
                "tdpbf16ps tmm3, tmm5, tmm7"
            ),
            (true, false) => step!(
                "tileloadd tmm4, [{left} + {stride}*1]"
                "tileloadd tmm5, [{lower} + {stride}*1]"
                "tileloadd tmm6, [{right} + {pitch}*1]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tdpbf16ps tmm2, tmm5, tmm6"
            ),
            (false, true) => step!(
                "# {lower}"
                "tileloadd tmm4, [{left} + {stride}*1]"
                "tileloadd tmm6, [{right} + {pitch}*1]"
                "tileloadd tmm7, [{right} + {pitch}*1 + 64]"
                "tdpbf16ps tmm0, tmm4, tmm6"
                "tdpbf16ps tmm1, tmm4, tmm7"
            ),
            (false, false) => step!(
                "# {lower}"
                "tileloadd tmm4, [{left} + {stride}*1]"
                "tileloadd tmm6, [{right} + {pitch}*1]"
                "tdpbf16ps tmm0, tmm4, tmm6"
            ),
        }
    }
}

/// Writes the sums of register `FIRST` and, if it is wide, of the next one.
///
/// # Safety
/// There must be place for them.
#[inline(always)]
unsafe fn store<const WIDE: bool, const FIRST: usize>(to: *mut u8, pitch: usize) {
    macro_rules! store {
        ($($line:literal)*) => {
            asm!($($line,)* to = in(reg) to, pitch = in(reg) pitch, options(nostack, preserves_flags))
        };
    }
    // SAFETY: as the caller says.
    unsafe {
        match (FIRST, WIDE) {
            (0, true) => {
                store!("tilestored [{to} + {pitch}*1], tmm0" "tilestored [{to} + {pitch}*1 + 64], tmm1")
            }
            (0, false) => store!("tilestored [{to} + {pitch}*1], tmm0"),
            (_, true) => {
                store!("tilestored [{to} + {pitch}*1], tmm2" "tilestored [{to} + {pitch}*1 + 64], tmm3")
            }
            (_, false) => store!("tilestored [{to} + {pitch}*1], tmm2"),
        }
    }
}

/// Copies the pairs from `first` on.
///
/// # Safety
/// See [`super::Ready::run`].
unsafe fn stage(tile: &Tile, first: usize, to: &mut Staged) {
    let whole_pairs = match tile.ragged {
        true => tile.depth / 2,
        false => tile.depth.div_ceil(2),
    };
    let count = PAIRS.min(whole_pairs.saturating_sub(first));
    for (row, to) in to.0[..tile.rows].iter_mut().enumerate() {
        // SAFETY: each row has these pairs, and half of one more if it is odd and ragged.
        unsafe {
            let from = tile.left.add(row * tile.left_row + first * tile.left_pair);
            std::ptr::copy_nonoverlapping(from, to.as_mut_ptr().cast(), count * size_of::<u32>());
            if count < PAIRS && tile.ragged && !tile.depth.is_multiple_of(2) {
                let last = from.add(count * tile.left_pair).cast::<u16>();
                to[count] = u32::from(last.read_unaligned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{matmul::pairs::LANES, simd::InstructionSet, testing::on_each_instruction_set};

    /// Every shape of a tile, against plain loops: operands are small whole numbers, so that sums are
    /// exact in whatever order.
    #[test]
    fn tiles_of_every_shape_are_those_of_plain_loops() {
        on_each_instruction_set(|set| {
            if set != InstructionSet::Amx {
                return;
            }
            for (rows, depth, vectors) in [1, 15, 16, 17, 31, 32]
                .into_iter()
                .flat_map(|rows| [1, 2, 31, 32, 33, 64, 197].map(|depth| (rows, depth)))
                .flat_map(|(rows, depth)| [1, 2].map(|vectors| (rows, depth, vectors)))
            {
                check(rows, depth, vectors);
            }
        });
        if !crate::amx::has_amx() {
            // Past the harness, which hides what a test that passes prints.
            let _ = writeln!(std::io::stderr(), "NOT TESTED: this machine has no AMX");
        }
    }

    fn check(rows: usize, depth: usize, vectors: usize) {
        let half = |value: usize| half::bf16::from_f32((value % 15) as f32 - 7.0);
        let left = |row: usize, at: usize| half(row * 31 + at * 7);
        let right = |at: usize, column: usize| half(at * 11 + column * 5);
        let columns = vectors * LANES;
        let word = |at: usize, value: &dyn Fn(usize) -> half::bf16| {
            let bits = |at: usize| if at < depth { u32::from(value(at).to_bits()) } else { 0 };
            bits(2 * at) | bits(2 * at + 1) << 16
        };
        let pairs = depth.div_ceil(2);
        let panel: Vec<f32> = (0..pairs.next_multiple_of(PAIRS) * columns)
            .map(|at| f32::from_bits(word(at / columns, &|k| right(k, at % columns))))
            .collect();
        let by_row: Vec<half::bf16> =
            (0..rows * depth).map(|at| left(at / depth, at % depth)).collect();
        let tile = Tile {
            left: by_row.as_ptr().cast(),
            left_row: 2 * depth,
            left_pair: 4,
            rows,
            depth,
            ragged: true,
            right: panel.as_ptr(),
            right_pair: columns,
            vectors,
            ahead: None,
        };
        let mut sums = Sums::new();
        // SAFETY: the operands are as large as the tile says, and the machine has AMX.
        unsafe { KERNEL.begin(rows).run(&tile, &mut sums) };
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
            let exact: f32 =
                (0..depth).map(|at| f32::from(left(row, at)) * f32::from(right(at, column))).sum();
            let got = sums.0[row * columns + column];
            assert_eq!(got, exact, "{rows}x{depth}x{columns} at ({row}, {column})");
        }
    }
}
