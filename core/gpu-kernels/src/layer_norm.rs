//! Layer normalisation, in `f32` whatever the type of its input.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::{
    memory::{element, input, new_beside, output},
    reduce::{UNITS, cube_number, cube_sum, cubes},
};

/// A cube for each row: `out = (x - mean) / sqrt(variance + eps) * weight + bias`.
#[cube(launch_unchecked)]
fn normalize<E: Float>(
    x: &[E],
    weight: &[f32],
    bias: &[f32],
    out: &mut [E],
    statistics: &mut [f32],
    rows: usize,
    eps: f32,
    #[comptime] width: usize,
    #[define(E)] _element: ElemType,
) {
    let row = cube_number();
    if row >= rows {
        terminate!();
    }
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let (first, unit) = (row * width, UNIT_POS as usize);
    let mut sum = f32::new(0.0);
    let mut at = unit;
    while at < width {
        sum += f32::cast_from(x[first + at]);
        at += UNITS;
    }
    let mean = cube_sum(sum, &mut memory) / comptime!(width as f32);
    let mut squares = f32::new(0.0);
    let mut at = unit;
    while at < width {
        let distance = f32::cast_from(x[first + at]) - mean;
        squares += distance * distance;
        at += UNITS;
    }
    let variance = cube_sum(squares, &mut memory) / comptime!(width as f32);
    let inverse = f32::new(1.0) / (variance + eps).sqrt();
    let mut at = unit;
    while at < width {
        let normal = (f32::cast_from(x[first + at]) - mean) * inverse;
        out[first + at] = E::cast_from(normal * weight[at] + bias[at]);
        at += UNITS;
    }
    if unit == 0 {
        statistics[row * 2] = mean;
        statistics[row * 2 + 1] = inverse;
    }
}

/// A cube for some rows, one after the other. With `n` the normalised row and `g` the gradient times the factors,
/// `dx = inverse * (g - mean(g) - n * mean(g * n))`, plus the gradient that `x` has `beside`; its share of the factors' and summands' gradients,
/// `sum(gradient * n)` and `sum(gradient)`, is one row of `partial`. A unit sums up columns that are [`UNITS`] apart.
#[cube(launch_unchecked)]
fn differentiate<E: Float>(
    x: &[E],
    weight: &[f32],
    statistics: &[f32],
    gradient: &[E],
    beside: &[E],
    dx: &mut [E],
    partial: &mut [f32],
    rows: usize,
    rows_of_cube: usize,
    #[comptime] width: usize,
    #[comptime] added: bool,
    #[comptime] summed: bool,
    #[define(E)] _element: ElemType,
) {
    let cube = cube_number();
    let start = cube * rows_of_cube;
    if start >= rows {
        terminate!();
    }
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let unit = UNIT_POS as usize;
    let columns = comptime!(width.div_ceil(UNITS));
    let mut dweight = Array::<f32>::new(columns);
    let mut dbias = Array::<f32>::new(columns);
    let mut sums = Array::<f32>::new(columns);
    #[unroll]
    for column in 0..columns {
        dweight[column] = f32::new(0.0);
        dbias[column] = f32::new(0.0);
        sums[column] = f32::new(0.0);
    }
    let end = min(start + rows_of_cube, rows);
    for row in start..end {
        let first = row * width;
        let (mean, inverse) = (statistics[row * 2], statistics[row * 2 + 1]);
        let mut sum = f32::new(0.0);
        let mut product = f32::new(0.0);
        #[unroll]
        for column in 0..columns {
            let at = unit + column * UNITS;
            if at < width {
                let normal = (f32::cast_from(x[first + at]) - mean) * inverse;
                let of_out = f32::cast_from(gradient[first + at]);
                dweight[column] += of_out * normal;
                dbias[column] += of_out;
                sum += of_out * weight[at];
                product += of_out * weight[at] * normal;
            }
        }
        let sum = cube_sum(sum, &mut memory) / comptime!(width as f32);
        let product = cube_sum(product, &mut memory) / comptime!(width as f32);
        #[unroll]
        for column in 0..columns {
            let at = unit + column * UNITS;
            if at < width {
                let normal = (f32::cast_from(x[first + at]) - mean) * inverse;
                let scaled = f32::cast_from(gradient[first + at]) * weight[at];
                let mut of_x = (scaled - sum - normal * product) * inverse;
                if comptime!(added) {
                    let other = f32::cast_from(beside[first + at]);
                    of_x += other;
                    if comptime!(summed) {
                        sums[column] += other;
                    }
                }
                dx[first + at] = E::cast_from(of_x);
            }
        }
    }
    #[unroll]
    for column in 0..columns {
        let at = unit + column * UNITS;
        if at < width {
            let share = cube * comptime!(if summed { 3 * width } else { 2 * width }) + at;
            partial[share] = dweight[column];
            partial[share + width] = dbias[column];
            if comptime!(summed) {
                partial[share + 2 * width] = sums[column];
            }
        }
    }
}

/// The sums of the columns of `[parts, lists * width]`, to a list for each `width` of them, of which there are two or
/// three. Sums of 8 units each add up in their order.
#[cube(launch_unchecked)]
fn sum_parts(
    partial: &[f32],
    first: &mut [f32],
    second: &mut [f32],
    third: &mut [f32],
    parts: usize,
    #[comptime] width: usize,
    #[comptime] lists: usize,
) {
    let mut memory = Shared::<[f32]>::new_slice(comptime!(COLUMNS * SUMS));
    let (column, part) = (UNIT_POS as usize % COLUMNS, UNIT_POS as usize / COLUMNS);
    let at = CUBE_POS_X as usize * COLUMNS + column;
    let mut sum = f32::new(0.0);
    if at < comptime!(lists * width) {
        let mut row = part;
        while row < parts {
            sum += partial[row * comptime!(lists * width) + at];
            row += SUMS;
        }
    }
    memory[UNIT_POS as usize] = sum;
    sync_cube();
    if part == 0 && at < comptime!(lists * width) {
        let mut sum = f32::new(0.0);
        #[unroll]
        for part in 0..SUMS {
            sum += memory[part * COLUMNS + column];
        }
        if at < width {
            first[at] = sum;
        } else if at < comptime!(2 * width) {
            second[at - width] = sum;
        } else {
            third[at - comptime!(2 * width)] = sum;
        }
    }
}

/// Columns and sums of each column in a cube of [`sum_parts`].
const COLUMNS: usize = 32;
const SUMS: usize = 8;

/// Cubes that share the rows in backward: enough to fill a large device.
const PARTS: usize = 512;

pub(crate) fn forward(
    x: CubeTensor,
    [weight, bias]: [CubeTensor; 2],
    eps: f32,
) -> (CubeTensor, CubeTensor) {
    let [rows, width] = x.meta.shape().dims();
    let out = new_beside(&x, [rows, width], x.dtype);
    let statistics = new_beside(&x, [rows, 2], DType::F32);
    // SAFETY: a cube reads and writes its row of `width` values, and two of `statistics`; `weight` and `bias` have
    // `width` values.
    unsafe {
        normalize::launch_unchecked(
            &x.client,
            cubes(&x.client, rows),
            CubeDim::new_1d(UNITS as u32),
            input(&x),
            input(&weight),
            input(&bias),
            output(&out),
            output(&statistics),
            rows,
            eps,
            width,
            element(&x),
        );
    }
    (out, statistics)
}

/// What backward gives.
pub(crate) struct Gradients {
    pub(crate) x: CubeTensor,
    pub(crate) weight: CubeTensor,
    pub(crate) bias: CubeTensor,
    /// The sum of each column of the gradient that the input has beside, if it was asked for.
    pub(crate) beside: Option<CubeTensor>,
}

/// The gradients of input, factors and summands. What `beside` has is the input's, too, and `summed` asks for the sums
/// of its columns.
pub(crate) fn backward(
    x: CubeTensor,
    weight: CubeTensor,
    statistics: CubeTensor,
    gradient: CubeTensor,
    beside: Option<CubeTensor>,
    summed: bool,
) -> Gradients {
    let [rows, width] = x.meta.shape().dims();
    let dx = new_beside(&x, [rows, width], x.dtype);
    let rows_of_cube = rows.div_ceil(PARTS).max(1);
    let parts = rows.div_ceil(rows_of_cube);
    let summed = summed && beside.is_some();
    let lists = if summed { 3 } else { 2 };
    let partial = new_beside(&x, [parts, lists * width], DType::F32);
    // SAFETY: a cube reads and writes its rows of `width` values, of `rows`, and its row of `partial`; `weight` has
    // `width` values, `statistics` two for each row.
    unsafe {
        differentiate::launch_unchecked(
            &x.client,
            cubes(&x.client, parts),
            CubeDim::new_1d(UNITS as u32),
            input(&x),
            input(&weight),
            input(&statistics),
            input(&gradient),
            input(beside.as_ref().unwrap_or(&gradient)),
            output(&dx),
            output(&partial),
            rows,
            rows_of_cube,
            width,
            beside.is_some(),
            summed,
            element(&x),
        );
    }
    let [weight, bias, sums] = sums_of_lists(partial, lists);
    Gradients { x: dx, weight, bias, beside: summed.then_some(sums) }
}

/// The sums of the columns of `[parts, lists * width]`, a list for each `width` of them; the third is the first again if
/// there are two.
pub(crate) fn sums_of_lists(partial: CubeTensor, lists: usize) -> [CubeTensor; 3] {
    let [parts, all] = partial.meta.shape().dims();
    let width = all / lists;
    let [first, second] = [(); 2].map(|()| new_beside(&partial, [width], DType::F32));
    let third = match lists {
        2 => first.clone(),
        _ => new_beside(&partial, [width], DType::F32),
    };
    // SAFETY: a unit reads columns below `lists * width` of `parts` rows, and writes one below `width`.
    unsafe {
        sum_parts::launch_unchecked(
            &partial.client,
            CubeCount::new_1d(all.div_ceil(COLUMNS) as u32),
            CubeDim::new_1d((COLUMNS * SUMS) as u32),
            input(&partial),
            output(&first),
            output(&second),
            output(&third),
            parts,
            width,
            lists,
        );
    }
    [first, second, third]
}
