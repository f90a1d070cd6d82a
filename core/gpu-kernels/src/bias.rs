//! What follows a product of matrices: a bias for each column, and an activation.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use crate::{
    column_sums::Columns,
    memory::{element, input, new_beside, output},
    parts::{COLUMNS, LANES, Parts, UNITS, write_sum},
};

/// What becomes of a value, in `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x Phi(x)`.
    Gelu,
    /// `x sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))`.
    GeluTanh,
}

const SQRT_HALF: f32 = core::f32::consts::FRAC_1_SQRT_2;
/// One by the root of `2 pi`.
const DENSITY: f32 = 0.398_942_3;
/// `2 sqrt(2 / pi)`, and the same times 0.044715.
const LINEAR: f32 = 1.595_769;
const CUBIC: f32 = 0.071_354_82;

/// Three times [`CUBIC`].
const CUBIC_SLOPE: f32 = 0.214_064_46;

#[cube]
fn value(x: f32, #[comptime] activation: Activation) -> f32 {
    let (one, half) = (f32::new(1.0), f32::new(0.5));
    if comptime!(activation == Activation::Gelu) {
        x * half * ((x * SQRT_HALF).erf() + one)
    } else {
        x / ((-x * (x * x * CUBIC + LINEAR)).exp() + one)
    }
}

#[cube]
fn slope(x: f32, #[comptime] activation: Activation) -> f32 {
    let (one, half) = (f32::new(1.0), f32::new(0.5));
    if comptime!(activation == Activation::Gelu) {
        ((x * SQRT_HALF).erf() + one) * half + x * (-x * x * half).exp() * DENSITY
    } else {
        let gate = one / ((-x * (x * x * CUBIC + LINEAR)).exp() + one);
        gate + x * gate * (one - gate) * (x * x * CUBIC_SLOPE + LINEAR)
    }
}

/// `activation(product + bias)`, a value a unit.
#[cube(launch_unchecked)]
fn activate<E: Float>(
    product: &[E],
    bias: &[f32],
    out: &mut [E],
    count: usize,
    #[comptime] width: usize,
    #[comptime] biased: bool,
    #[comptime] activation: Activation,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < count {
        let mut x = f32::cast_from(product[at]);
        if comptime!(biased) {
            x += bias[at % width];
        }
        out[at] = E::cast_from(value(x, activation));
    }
}

/// `product + bias` in the place of the product, a value a unit.
#[cube(launch_unchecked)]
fn shift<E: Float>(
    product: &mut [E],
    bias: &[f32],
    count: usize,
    #[comptime] width: usize,
    #[define(E)] _element: ElemType,
) {
    let at = ABSOLUTE_POS;
    if at < count {
        product[at] = E::cast_from(f32::cast_from(product[at]) + bias[at % width]);
    }
}

/// The gradient of the product, and of each part of the rows the sum of each column of it.
#[cube(launch_unchecked)]
fn differentiate<E: Float>(
    product: &[E],
    bias: &[f32],
    gradient: &[E],
    dproduct: &mut [E],
    sums: &mut [f32],
    rows: usize,
    rows_of_part: usize,
    #[comptime] width: usize,
    #[comptime] biased: bool,
    #[comptime] activation: Activation,
    #[define(E)] _element: ElemType,
) {
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let (column, lane) = (UNIT_POS as usize % COLUMNS, UNIT_POS as usize / COLUMNS);
    let column = CUBE_POS_X as usize * COLUMNS + column;
    let start = CUBE_POS_Y as usize * rows_of_part;
    let end = min(start + rows_of_part, rows);
    let mut sum = f32::new(0.0);
    if column < width {
        let mut row = start + lane;
        while row < end {
            let at = row * width + column;
            let mut x = f32::cast_from(product[at]);
            if comptime!(biased) {
                x += bias[column];
            }
            let of_product = f32::cast_from(gradient[at]) * slope(x, activation);
            dproduct[at] = E::cast_from(of_product);
            sum += of_product;
            row += LANES;
        }
    }
    write_sum(sum, column, column, width, width, &mut memory, sums);
}

/// `product + bias` of `[rows, width]`, in the memory of the product, which nothing else may have.
pub(crate) fn shifted(product: CubeTensor, bias: CubeTensor) -> CubeTensor {
    let [rows, width] = product.meta.shape().dims();
    let count = rows * width;
    if count > 0 {
        let dim = CubeDim::new(&product.client, count);
        // SAFETY: a unit reads and writes its own of `count` values, and a column of `bias`, which has `width`.
        unsafe {
            shift::launch_unchecked(
                &product.client,
                calculate_cube_count_elemwise(&product.client, count, dim),
                dim,
                output(&product),
                input(&bias),
                count,
                width,
                element(&product),
            );
        }
    }
    product
}

/// `activation(product + bias)` of `[rows, width]`.
pub(crate) fn activated(
    product: CubeTensor,
    bias: Option<CubeTensor>,
    activation: Activation,
) -> CubeTensor {
    let [rows, width] = product.meta.shape().dims();
    let out = new_beside(&product, [rows, width], product.dtype);
    let count = rows * width;
    if count == 0 {
        return out;
    }
    let dim = CubeDim::new(&out.client, count);
    // SAFETY: a unit reads and writes its own of `count` values, and a column of `bias`, which has `width`.
    unsafe {
        activate::launch_unchecked(
            &out.client,
            calculate_cube_count_elemwise(&out.client, count, dim),
            dim,
            input(&product),
            input(bias.as_ref().unwrap_or(&product)),
            output(&out),
            count,
            width,
            bias.is_some(),
            activation,
            element(&product),
        );
    }
    out
}

/// The gradients of the product, and of the bias if there is one, in parts.
pub(crate) fn backward(
    product: CubeTensor,
    bias: Option<CubeTensor>,
    gradient: CubeTensor,
    activation: Activation,
) -> (CubeTensor, Option<Columns>) {
    let [rows, width] = product.meta.shape().dims();
    let dproduct = new_beside(&product, [rows, width], product.dtype);
    let parts = Parts::of(rows, width);
    let sums = new_beside(&product, [parts.count, width], DType::F32);
    // SAFETY: a unit reads and writes rows below `rows` of a column below `width`, and writes one of `sums` in the
    // row of its cube's part; `bias` has `width` values.
    unsafe {
        differentiate::launch_unchecked(
            &product.client,
            parts.cubes(width),
            CubeDim::new_1d(UNITS as u32),
            input(&product),
            input(bias.as_ref().unwrap_or(&product)),
            input(&gradient),
            output(&dproduct),
            output(&sums),
            rows,
            parts.rows,
            width,
            bias.is_some(),
            activation,
            element(&product),
        );
    }
    (dproduct, bias.map(|_| Columns { parts: sums, first: 0, count: width }))
}
