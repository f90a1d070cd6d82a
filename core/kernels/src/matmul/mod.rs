//! Matrix products whose results go straight into what follows.
//!
//! A product's right operand is packed into panels of two vectors' width ([`Packed`]); the left one
//! is read as it lies. Each tile of the result stays in registers until an [`Epilogue`] takes it:
//! adding a bias, activating, adding a residual cost no pass over memory. [`outer`] holds the third
//! kind of product, which sums over rows and gives the gradients of weights.

pub(crate) mod outer;
mod packed;
pub(crate) mod product;
mod tile;

pub(crate) use packed::Packed;
pub(crate) use product::{Epilogue, Left, Store, product};
pub(crate) use tile::TALL;

/// A matrix that lies anywhere: element `(row, column)` is at `row * row_stride + column *
/// column_stride`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a> View<'a> {
    /// A matrix whose rows follow each other.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A matrix whose rows are `row_stride` apart.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let view = Self { data, rows, columns, row_stride, column_stride: 1 };
        assert!(view.end() <= data.len(), "a matrix within its memory");
        view
    }

    /// The same memory, with rows for columns.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn end(&self) -> usize {
        match (self.rows, self.columns) {
            (0, _) | (_, 0) => 0,
            (rows, columns) => {
                (rows - 1) * self.row_stride + (columns - 1) * self.column_stride + 1
            }
        }
    }
}
