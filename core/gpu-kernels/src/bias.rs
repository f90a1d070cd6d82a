//! What follows a product of matrices: a bias for each column, and an activation.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::{calculate_cube_count_elemwise, prelude::*};

use crate::memory::{element, input, new_beside, output};

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

/// Columns of a cube, and how many of its units share one.
pub(crate) const COLUMNS: usize = 64;
pub(crate) const LANES: usize = 4;
pub(crate) const UNITS: usize = COLUMNS * LANES;

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

/// Of each part of the rows the sum of each column.
#[cube(launch_unchecked)]
fn sum_columns<E: Float>(
    values: &[E],
    sums: &mut [f32],
    rows: usize,
    rows_of_part: usize,
    #[comptime] width: usize,
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
            sum += f32::cast_from(values[row * width + column]);
            row += LANES;
        }
    }
    write_sum(sum, column, column, width, width, &mut memory, sums);
}

/// Writes what the units of a column have summed up, to a place in the row of the cube's part, of `row` sums.
#[cube]
pub(crate) fn write_sum(
    sum: f32,
    column: usize,
    place: usize,
    #[comptime] row: usize,
    #[comptime] width: usize,
    memory: &mut Shared<[f32]>,
    sums: &mut [f32],
) {
    let unit = UNIT_POS as usize;
    memory[unit] = sum;
    sync_cube();
    if unit < COLUMNS && column < width {
        let mut all = f32::new(0.0);
        #[unroll]
        for lane in 0..LANES {
            all += memory[lane * COLUMNS + unit];
        }
        sums[CUBE_POS_Y as usize * row + place] = all;
    }
}

/// How rows are shared among cubes: how many are in each part, and how many parts there are.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    pub(crate) rows: usize,
    pub(crate) count: usize,
}

/// Cubes that fill a large device.
const ENOUGH: usize = 512;
/// Rows that are worth a cube.
const FEWEST: usize = 32;

impl Parts {
    pub(crate) fn of(rows: usize, width: usize) -> Self {
        let most = ENOUGH.div_ceil(width.div_ceil(COLUMNS).max(1));
        let of_part = rows.div_ceil(most).max(FEWEST);
        Self { rows: of_part, count: rows.div_ceil(of_part).max(1) }
    }

    pub(crate) fn cubes(self, width: usize) -> CubeCount {
        CubeCount::new_2d(width.div_ceil(COLUMNS) as u32, self.count as u32)
    }
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

/// The gradients of the product, and of the bias if there is one.
pub(crate) fn backward(
    product: CubeTensor,
    bias: Option<CubeTensor>,
    gradient: CubeTensor,
    activation: Activation,
) -> (CubeTensor, Option<CubeTensor>) {
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
    (dproduct, bias.map(|_| column_sums(sums)))
}

/// The sum of each column of `[rows, width]`: `[width]`, in `f32`.
pub(crate) fn column_sums(mut values: CubeTensor) -> CubeTensor {
    loop {
        let [rows, width] = values.meta.shape().dims();
        let parts = match rows <= ENOUGH {
            true => Parts { rows: rows.max(1), count: 1 },
            false => Parts::of(rows, width),
        };
        let is_last = parts.count == 1;
        let sums = match is_last {
            true => new_beside(&values, [width], DType::F32),
            false => new_beside(&values, [parts.count, width], DType::F32),
        };
        // SAFETY: a unit reads rows below `rows` of a column below `width`, and writes one of `sums` in the row of
        // its cube's part.
        unsafe {
            sum_columns::launch_unchecked(
                &values.client,
                parts.cubes(width),
                CubeDim::new_1d(UNITS as u32),
                input(&values),
                output(&sums),
                rows,
                parts.rows,
                width,
                element(&values),
            );
        }
        if is_last {
            return sums;
        }
        values = sums;
    }
}
