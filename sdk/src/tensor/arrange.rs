//! Ops that move, cut and pick elements.

use super::given::{boolean, dims, integer, integers, number, text};
use super::{Dim, Dims, Size, Sizes, Tensor, many, one};

impl Tensor {
    /// Repeated along dimensions of size 1 and along new ones in front.
    #[must_use]
    pub fn expand(self, shape: impl Dims) -> Self {
        one("expand", [("newShape", dims(&shape.dims()))], &[self])
    }

    /// The same elements, row-major, in another shape. The batch may be folded with other
    /// dimensions or unfolded: `[B, 4, 49]` to `[4B, 49]` and back.
    #[must_use]
    pub fn reshape(self, shape: impl Dims) -> Self {
        one("reshape", [("newShape", dims(&shape.dims()))], &[self])
    }

    /// The opposite order along some axes, which are given in ascending order.
    #[must_use]
    pub fn reverse(self, axes: impl Sizes) -> Self {
        one("reverse", [("axes", integers(axes))], &[self])
    }

    /// The axes in another order: the result's axis `i` is this one's axis `permutation[i]`.
    #[must_use]
    pub fn transpose(self, permutation: impl Sizes) -> Self {
        one("transpose", [("permutation", integers(permutation))], &[self])
    }

    /// One triangle of each matrix of the last two dimensions, the rest zero or false. The upper has
    /// the elements whose column is at least `row + diagonal`, the lower those whose column is at
    /// most that.
    #[must_use]
    pub fn triangular(self, upper: bool, diagonal: i32) -> Self {
        let attributes = [("upper", boolean(upper)), ("diagonal", integer(diagonal))];
        one("triangular", attributes, &[self])
    }

    /// With elements of one value added before and after each dimension.
    #[must_use]
    pub fn pad(self, before: impl Sizes, after: impl Sizes, value: f64) -> Self {
        let attributes = [
            ("beginningPadding", integers(before)),
            ("endingPadding", integers(after)),
            ("value", number(value)),
        ];
        one("pad", attributes, &[self])
    }

    /// A window: along each dimension, `sizes` elements from `starts` on. A multiple of the batch is
    /// cut from its start, into a multiple of the batch.
    #[must_use]
    pub fn slice(self, starts: impl Sizes, sizes: impl Dims) -> Self {
        let sizes = sizes.dims();
        let strides = vec![1_u32; sizes.len()];
        self.slice_with_strides(starts, sizes, strides)
    }

    /// As [`Tensor::slice`], and along each dimension every `strides`-th element is kept.
    #[must_use]
    pub fn slice_with_strides(
        self,
        starts: impl Sizes,
        sizes: impl Dims,
        strides: impl Sizes,
    ) -> Self {
        let attributes = [
            ("starts", integers(starts)),
            ("sizes", dims(&sizes.dims())),
            ("strides", integers(strides)),
        ];
        one("slice", attributes, &[self])
    }

    /// Cut into parts of these sizes along an axis, which add up to its dimension.
    pub fn split(self, sizes: impl Dims, axis: impl Size) -> Vec<Self> {
        let sizes = sizes.dims();
        let attributes = [("splits", dims(&sizes)), ("axis", integer(axis))];
        many("split", attributes, &[self], sizes.len())
    }

    /// Slices by index along an axis: `[a.., n, b..]` and `i32` indices `[i..]` to
    /// `[a.., i.., b..]`. Negative indices count from the end; those out of range are taken as the
    /// nearest in it.
    #[must_use]
    pub fn gather(self, indices: Self, axis: impl Size) -> Self {
        one("gather", [("axis", integer(axis))], &[self, indices])
    }

    /// Elements by index along an axis, to the shape of the indices, which have the same rank.
    #[must_use]
    pub fn gather_elements(self, indices: Self, axis: impl Size) -> Self {
        one("gatherElements", [("axis", integer(axis))], &[self, indices])
    }

    /// The `k` largest elements along an axis in descending order, and their `i32` indices.
    pub fn top_k(self, k: impl Into<Dim>, axis: impl Size) -> (Self, Self) {
        let attributes = [("k", text(k.into().to_string())), ("axis", integer(axis))];
        let results = many("topK", attributes, &[self], 2);
        (results[0], results[1])
    }
}

/// Tensors one after the other along an axis.
pub fn concat(tensors: &[Tensor], axis: impl Size) -> Tensor {
    one("concat", [("axis", integer(axis))], tensors)
}
