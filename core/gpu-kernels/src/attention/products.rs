//! The two products of attention, of tiles in shared memory: by plain arithmetic, and by tensor cores.
//!
//! Each group of units owns [`SIDE`] rows. What is in a group's rows of `scores` and `weights` is that group's
//! alone.

use cubecl::{cmma, prelude::*};

use super::tiling::{GROUP, SIDE, Tiling};

/// How a group of units multiplies.
#[cube]
pub(super) trait Products: Send + Sync + 'static {
    /// Sums of `[SIDE, padded]` values that a group adds to.
    type Sums: CubeType;

    /// Sums of nothing.
    fn nothing(#[comptime] tiling: Tiling) -> Self::Sums;

    /// `scores = own movingᵀ`, of the group's rows.
    fn score<E: Float>(
        own: &Shared<[E]>,
        moving: &Shared<[E]>,
        scores: &mut Shared<[f32]>,
        #[comptime] tiling: Tiling,
    );

    /// `sums += weights moving`, of the group's rows.
    fn add<E: Float>(
        sums: &mut Self::Sums,
        weights: &Shared<[E]>,
        moving: &Shared<[E]>,
        #[comptime] tiling: Tiling,
    );

    /// `out = factor * sums`, of those of the cube's rows that are among the first `rows`. They begin at `first`
    /// and lie `stride` apart. What is in `scores` is lost.
    fn write<E: Float>(
        sums: &Self::Sums,
        scores: &mut Shared<[f32]>,
        out: &mut [E],
        first: usize,
        stride: usize,
        rows: usize,
        factor: f32,
        #[comptime] tiling: Tiling,
    );
}

/// Plain arithmetic in `f32`. A unit has four rows, and every eighth column.
pub(super) struct Plain;

const ROWS: usize = 4;
const APART: usize = GROUP * ROWS / SIDE;

/// The first row of a unit among the cube's.
#[cube]
fn first_row() -> usize {
    let lane = UNIT_POS as usize % GROUP;
    UNIT_POS as usize / GROUP * SIDE + lane / APART * ROWS
}

/// The first column of a unit.
#[cube]
fn first_column() -> usize {
    UNIT_POS as usize % APART
}

#[cube]
impl Products for Plain {
    type Sums = Array<f32>;

    fn nothing(#[comptime] tiling: Tiling) -> Array<f32> {
        let count = comptime!(ROWS * tiling.padded / APART);
        let mut sums = Array::<f32>::new(count);
        #[unroll]
        for at in 0..count {
            sums[at] = f32::new(0.0);
        }
        sums
    }

    fn score<E: Float>(
        own: &Shared<[E]>,
        moving: &Shared<[E]>,
        scores: &mut Shared<[f32]>,
        #[comptime] tiling: Tiling,
    ) {
        let columns = comptime!(tiling.moving / APART);
        let count = comptime!(ROWS * columns);
        let (row, column) = (first_row(), first_column());
        let mut sums = Array::<f32>::new(count);
        #[unroll]
        for at in 0..count {
            sums[at] = f32::new(0.0);
        }
        let mut right = Array::<f32>::new(columns);
        for inner in 0..comptime!(tiling.width) {
            #[unroll]
            for j in 0..columns {
                right[j] = f32::cast_from(moving[(column + j * APART) * tiling.pitch + inner]);
            }
            #[unroll]
            for i in 0..ROWS {
                let left = f32::cast_from(own[(row + i) * tiling.pitch + inner]);
                #[unroll]
                for j in 0..columns {
                    sums[i * columns + j] += left * right[j];
                }
            }
        }
        #[unroll]
        for i in 0..ROWS {
            #[unroll]
            for j in 0..columns {
                scores[(row + i) * tiling.scores_pitch + column + j * APART] =
                    sums[i * columns + j];
            }
        }
    }

    fn add<E: Float>(
        sums: &mut Array<f32>,
        weights: &Shared<[E]>,
        moving: &Shared<[E]>,
        #[comptime] tiling: Tiling,
    ) {
        let columns = comptime!(tiling.padded / APART);
        let (row, column) = (first_row(), first_column());
        let mut right = Array::<f32>::new(columns);
        for inner in 0..comptime!(tiling.moving) {
            #[unroll]
            for j in 0..columns {
                right[j] = f32::cast_from(moving[inner * tiling.pitch + column + j * APART]);
            }
            #[unroll]
            for i in 0..ROWS {
                let left = f32::cast_from(weights[(row + i) * tiling.weights_pitch + inner]);
                #[unroll]
                for j in 0..columns {
                    sums[i * columns + j] += left * right[j];
                }
            }
        }
    }

    fn write<E: Float>(
        sums: &Array<f32>,
        _scores: &mut Shared<[f32]>,
        out: &mut [E],
        first: usize,
        stride: usize,
        rows: usize,
        factor: f32,
        #[comptime] tiling: Tiling,
    ) {
        let columns = comptime!(tiling.padded / APART);
        let (row, column) = (first_row(), first_column());
        #[unroll]
        for i in 0..ROWS {
            #[unroll]
            for j in 0..columns {
                let at = column + j * APART;
                if row + i < rows && at < tiling.width {
                    out[first + (row + i) * stride + at] =
                        E::cast_from(sums[i * columns + j] * factor);
                }
            }
        }
    }
}

/// Tensor cores, which take `bf16` and `f16` and sum in `f32`. A group is a plane.
pub(super) struct Cores;

#[cube]
impl Products for Cores {
    type Sums = Sequence<cmma::Matrix<f32>>;

    fn nothing(#[comptime] tiling: Tiling) -> Sequence<cmma::Matrix<f32>> {
        let mut sums = Sequence::<cmma::Matrix<f32>>::new();
        #[unroll]
        for _ in 0..comptime!(tiling.padded / SIDE) {
            sums.push(zeros());
        }
        sums
    }

    fn score<E: Float>(
        own: &Shared<[E]>,
        moving: &Shared<[E]>,
        scores: &mut Shared<[f32]>,
        #[comptime] tiling: Tiling,
    ) {
        let row = UNIT_POS as usize / GROUP * SIDE;
        #[unroll]
        for j in 0..comptime!(tiling.moving / SIDE) {
            let sum = zeros();
            #[unroll]
            for inner in 0..comptime!(tiling.padded / SIDE) {
                let left = tile::<E>(
                    own,
                    row * tiling.pitch + inner * SIDE,
                    cmma::MatrixIdent::A,
                    cmma::MatrixLayout::RowMajor,
                    tiling.pitch,
                );
                let right = tile::<E>(
                    moving,
                    j * SIDE * tiling.pitch + inner * SIDE,
                    cmma::MatrixIdent::B,
                    cmma::MatrixLayout::ColMajor,
                    tiling.pitch,
                );
                cmma::execute(&left, &right, &sum, &sum);
            }
            let first = row * tiling.scores_pitch + j * SIDE;
            let end = scores.len();
            cmma::store(
                &mut scores[first..end],
                &sum,
                comptime!(tiling.scores_pitch as u32),
                cmma::MatrixLayout::RowMajor,
            );
        }
    }

    fn add<E: Float>(
        sums: &mut Sequence<cmma::Matrix<f32>>,
        weights: &Shared<[E]>,
        moving: &Shared<[E]>,
        #[comptime] tiling: Tiling,
    ) {
        let row = UNIT_POS as usize / GROUP * SIDE;
        #[unroll]
        for inner in 0..comptime!(tiling.moving / SIDE) {
            let left = tile::<E>(
                weights,
                row * tiling.weights_pitch + inner * SIDE,
                cmma::MatrixIdent::A,
                cmma::MatrixLayout::RowMajor,
                tiling.weights_pitch,
            );
            #[unroll]
            for j in 0..comptime!(tiling.padded / SIDE) {
                let right = tile::<E>(
                    moving,
                    inner * SIDE * tiling.pitch + j * SIDE,
                    cmma::MatrixIdent::B,
                    cmma::MatrixLayout::RowMajor,
                    tiling.pitch,
                );
                cmma::execute(&left, &right, &sums[j], &sums[j]);
            }
        }
    }

    fn write<E: Float>(
        sums: &Sequence<cmma::Matrix<f32>>,
        scores: &mut Shared<[f32]>,
        out: &mut [E],
        first: usize,
        stride: usize,
        rows: usize,
        factor: f32,
        #[comptime] tiling: Tiling,
    ) {
        let row = UNIT_POS as usize / GROUP * SIDE;
        let lane = UNIT_POS as usize % GROUP;
        let place = row * tiling.scores_pitch;
        #[unroll]
        for j in 0..comptime!(tiling.padded / SIDE) {
            sync_cube();
            let end = scores.len();
            cmma::store(
                &mut scores[place..end],
                &sums[j],
                comptime!(tiling.scores_pitch as u32),
                cmma::MatrixLayout::RowMajor,
            );
            sync_cube();
            #[unroll]
            for step in 0..comptime!(SIDE * SIDE / GROUP) {
                let of_tile = (lane + step * GROUP) / SIDE;
                let column = lane % SIDE;
                if row + of_tile < rows {
                    let value = scores[place + of_tile * tiling.scores_pitch + column];
                    out[first + (row + of_tile) * stride + j * SIDE + column] =
                        E::cast_from(value * factor);
                }
            }
        }
    }
}

#[cube]
fn zeros() -> cmma::Matrix<f32> {
    cmma::Matrix::<f32>::from_value(
        cmma::MatrixIdent::Accumulator,
        SIDE,
        SIDE,
        SIDE,
        cmma::MatrixLayout::Undefined,
        0.0f32,
    )
}

/// A square tile of a matrix in shared memory.
#[cube]
fn tile<E: Float>(
    matrix: &Shared<[E]>,
    first: usize,
    #[comptime] ident: cmma::MatrixIdent,
    #[comptime] layout: cmma::MatrixLayout,
    #[comptime] pitch: usize,
) -> cmma::Matrix<E> {
    let end = matrix.len();
    cmma::Matrix::<E>::from_slice(
        ident,
        SIDE,
        SIDE,
        SIDE,
        layout,
        &matrix[first..end],
        comptime!(pitch as u32),
    )
}
