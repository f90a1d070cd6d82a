//! The end of a half: bias, LayerScale, drop path, and the sum with what goes into it.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use crate::{
    column_sums::Columns,
    layer_norm::{Norm, normalize_row},
    memory::{element, input, new_beside, output},
    parts::{COLUMNS, LANES, Parts, UNITS, write_sum},
    reduce::{self, cube_number, cubes},
};

/// What lies around the last product of a half.
pub(super) struct Around {
    /// Added to each row.
    pub(super) bias: Option<CubeTensor>,
    /// Multiplied with each row.
    pub(super) layer_scale: Option<CubeTensor>,
    /// Multiplied with each sample.
    pub(super) sample_scales: Option<CubeTensor>,
    /// Rows of a sample.
    pub(super) tokens: usize,
}

/// Which of these there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct There {
    biased: bool,
    scaled: bool,
    dropped: bool,
}

impl Around {
    fn there(&self) -> There {
        There {
            biased: self.bias.is_some(),
            scaled: self.layer_scale.is_some(),
            dropped: self.sample_scales.is_some(),
        }
    }
}

/// `x + sample_scale * layer_scale * (product + bias)`, of one value, rounded.
#[cube]
fn sum<E: Float>(
    x: &[E],
    product: &[E],
    bias: &[f32],
    layer_scale: &[f32],
    sample_scales: &[f32],
    at: usize,
    of_sample: usize,
    #[comptime] width: usize,
    #[comptime] there: There,
) -> E {
    let mut value = f32::cast_from(product[at]);
    if comptime!(there.biased) {
        value += bias[at % width];
    }
    if comptime!(there.scaled) {
        value *= layer_scale[at % width];
    }
    if comptime!(there.dropped) {
        value *= sample_scales[at / of_sample];
    }
    E::cast_from(f32::cast_from(x[at]) + value)
}

/// [`sum`] of all, a value a unit.
#[cube(launch_unchecked)]
fn add<E: Float>(
    x: &[E],
    product: &[E],
    bias: &[f32],
    layer_scale: &[f32],
    sample_scales: &[f32],
    out: &mut [E],
    count: usize,
    of_sample: usize,
    #[comptime] width: usize,
    #[comptime] there: There,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < count {
        out[at] =
            sum::<E>(x, product, bias, layer_scale, sample_scales, at, of_sample, width, there);
    }
}

/// The same, and LayerNorm of it, a row a cube.
#[cube(launch_unchecked)]
fn add_and_normalize<E: Float>(
    x: &[E],
    product: &[E],
    bias: &[f32],
    layer_scale: &[f32],
    sample_scales: &[f32],
    norm_weight: &[f32],
    norm_bias: &[f32],
    out: &mut [E],
    normed: &mut [E],
    statistics: &mut [f32],
    rows: usize,
    of_sample: usize,
    eps: f32,
    #[comptime] width: usize,
    #[comptime] there: There,
    #[define(E)] _element: ElemType,
) {
    let row = cube_number();
    if row >= rows {
        terminate!();
    }
    let columns = comptime!(width.div_ceil(reduce::UNITS));
    let mut values = Array::<f32>::new(columns);
    #[unroll]
    for column in 0..columns {
        let at = UNIT_POS as usize + column * reduce::UNITS;
        values[column] = f32::new(0.0);
        if at < width {
            let at = row * width + at;
            let value =
                sum::<E>(x, product, bias, layer_scale, sample_scales, at, of_sample, width, there);
            out[at] = value;
            values[column] = f32::cast_from(value);
        }
    }
    normalize_row::<E>(&values, norm_weight, norm_bias, normed, statistics, row, eps, width);
}

/// The gradient of the product, and of each part of the rows the sums of each column that are the gradients of the
/// bias and of LayerScale.
#[cube(launch_unchecked)]
fn differentiate<E: Float>(
    product: &[E],
    bias: &[f32],
    layer_scale: &[f32],
    sample_scales: &[f32],
    gradient: &[E],
    dproduct: &mut [E],
    sums: &mut [f32],
    rows: usize,
    rows_of_part: usize,
    tokens: usize,
    #[comptime] width: usize,
    #[comptime] there: There,
    #[define(E)] _element: ElemType,
) {
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let (column, lane) = (UNIT_POS as usize % COLUMNS, UNIT_POS as usize / COLUMNS);
    let column = CUBE_POS_X as usize * COLUMNS + column;
    let start = CUBE_POS_Y as usize * rows_of_part;
    let end = min(start + rows_of_part, rows);
    let mut of_bias = f32::new(0.0);
    let mut of_scale = f32::new(0.0);
    if column < width {
        let mut row = start + lane;
        while row < end {
            let at = row * width + column;
            let mut value = f32::cast_from(gradient[at]);
            if comptime!(there.dropped) {
                value *= sample_scales[row / tokens];
            }
            if comptime!(there.scaled) {
                let mut scaled = f32::cast_from(product[at]);
                if comptime!(there.biased) {
                    scaled += bias[column];
                }
                of_scale += value * scaled;
                value *= layer_scale[column];
            }
            dproduct[at] = E::cast_from(value);
            of_bias += value;
            row += LANES;
        }
    }
    write_sum(of_bias, column, column, comptime!(2 * width), width, &mut memory, sums);
    sync_cube();
    write_sum(of_scale, column, column + width, comptime!(2 * width), width, &mut memory, sums);
}

/// A tensor, or what is in the place of one and not read.
fn or(tensor: Option<&CubeTensor>, other: &CubeTensor) -> BufferArg {
    input(tensor.unwrap_or(other))
}

/// The sum, and if another half comes next, what its LayerNorm gives, with mean and inverse deviation of each row.
pub(super) fn forward(
    x: CubeTensor,
    product: CubeTensor,
    around: Around,
    next: Option<Norm>,
) -> (CubeTensor, Option<[CubeTensor; 2]>) {
    let [rows, width] = x.meta.shape().dims();
    let out = new_beside(&x, [rows, width], x.dtype);
    let of_sample = around.tokens * width;
    let Some(Norm { parameters: [norm_weight, norm_bias], eps }) = next else {
        let count = rows * width;
        if count == 0 {
            return (out, None);
        }
        let dim = CubeDim::new(&out.client, count);
        // SAFETY: a unit reads and writes its own of `count` values, a column of `bias` and `layer_scale`, which have
        // `width`, and a sample of `sample_scales`, which has one for each `tokens` rows.
        unsafe {
            add::launch_unchecked(
                &out.client,
                calculate_cube_count_elemwise(&out.client, count, dim),
                dim,
                input(&x),
                input(&product),
                or(around.bias.as_ref(), &x),
                or(around.layer_scale.as_ref(), &x),
                or(around.sample_scales.as_ref(), &x),
                output(&out),
                count,
                of_sample,
                width,
                around.there(),
                element(&x),
            );
        }
        return (out, None);
    };
    let normed = new_beside(&x, [rows, width], x.dtype);
    let statistics = new_beside(&x, [rows, 2], DType::F32);
    // SAFETY: as above, where a unit has columns below `width` of one of `rows` rows; LayerNorm's factors and summands
    // have `width` values, `statistics` two for each row.
    unsafe {
        add_and_normalize::launch_unchecked(
            &out.client,
            cubes(&out.client, rows),
            CubeDim::new_1d(reduce::UNITS as u32),
            input(&x),
            input(&product),
            or(around.bias.as_ref(), &x),
            or(around.layer_scale.as_ref(), &x),
            or(around.sample_scales.as_ref(), &x),
            input(&norm_weight),
            input(&norm_bias),
            output(&out),
            output(&normed),
            output(&statistics),
            rows,
            of_sample,
            eps,
            width,
            around.there(),
            element(&x),
        );
    }
    (out, Some([normed, statistics]))
}

/// The gradients of the product, and in parts those of bias and LayerScale where these are. That of the bias is left to
/// whoever reads the gradient anyhow, where it is the sum of its columns: where nothing is scaled or dropped.
pub(super) struct OfLast {
    pub(super) product: CubeTensor,
    pub(super) bias: Option<Columns>,
    pub(super) layer_scale: Option<Columns>,
}

/// The product is there if LayerScale is.
pub(super) fn backward(
    gradient: CubeTensor,
    product: Option<CubeTensor>,
    around: Around,
) -> OfLast {
    let there = around.there();
    if !there.scaled && !there.dropped {
        return OfLast { product: gradient, bias: None, layer_scale: None };
    }
    let [rows, width] = gradient.meta.shape().dims();
    let dproduct = new_beside(&gradient, [rows, width], gradient.dtype);
    let parts = Parts::of(rows, width);
    let sums = new_beside(&gradient, [parts.count, 2 * width], DType::F32);
    // SAFETY: a unit reads and writes rows below `rows` of a column below `width`, the samples that these are of, and
    // writes two of `sums` in the row of its cube's part.
    unsafe {
        differentiate::launch_unchecked(
            &gradient.client,
            parts.cubes(width),
            CubeDim::new_1d(UNITS as u32),
            or(product.as_ref(), &gradient),
            or(around.bias.as_ref(), &gradient),
            or(around.layer_scale.as_ref(), &gradient),
            or(around.sample_scales.as_ref(), &gradient),
            input(&gradient),
            output(&dproduct),
            output(&sums),
            rows,
            parts.rows,
            around.tokens,
            width,
            there,
            element(&gradient),
        );
    }
    let columns = |first| Columns { parts: sums.clone(), first, count: width };
    OfLast {
        product: dproduct,
        bias: there.biased.then(|| columns(0)),
        layer_scale: there.scaled.then(|| columns(width)),
    }
}
