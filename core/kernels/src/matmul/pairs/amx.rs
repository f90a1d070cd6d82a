//! AMX: tiles of 16 rows of 64 bytes, and an instruction that multiplies two of them.
//!
//! Rust has no stable intrinsics for it, but its assembler knows the instructions. Each call leaves
//! the tiles as it found them, unused, so that a thread at rest has no state to save.

use std::arch::asm;

use super::{Kernel, LANES, Sums, Tile};

/// Rows of a tile register.
const HEIGHT: usize = 16;

/// Pairs that a row of a tile register holds.
const PAIRS: usize = 16;

/// Bytes of a row of a tile register.
const BYTES: usize = 64;

/// Two times two tiles of sums.
pub(super) static KERNEL: Kernel = Kernel { rows: 2 * HEIGHT, step: PAIRS, left_by_row: true, run };

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    /// Of a row, for each tile register.
    bytes: [u16; 16],
    rows: [u8; 16],
}

/// All eight tile registers whole.
static WHOLE: Configuration = {
    let (mut bytes, mut rows) = ([0; 16], [0; 16]);
    let mut register = 0;
    while register < 8 {
        bytes[register] = BYTES as u16;
        rows[register] = HEIGHT as u8;
        register += 1;
    }
    Configuration { palette: 1, start_row: 0, reserved: [0; 14], bytes, rows }
};

/// A part of the left operand that does not lie as tiles are loaded.
#[repr(C, align(64))]
struct Staged([[u32; PAIRS]; 2 * HEIGHT]);

/// # Safety
/// See [`Kernel::run`].
unsafe fn run(tile: &Tile, sums: &mut Sums) {
    let pitch = tile.vectors * LANES * size_of::<f32>();
    let mut staged = Staged([[0; PAIRS]; 2 * HEIGHT]);
    // SAFETY: the machine has AMX, or the kernel was not current. All that is loaded lies within the
    // operands or in `staged`, as is said below; the registers are nobody else's, and nothing that is
    // called in between uses them.
    unsafe {
        asm!(
            "ldtilecfg [{configuration}]",
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            configuration = in(reg) &WHOLE,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            options(nostack, preserves_flags),
        );
        for first in (0..tile.depth.div_ceil(2)).step_by(PAIRS) {
            // Whole tiles that lie row by row are loaded from where they lie.
            let whole = tile.rows == 2 * HEIGHT && 2 * (first + PAIRS) <= tile.depth;
            let (left, stride) = if whole && tile.left_pair == size_of::<u32>() {
                (tile.left.add(first * tile.left_pair), tile.left_row)
            } else {
                stage(tile, first, &mut staged);
                (staged.0.as_ptr().cast::<u8>(), BYTES)
            };
            // The panel has `pitch` bytes for each pair, and ends with whole tiles.
            let right = tile.right.cast::<u8>().add(first * pitch);
            if tile.vectors == 1 {
                asm!(
                    "tileloadd tmm4, [{left} + {stride}*1]",
                    "tileloadd tmm6, [{right} + {pitch}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{lower} + {stride}*1]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    left = in(reg) left,
                    lower = in(reg) left.add(HEIGHT * stride),
                    stride = in(reg) stride,
                    right = in(reg) right,
                    pitch = in(reg) pitch,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _,
                    options(nostack, preserves_flags),
                );
            } else {
                asm!(
                    "tileloadd tmm4, [{left} + {stride}*1]",
                    "tileloadd tmm6, [{right} + {pitch}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm7, [{right} + {pitch}*1 + 64]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{lower} + {stride}*1]",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    left = in(reg) left,
                    lower = in(reg) left.add(HEIGHT * stride),
                    stride = in(reg) stride,
                    right = in(reg) right,
                    pitch = in(reg) pitch,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack, preserves_flags),
                );
            }
        }
        let out = sums.0.as_mut_ptr().cast::<u8>();
        let lower = out.add(HEIGHT * pitch);
        if tile.vectors == 1 {
            asm!(
                "tilestored [{out} + {pitch}*1], tmm0",
                "tilestored [{lower} + {pitch}*1], tmm2",
                "tilerelease",
                out = in(reg) out,
                lower = in(reg) lower,
                pitch = in(reg) pitch,
                options(nostack, preserves_flags),
            );
        } else {
            asm!(
                "tilestored [{out} + {pitch}*1], tmm0",
                "tilestored [{out} + {pitch}*1 + 64], tmm1",
                "tilestored [{lower} + {pitch}*1], tmm2",
                "tilestored [{lower} + {pitch}*1 + 64], tmm3",
                "tilerelease",
                out = in(reg) out,
                lower = in(reg) lower,
                pitch = in(reg) pitch,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Copies the pairs from `first` on; zeros for those that do not exist. Rows that do not exist are
/// left as they are.
///
/// # Safety
/// See [`Kernel::run`].
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
            if tile.left_pair == size_of::<u32>() {
                std::ptr::copy_nonoverlapping(from, to.as_mut_ptr().cast(), count * 4);
            } else {
                for (pair, to) in to[..count].iter_mut().enumerate() {
                    *to = from.add(pair * tile.left_pair).cast::<u32>().read_unaligned();
                }
            }
            to[count..].fill(0);
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
    use crate::{simd::InstructionSet, testing::on_each_instruction_set};

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
        let across: Vec<u32> =
            (0..pairs * rows).map(|at| word(at / rows, &|k| left(at % rows, k))).collect();
        let tile = Tile {
            left: by_row.as_ptr().cast(),
            left_row: 2 * depth,
            left_pair: 4,
            rows,
            depth,
            ragged: true,
            right: panel.as_ptr(),
            vectors,
        };
        let turned = Tile {
            left: across.as_ptr().cast(),
            left_row: 4,
            left_pair: 4 * rows,
            ragged: false,
            ..tile
        };
        for tile in [tile, turned] {
            let mut sums = Sums::new();
            // SAFETY: the operands are as large as the tile says, and the machine has AMX.
            unsafe { KERNEL.run(&tile, &mut sums) };
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |c| (row, c))) {
                let exact: f32 = (0..depth)
                    .map(|at| f32::from(left(row, at)) * f32::from(right(at, column)))
                    .sum();
                let got = sums.0[row * columns + column];
                assert_eq!(got, exact, "{rows}x{depth}x{columns} at ({row}, {column})");
            }
        }
    }
}
