//! Matrix products whose results go straight into what follows.
//!
//! A product's right operand is packed into panels of two vectors' width ([`Packed`]); the left one
//! is read as it lies. Each tile of the result stays in registers, or in the first cache, until an
//! [`Epilogue`] takes it: adding a bias, activating, adding a residual cost no pass over memory.
//! [`outer`] holds the third kind of product, which sums over rows and gives the gradients of
//! weights.
//!
//! Operands are `f32` or `bf16`. Those of `bf16` are multiplied in pairs where the processor has
//! instructions for that ([`pairs`]); elsewhere they are widened to `f32`, and give the same values
//! but for the order of summation.

mod across;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod outer;
mod packed;
mod pairs;
pub(crate) mod product;
pub(crate) mod tile;
mod transpose;

pub(crate) use across::{Across, SumsAcross};
pub(crate) use packed::Packed;
pub(crate) use product::{Epilogue, Left, Store, product};

use crate::element::Element;

/// A matrix that lies anywhere: element `(row, column)` is at `row * row_stride + column *
/// column_stride`, and one of the two is 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a, T = f32> {
    pub(crate) data: &'a [T],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) row_stride: usize,
    pub(crate) column_stride: usize,
}

impl<'a, T> View<'a, T> {
    /// A matrix whose rows follow each other.
    pub(crate) fn new(data: &'a [T], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// A matrix whose rows are `row_stride` apart.
    pub(crate) fn strided(data: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
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

/// How an operand lies once it is made ready for the micro-kernel: in words of 32 bits.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    /// Each word is a value in `f32`.
    Values,
    /// Each word is two values in `bf16`, of two rows that follow each other; the last one's second
    /// value is zero where there is an odd number.
    Pairs(&'static pairs::Kernel),
}

impl Format {
    /// That of operands of type `T` on the current instruction set.
    pub(crate) fn of<T: Element>() -> Self {
        if const { T::BRIEF } {
            pairs::Kernel::current().map_or(Self::Values, Self::Pairs)
        } else {
            Self::Values
        }
    }

    /// Rows of words that so many rows of values take.
    pub(crate) fn rows(self, depth: usize) -> usize {
        match self {
            Self::Values => depth,
            Self::Pairs(kernel) => depth.div_ceil(2).next_multiple_of(kernel.step),
        }
    }

    /// Values that so many rows of words hold: with as many in each of its rows, the last of them zeros, a
    /// left operand is read as it lies.
    pub(crate) fn values(self, depth: usize) -> usize {
        match self {
            Self::Values => depth,
            Self::Pairs(_) => 2 * self.rows(depth),
        }
    }
}
