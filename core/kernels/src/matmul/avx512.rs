//! The micro-kernel of [`super::tile`] for AVX-512 and rows that lie anywhere, in assembly.
//!
//! A compiler computes the address of each of the twelve rows anew in each step: some twenty additions beside 24
//! multiplications of vectors, for which Intel's processors take the ports that multiply. Here three pointers reach four
//! rows each, and move on once in four steps, as in the kernels of BLIS (Van Zee and van de Geijn, "BLIS: A Framework for
//! Rapidly Instantiating BLAS Functionality", 2015).
//!
//! While it multiplies, it brings a part of what comes next from the third cache to the second: a panel of weights is used
//! for a few tiles alone, and the first of them would wait for it.

use std::arch::asm;

/// From how many steps on it pays that sums come back through memory: not for the heads of attention.
pub(super) const DEEP: usize = 160;

/// Rows of a tile.
pub(super) const ROWS: usize = 12;

/// Values of one of its rows: two vectors.
pub(super) const COLUMNS: usize = 32;

/// A row's value, which lies at `$at`, times both vectors of the right operand.
macro_rules! row {
    ($at:expr, $low:literal, $high:literal) => {
        concat!(
            "vbroadcastss zmm26, dword ptr [",
            $at,
            "]\n",
            "vfmadd231ps zmm",
            $low,
            ", zmm24, zmm26\n",
            "vfmadd231ps zmm",
            $high,
            ", zmm25, zmm26\n",
        )
    };
}

/// A step: so many bytes from where the pointers are, on the left and, for both vectors, on the right.
macro_rules! step {
    ($at:literal, $low:literal, $high:literal) => {
        concat!(
            "vmovups zmm24, zmmword ptr [{right} + ",
            $low,
            "]\n",
            "vmovups zmm25, zmmword ptr [{right} + ",
            $high,
            "]\n",
            row!(concat!("{first} + ", $at), "0", "1"),
            row!(concat!("{first} + {row} + ", $at), "2", "3"),
            row!(concat!("{first} + 2*{row} + ", $at), "4", "5"),
            row!(concat!("{first} + {rows} + ", $at), "6", "7"),
            row!(concat!("{fifth} + ", $at), "8", "9"),
            row!(concat!("{fifth} + {row} + ", $at), "10", "11"),
            row!(concat!("{fifth} + 2*{row} + ", $at), "12", "13"),
            row!(concat!("{fifth} + {rows} + ", $at), "14", "15"),
            row!(concat!("{ninth} + ", $at), "16", "17"),
            row!(concat!("{ninth} + {row} + ", $at), "18", "19"),
            row!(concat!("{ninth} + 2*{row} + ", $at), "20", "21"),
            row!(concat!("{ninth} + {rows} + ", $at), "22", "23"),
        )
    };
}

/// `zmm0` to `zmm23`, each at its place in the sums.
macro_rules! sums {
    ($instruction:ident) => {
        concat!(
            $instruction!("0", "0"),
            $instruction!("1", "64"),
            $instruction!("2", "128"),
            $instruction!("3", "192"),
            $instruction!("4", "256"),
            $instruction!("5", "320"),
            $instruction!("6", "384"),
            $instruction!("7", "448"),
            $instruction!("8", "512"),
            $instruction!("9", "576"),
            $instruction!("10", "640"),
            $instruction!("11", "704"),
            $instruction!("12", "768"),
            $instruction!("13", "832"),
            $instruction!("14", "896"),
            $instruction!("15", "960"),
            $instruction!("16", "1024"),
            $instruction!("17", "1088"),
            $instruction!("18", "1152"),
            $instruction!("19", "1216"),
            $instruction!("20", "1280"),
            $instruction!("21", "1344"),
            $instruction!("22", "1408"),
            $instruction!("23", "1472"),
        )
    };
}
macro_rules! zero {
    ($register:literal, $at:literal) => {
        concat!("vpxord zmm", $register, ", zmm", $register, ", zmm", $register, "\n")
    };
}
macro_rules! store {
    ($register:literal, $at:literal) => {
        concat!("vmovups zmmword ptr [{sums} + ", $at, "], zmm", $register, "\n")
    };
}

/// Writes the sums of twelve rows of the left operand times two vectors of the right one's columns to `sums`, `[12, 32]`:
/// each of products that are added step after step. From `ahead` on, which may lie anywhere, the second cache gets one
/// value for each [`AHEAD`](super::tile::AHEAD) of the right operand.
///
/// # Safety
/// The processor has AVX-512. `left` must have `depth` values that follow each other in each of twelve rows `left_row`
/// apart, `right` must have `depth` times 32 values, and there must be place for the sums.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile(
    depth: usize,
    left: *const f32,
    left_row: usize,
    right: *const f32,
    sums: *mut f32,
    ahead: *const f32,
) {
    const { assert!(super::tile::AHEAD == 4, "two lines are brought in four steps, which read eight") };
    let row = left_row * size_of::<f32>();
    // SAFETY: as the caller says.
    unsafe {
        asm!(
            sums!(zero),
            "test {fours}, {fours}",
            "jz 3f",
            "2:",
            step!("0", "0", "64"),
            step!("4", "128", "192"),
            step!("8", "256", "320"),
            step!("12", "384", "448"),
            "prefetcht1 [{ahead}]",
            "prefetcht1 [{ahead} + 64]",
            "add {ahead}, 128",
            "add {first}, 16",
            "add {fifth}, 16",
            "add {ninth}, 16",
            "add {right}, 512",
            "dec {fours}",
            "jnz 2b",
            "3:",
            "test {rest}, {rest}",
            "jz 5f",
            "4:",
            step!("0", "0", "64"),
            "add {first}, 4",
            "add {fifth}, 4",
            "add {ninth}, 4",
            "add {right}, 128",
            "dec {rest}",
            "jnz 4b",
            "5:",
            sums!(store),
            sums = in(reg) sums,
            fours = inout(reg) depth / 4 => _,
            rest = inout(reg) depth % 4 => _,
            first = inout(reg) left => _,
            fifth = inout(reg) left.wrapping_byte_add(4 * row) => _,
            ninth = inout(reg) left.wrapping_byte_add(8 * row) => _,
            row = in(reg) row,
            rows = in(reg) 3 * row,
            right = inout(reg) right => _,
            ahead = inout(reg) ahead => _,
            out("zmm0") _, out("zmm1") _, out("zmm2") _, out("zmm3") _, out("zmm4") _, out("zmm5") _,
            out("zmm6") _, out("zmm7") _, out("zmm8") _, out("zmm9") _, out("zmm10") _, out("zmm11") _,
            out("zmm12") _, out("zmm13") _, out("zmm14") _, out("zmm15") _, out("zmm16") _, out("zmm17") _,
            out("zmm18") _, out("zmm19") _, out("zmm20") _, out("zmm21") _, out("zmm22") _, out("zmm23") _,
            out("zmm24") _, out("zmm25") _, out("zmm26") _,
            options(nostack),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// To the last bit: products are fused with additions in the order of steps.
    #[test]
    fn sums_are_those_of_plain_loops() {
        if !std::arch::is_x86_feature_detected!("avx512f") {
            return;
        }
        let value = |at: usize| ((at * 7919 + 13) % 1009) as f32 / 505.0 - 1.0;
        for (depth, left_row) in [(0, 1), (1, 1), (3, 5), (4, 4), (160, 160), (387, 401)] {
            let left: Vec<f32> = (0..ROWS * left_row.max(depth)).map(value).collect();
            let right: Vec<f32> = (0..depth * COLUMNS).map(|at| value(at + 7)).collect();
            let mut sums = vec![f32::NAN; ROWS * COLUMNS];
            // SAFETY: the processor has AVX-512, and all is as large as that.
            unsafe {
                let right = right.as_ptr();
                tile(depth, left.as_ptr(), left_row, right, sums.as_mut_ptr(), right);
            }
            for (at, sum) in sums.into_iter().enumerate() {
                let (row, column) = (at / COLUMNS, at % COLUMNS);
                let add = |sum: f32, step: usize| {
                    left[row * left_row + step].mul_add(right[step * COLUMNS + column], sum)
                };
                assert_eq!(sum, (0..depth).fold(0.0, add), "{depth} steps, row {row}, {column}");
            }
        }
    }
}
