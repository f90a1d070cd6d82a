//! The inverse DCT, also to fewer values: each is then, as in libjpeg-turbo, the mean of those that
//! take its place at full size.
//!
//! In `f32`, one axis after the other, all lines of a block at once. Frequencies are in the outer
//! dimension, so that every operation is one on a vector.

use crate::Block;

/// Factors for each coefficient: of the quantisation table, and of the transform. Orders are those of
/// [`Block`].
pub(crate) fn factors(quantisation: &[u16; 64]) -> [f32; 64] {
    // The mean has less weight than other frequencies.
    let weight = |frequency: usize| if frequency == 0 { 0.5_f64.sqrt() / 2.0 } else { 0.5 };
    std::array::from_fn(|at| (f64::from(quantisation[at]) * weight(at / 8) * weight(at % 8)) as f32)
}

/// A transform of a block to `across` x `down` values in rows of `stride`.
pub(crate) type Transform = fn(&Block, &[f32; 64], &mut [u8], usize);

/// The transform to `across` x `down` values, each 1, 2, 4 or 8, and one at most twice the other.
pub(crate) fn transform(across: u32, down: u32) -> Transform {
    match (across, down) {
        (8, 8) => run::<8, 8>,
        (8, 4) => run::<8, 4>,
        (4, 8) => run::<4, 8>,
        (4, 4) => run::<4, 4>,
        (4, 2) => run::<4, 2>,
        (2, 4) => run::<2, 4>,
        (2, 2) => run::<2, 2>,
        (2, 1) => run::<2, 1>,
        (1, 2) => run::<1, 2>,
        _ => run::<1, 1>,
    }
}

fn run<const H: usize, const V: usize>(
    block: &Block,
    factors: &[f32; 64],
    out: &mut [u8],
    stride: usize,
) {
    if block.last == 0 {
        let value = byte(f32::from(block.values[0]) * factors[0]);
        for row in out.chunks_mut(stride).take(V) {
            row[..H].fill(value);
        }
        return;
    }
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { plain_avx2::<H, V>(block, factors, out, stride) };
    }
    plain::<H, V>(block, factors, out, stride);
}

/// The same in longer vectors; no operation is another, so values are the same, too.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn plain_avx2<const H: usize, const V: usize>(
    block: &Block,
    factors: &[f32; 64],
    out: &mut [u8],
    stride: usize,
) {
    plain::<H, V>(block, factors, out, stride);
}

#[inline(always)]
fn plain<const H: usize, const V: usize>(
    block: &Block,
    factors: &[f32; 64],
    out: &mut [u8],
    stride: usize,
) {
    let mut frequencies = [[0.0; 8]; 8];
    for (at, (&value, factor)) in block.values.iter().zip(factors).enumerate() {
        frequencies[at / 8][at % 8] = f32::from(value) * factor;
    }
    let columns = inverse(fold::<H, 8>(frequencies));
    let mut turned = [[0.0; H]; 8];
    for v in 0..8 {
        for x in 0..H {
            turned[v][x] = columns[x][v];
        }
    }
    let rows = inverse(fold::<V, H>(turned));
    for (row, out) in rows.iter().zip(out.chunks_mut(stride)) {
        for (value, out) in row.iter().zip(&mut out[..H]) {
            *out = byte(*value);
        }
    }
}

/// The N coefficients of means of 8 / N values each, for every lane. Averaging weakens frequency k by
/// cos(k pi / 16), and half of that again by cos(k pi / 8); what is too fast for N values looks like a slower one.
#[inline(always)]
fn fold<const N: usize, const L: usize>(y: [[f32; L]; 8]) -> [[f32; L]; N] {
    const PAIRS: [f32; 3] = [COS8[1], COS8[2], COS8[3]];
    const PAIRED: [f32; 3] = [COS8[7], COS8[6], COS8[5]];
    let mut folded = [[0.0; L]; N];
    for lane in 0..L {
        match N {
            8 => (0..8).for_each(|k| folded[k][lane] = y[k][lane]),
            4 => {
                folded[0][lane] = y[0][lane];
                for k in 1..4 {
                    folded[k][lane] = PAIRS[k - 1] * y[k][lane] - PAIRED[k - 1] * y[8 - k][lane];
                }
            }
            2 => {
                folded[0][lane] = y[0][lane];
                folded[1][lane] = (COS8[1] * COS8[2] * y[1][lane] - COS8[3] * COS8[6] * y[3][lane])
                    + (COS8[5] * COS8[6] * y[5][lane] - COS8[7] * COS8[2] * y[7][lane]);
            }
            _ => folded[0][lane] = y[0][lane],
        }
    }
    folded
}

/// `x[n]` = sum over k of `y[k] cos((2 n + 1) k pi / (2 N))`, for every lane.
#[inline(always)]
fn inverse<const N: usize, const L: usize>(y: [[f32; L]; N]) -> [[f32; L]; N] {
    let mut x = y;
    match N {
        8 => inverse8(&y[..], &mut x[..]),
        4 => inverse4(&y[..], &mut x[..]),
        2 => {
            for lane in 0..L {
                let odd = COS8[4] * y[1][lane];
                x[0][lane] = y[0][lane] + odd;
                x[1][lane] = y[0][lane] - odd;
            }
        }
        _ => {}
    }
    x
}

/// cos(k pi / 16).
const COS8: [f32; 8] = [
    1.0,
    0.980_785_25,
    0.923_879_5,
    0.831_469_6,
    0.707_106_77,
    0.555_570_24,
    0.382_683_43,
    0.195_090_32,
];

#[inline(always)]
fn inverse4<const L: usize>(y: &[[f32; L]], x: &mut [[f32; L]]) {
    for lane in 0..L {
        let y = |k: usize| y[k][lane];
        let (sum, difference) = (y(0) + COS8[4] * y(2), y(0) - COS8[4] * y(2));
        let outer = COS8[2] * y(1) + COS8[6] * y(3);
        let inner = COS8[6] * y(1) - COS8[2] * y(3);
        x[0][lane] = sum + outer;
        x[1][lane] = difference + inner;
        x[2][lane] = difference - inner;
        x[3][lane] = sum - outer;
    }
}

#[inline(always)]
fn inverse8<const L: usize>(y: &[[f32; L]], x: &mut [[f32; L]]) {
    let [_, c1, c2, c3, c4, c5, c6, c7] = COS8;
    for lane in 0..L {
        let y = |k: usize| y[k][lane];
        let (sum, difference) = (y(0) + c4 * y(4), y(0) - c4 * y(4));
        let outer = c2 * y(2) + c6 * y(6);
        let inner = c6 * y(2) - c2 * y(6);
        let even = [sum + outer, difference + inner, difference - inner, sum - outer];
        let (y1, y3, y5, y7) = (y(1), y(3), y(5), y(7));
        let odd = [
            (c1 * y1 + c3 * y3) + (c5 * y5 + c7 * y7),
            (c3 * y1 - c7 * y3) - (c1 * y5 + c5 * y7),
            (c5 * y1 - c1 * y3) + (c7 * y5 + c3 * y7),
            (c7 * y1 - c5 * y3) + (c3 * y5 - c1 * y7),
        ];
        for n in 0..4 {
            x[n][lane] = even[n] + odd[n];
            x[7 - n][lane] = even[n] - odd[n];
        }
    }
}

/// A value around 0 as a byte around 128.
#[inline(always)]
fn byte(value: f32) -> u8 {
    // A little more, so that halves are rounded up as in libjpeg.
    let value = value + 128.001;
    let value = if value > 0.0 { value } else { 0.0 };
    let value = if value < 255.0 { value } else { 255.0 };
    // 2^23 leaves whole numbers in the lowest bits, rounded.
    (value + 8_388_608.0).to_bits() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transform by its definition, and means of its values.
    fn reference(block: &Block, quantisation: &[u16; 64], across: usize, down: usize) -> Vec<f64> {
        let cos = |n: usize, k: usize| {
            let weight = if k == 0 { 0.5_f64.sqrt() } else { 1.0 };
            weight / 2.0 * ((2 * n + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0).cos()
        };
        let mut values = vec![128.0; across * down];
        let factors = block.values.iter().zip(quantisation);
        for (at, (&value, &factor)) in factors.enumerate() {
            let value = f64::from(value) * f64::from(factor);
            for pixel in 0..64 {
                let (x, y) = (pixel % 8, pixel / 8);
                values[y * down / 8 * across + x * across / 8] +=
                    value * cos(x, at / 8) * cos(y, at % 8) * (across * down) as f64 / 64.0;
            }
        }
        values.iter().map(|value| value.clamp(0.0, 255.0)).collect()
    }

    #[test]
    fn values_are_those_of_the_definition() {
        let sizes =
            [(8, 8), (8, 4), (4, 8), (4, 4), (4, 2), (2, 4), (2, 2), (2, 1), (1, 2), (1, 1)];
        let mut state = 7_u32;
        let mut random = move |below: i32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as i32 % below
        };
        for round in 0..40 {
            let spread = 1 + round * 3;
            let values = std::array::from_fn(|_| (random(2 * spread) - spread) as i16);
            let quantisation = std::array::from_fn(|_| 1 + random(20) as u16);
            let block = Block { values, last: 63 };
            for (across, down) in sizes {
                let (across, down) = (across as usize, down as usize);
                let mut out = vec![0; 10 * down];
                let run = transform(across as u32, down as u32);
                run(&block, &factors(&quantisation), &mut out, 10);
                let expected = reference(&block, &quantisation, across, down);
                for (at, expected) in expected.iter().enumerate() {
                    let found = out[at / across * 10 + at % across];
                    let error = (f64::from(found) - expected).abs();
                    assert!(error < 0.502, "{across} x {down}, {at}: {found} for {expected}");
                }
                assert!(out.chunks(10).all(|row| row[across..].iter().all(|&v| v == 0)));
            }
        }
    }

    #[test]
    fn a_mean_fills_the_block() {
        let mut block = Block { values: [0; 64], last: 0 };
        block.values[0] = -20;
        let mut out = [0; 64];
        transform(8, 8)(&block, &factors(&[16; 64]), &mut out, 8);
        assert_eq!(out, [88; 64]);
    }
}
