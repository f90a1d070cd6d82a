//! The end of a branch: bias, LayerScale, drop path, and the sum with what it is a branch of.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use crate::{
    bias::{COLUMNS, LANES, Parts, UNITS, write_sum},
    layer_norm::sums_of_lists,
    memory::{element, input, new_beside, output},
};

/// What lies around the last product of a branch.
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

/// `out = x + sample_scale * layer_scale * (product + bias)`, a value a unit.
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
        out[at] = E::cast_from(f32::cast_from(x[at]) + value);
    }
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

pub(super) fn forward(x: CubeTensor, product: CubeTensor, around: Around) -> CubeTensor {
    let [rows, width] = x.meta.shape().dims();
    let out = new_beside(&x, [rows, width], x.dtype);
    let count = rows * width;
    if count == 0 {
        return out;
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
            around.tokens * width,
            width,
            around.there(),
            element(&x),
        );
    }
    out
}

/// The gradients of the product, and of bias and LayerScale where these are. That of the bias is left to whoever reads
/// the gradient anyhow, where it is the sum of its columns: where nothing is scaled or dropped.
pub(super) struct OfLast {
    pub(super) product: CubeTensor,
    pub(super) bias: Option<CubeTensor>,
    pub(super) layer_scale: Option<CubeTensor>,
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
    let [bias, layer_scale, _] = sums_of_lists(sums, 2);
    OfLast {
        product: dproduct,
        bias: there.biased.then_some(bias),
        layer_scale: there.scaled.then_some(layer_scale),
    }
}
