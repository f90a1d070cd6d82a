//! Rows for columns, in words of 32 bits.

use pulp::Simd;

/// Words of the squares that are transposed in registers.
pub(super) const SIDE: usize = 16;

/// Writes the transpose of `rows` rows of `columns` words, `from_row` words apart, to rows that are `to_row`
/// words apart.
///
/// # Safety
/// The words must be there, and there must be place for them.
#[inline(always)]
pub(crate) unsafe fn transpose<S: Simd>(
    _: S,
    [rows, columns]: [usize; 2],
    from: *const f32,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
) {
    // SAFETY: as the caller says, and what is called has vectors as this has.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if const { S::F32_LANES == SIDE } {
            return avx512::transpose([rows, columns], from, from_row, to, to_row);
        }
        plain([rows, columns], from, from_row, to, to_row);
    }
}

/// # Safety
/// See [`transpose`].
#[inline(always)]
unsafe fn plain(
    [rows, columns]: [usize; 2],
    from: *const f32,
    from_row: usize,
    to: *mut f32,
    to_row: usize,
) {
    for first in (0..columns).step_by(SIDE) {
        for row in 0..rows {
            for column in first..columns.min(first + SIDE) {
                // SAFETY: as the caller says.
                unsafe { *to.add(column * to_row + row) = *from.add(row * from_row + column) };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, __m512d, _mm512_castpd_ps, _mm512_castps_pd, _mm512_loadu_ps,
        _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_setzero_ps, _mm512_shuffle_f32x4,
        _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };

    use super::SIDE;

    /// # Safety
    /// See [`super::transpose`]; the machine must have AVX-512.
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn transpose(
        [rows, columns]: [usize; 2],
        from: *const f32,
        from_row: usize,
        to: *mut f32,
        to_row: usize,
    ) {
        for row in (0..rows).step_by(SIDE) {
            for column in (0..columns).step_by(SIDE) {
                let sides = [(rows - row).min(SIDE), (columns - column).min(SIDE)];
                // SAFETY: as the caller says.
                unsafe {
                    let from = from.add(row * from_row + column);
                    square(sides, from, from_row, to.add(column * to_row + row), to_row);
                }
            }
        }
    }

    /// # Safety
    /// See [`super::transpose`]; there must not be more than 16 rows or columns.
    #[target_feature(enable = "avx512f")]
    unsafe fn square(
        [rows, columns]: [usize; 2],
        from: *const f32,
        from_row: usize,
        to: *mut f32,
        to_row: usize,
    ) {
        let mask = |count: usize| (0xffff_u32 >> (SIDE - count)) as u16;
        let mut lines = [_mm512_setzero_ps(); SIDE];
        for (row, line) in lines.iter_mut().enumerate().take(rows) {
            // SAFETY: as the caller says.
            *line = unsafe {
                let from = from.add(row * from_row);
                match columns {
                    SIDE => _mm512_loadu_ps(from),
                    _ => _mm512_maskz_loadu_ps(mask(columns), from),
                }
            };
        }
        // Pairs of rows, then fours, in each quarter of a vector.
        let twos: [__m512; SIDE] = std::array::from_fn(|at| {
            let (even, odd) = (lines[at / 2 * 2], lines[at / 2 * 2 + 1]);
            if at % 2 == 0 { _mm512_unpacklo_ps(even, odd) } else { _mm512_unpackhi_ps(even, odd) }
        });
        let fours: [__m512; SIDE] = std::array::from_fn(|at| {
            let (four, column) = (at / 4 * 4, at % 4);
            let double = |line: __m512| -> __m512d { _mm512_castps_pd(line) };
            let (first, second) =
                (double(twos[four + column / 2]), double(twos[four + column / 2 + 2]));
            _mm512_castpd_ps(match column % 2 {
                0 => _mm512_unpacklo_pd(first, second),
                _ => _mm512_unpackhi_pd(first, second),
            })
        });
        // `fours[4 * four + column]` has, in quarter `quarter`, column `4 * quarter + column` of rows
        // `4 * four` and on: quarters change places with fours.
        for column in 0..4 {
            let [a, b, c, d] = [0, 4, 8, 12].map(|four| fours[four + column]);
            let low = [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d)];
            let high = [_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d)];
            let quarters = [
                _mm512_shuffle_f32x4::<0x88>(low[0], low[1]),
                _mm512_shuffle_f32x4::<0x88>(high[0], high[1]),
                _mm512_shuffle_f32x4::<0xdd>(low[0], low[1]),
                _mm512_shuffle_f32x4::<0xdd>(high[0], high[1]),
            ];
            for (quarter, line) in quarters.into_iter().enumerate() {
                if 4 * quarter + column < columns {
                    // SAFETY: as the caller says.
                    unsafe {
                        _mm512_mask_storeu_ps(
                            to.add((4 * quarter + column) * to_row),
                            mask(rows),
                            line,
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::*;
    use crate::{simd::dispatch, testing::on_each_instruction_set};

    struct Transpose<'a>([usize; 2], &'a [f32], &'a mut [f32]);

    impl WithSimd for Transpose<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self([rows, columns], from, to) = self;
            // SAFETY: rows of both are one word longer than they need to be.
            unsafe {
                let (from, to) = (from.as_ptr(), to.as_mut_ptr());
                transpose(simd, [rows, columns], from, columns + 1, to, rows + 1);
            }
        }
    }

    #[test]
    fn rows_become_columns_and_nothing_else_is_written() {
        on_each_instruction_set(|set| {
            for (rows, columns) in [(1, 1), (16, 16), (5, 40), (33, 16), (17, 31), (48, 64)] {
                let from: Vec<f32> = (0..rows * (columns + 1)).map(|value| value as f32).collect();
                let mut to = vec![-1.0; columns * (rows + 1)];
                dispatch(Transpose([rows, columns], &from, &mut to));
                for (at, value) in to.into_iter().enumerate() {
                    let (column, row) = (at / (rows + 1), at % (rows + 1));
                    let exact =
                        if row == rows { -1.0 } else { (row * (columns + 1) + column) as f32 };
                    assert_eq!(value, exact, "{set:?} {rows}x{columns} at ({row}, {column})");
                }
            }
        });
    }
}
