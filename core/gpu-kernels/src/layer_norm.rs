//! Layer normalisation, in `f32` whatever the type of its input.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::{
    column_sums::Columns,
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
    let mut values = Array::<f32>::new(comptime!(width.div_ceil(UNITS)));
    #[unroll]
    for column in 0..comptime!(width.div_ceil(UNITS)) {
        let at = UNIT_POS as usize + column * UNITS;
        values[column] = f32::new(0.0);
        if at < width {
            values[column] = f32::cast_from(x[row * width + at]);
        }
    }
    normalize_row::<E>(&values, weight, bias, out, statistics, row, eps, width);
}

/// Normalises a row, of whose values each unit of a cube has those of columns that are [`UNITS`] apart, and writes mean
/// and inverse deviation, too.
#[cube]
pub(crate) fn normalize_row<E: Float>(
    values: &Array<f32>,
    weight: &[f32],
    bias: &[f32],
    out: &mut [E],
    statistics: &mut [f32],
    row: usize,
    eps: f32,
    #[comptime] width: usize,
) {
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let unit = UNIT_POS as usize;
    let columns = comptime!(width.div_ceil(UNITS));
    let mut sum = f32::new(0.0);
    #[unroll]
    for column in 0..columns {
        if unit + column * UNITS < width {
            sum += values[column];
        }
    }
    let mean = cube_sum(sum, &mut memory) / comptime!(width as f32);
    let mut squares = f32::new(0.0);
    #[unroll]
    for column in 0..columns {
        if unit + column * UNITS < width {
            let distance = values[column] - mean;
            squares += distance * distance;
        }
    }
    let variance = cube_sum(squares, &mut memory) / comptime!(width as f32);
    let inverse = f32::new(1.0) / (variance + eps).sqrt();
    #[unroll]
    for column in 0..columns {
        let at = unit + column * UNITS;
        if at < width {
            let normal = (values[column] - mean) * inverse;
            out[row * width + at] = E::cast_from(normal * weight[at] + bias[at]);
        }
    }
    if unit == 0 {
        statistics[row * 2] = mean;
        statistics[row * 2 + 1] = inverse;
    }
}

/// A cube for some rows, one after the other. With `n` the normalised row and `g` the gradient times the factors,
/// `dx = inverse * (g - mean(g) - n * mean(g * n))`, plus the gradient that `x` has `beside`. Its share of the factors'
/// and summands' gradients, `sum(gradient * n)` and `sum(gradient)`, is one row of `partial`, followed by the sums of
/// what is `beside`, and of rows of `other_width` values that have nothing to do with it. A unit sums up columns that
/// are [`UNITS`] apart.
#[cube(launch_unchecked)]
fn differentiate<E: Float>(
    x: &[E],
    weight: &[f32],
    statistics: &[f32],
    gradient: &[E],
    beside: &[E],
    other: &[E],
    dx: &mut [E],
    partial: &mut [f32],
    rows: usize,
    rows_of_cube: usize,
    #[comptime] width: usize,
    #[comptime] other_width: usize,
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
    let other_columns = comptime!(other_width.div_ceil(UNITS));
    let mut other_sums = Array::<f32>::new(comptime!(other_width.div_ceil(UNITS).max(1)));
    #[unroll]
    for column in 0..other_columns {
        other_sums[column] = f32::new(0.0);
    }
    let end = min(start + rows_of_cube, rows);
    for row in start..end {
        #[unroll]
        for column in 0..other_columns {
            let at = unit + column * UNITS;
            if at < other_width {
                other_sums[column] += f32::cast_from(other[row * other_width + at]);
            }
        }
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
    let of_width = comptime!(if summed { 3 * width } else { 2 * width });
    let share = cube * comptime!(of_width + other_width) + unit;
    #[unroll]
    for column in 0..columns {
        if unit + column * UNITS < width {
            let at = share + column * UNITS;
            partial[at] = dweight[column];
            partial[at + width] = dbias[column];
            if comptime!(summed) {
                partial[at + 2 * width] = sums[column];
            }
        }
    }
    #[unroll]
    for column in 0..other_columns {
        if unit + column * UNITS < other_width {
            partial[share + of_width + column * UNITS] = other_sums[column];
        }
    }
}

/// Cubes that share the rows in backward: enough to fill a large device.
const PARTS: usize = 512;

/// A LayerNorm.
pub(crate) struct Norm {
    /// Factors and summands.
    pub(crate) parameters: [CubeTensor; 2],
    /// Added to the variance.
    pub(crate) eps: f32,
}

/// The normalised rows, and mean and inverse deviation of each.
pub(crate) fn forward(x: CubeTensor, norm: Norm) -> [CubeTensor; 2] {
    let Norm { parameters: [weight, bias], eps } = norm;
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
    [out, statistics]
}

/// What backward sums up on the way.
#[derive(Default)]
pub(crate) struct Besides {
    /// Another gradient of the input, which is added.
    pub(crate) gradient: Option<CubeTensor>,
    /// Whether the columns of that are summed up, too.
    pub(crate) summed: bool,
    /// Rows whose columns are summed up, as many as the input has.
    pub(crate) other: Option<CubeTensor>,
}

/// What backward gives: the gradient of the input, and sums in parts.
pub(crate) struct Gradients {
    pub(crate) x: CubeTensor,
    /// Those that are the gradients of factors and summands.
    pub(crate) norm: [Columns; 2],
    /// Those of the other gradient of the input, if they were asked for.
    pub(crate) gradient: Option<Columns>,
    /// Those of other rows, if there were any.
    pub(crate) other: Option<Columns>,
}

/// The gradients of input, factors and summands, from that of the result.
pub(crate) fn backward(
    x: CubeTensor,
    weight: CubeTensor,
    statistics: CubeTensor,
    gradient: CubeTensor,
    besides: Besides,
) -> Gradients {
    let [rows, width] = x.meta.shape().dims();
    let dx = new_beside(&x, [rows, width], x.dtype);
    let rows_of_cube = rows.div_ceil(PARTS).max(1);
    let parts = rows.div_ceil(rows_of_cube);
    let Besides { gradient: beside, summed, other } = besides;
    let summed = summed && beside.is_some();
    let other_width = other.as_ref().map_or(0, |other| other.meta.shape()[1]);
    let lists = if summed { 3 } else { 2 };
    let partial = new_beside(&x, [parts, lists * width + other_width], DType::F32);
    // SAFETY: a cube reads and writes its rows of `width` values, of `rows`, and its row of `partial`, and reads rows
    // of `other_width` values, of which there are as many; `weight` has `width` values, `statistics` two for each row.
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
            input(other.as_ref().unwrap_or(&gradient)),
            output(&dx),
            output(&partial),
            rows,
            rows_of_cube,
            width,
            other_width,
            beside.is_some(),
            summed,
            element(&x),
        );
    }
    let columns = |first, count| Columns { parts: partial.clone(), first, count };
    Gradients {
        x: dx,
        norm: [columns(0, width), columns(width, width)],
        gradient: summed.then(|| columns(2 * width, width)),
        other: other.map(|_| columns(lists * width, other_width)),
    }
}
