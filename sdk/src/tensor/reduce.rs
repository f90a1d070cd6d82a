//! Ops that sum up along axes.

use super::given::{boolean, integer, integers};
use super::{Size, Sizes, Tensor, one};

macro_rules! reduce {
    ($($(#[doc = $doc:literal])+ $name:literal $method:ident;)*) => {
        impl Tensor {$(
            $(#[doc = $doc])+
            #[doc = ""]
            #[doc = "The axes are in ascending order; they vanish, or stay with size 1 if `keep`."]
            #[must_use]
            pub fn $method(self, axes: impl Sizes, keep: bool) -> Self {
                let attributes = [("axes", integers(axes)), ("keepDimensions", boolean(keep))];
                one($name, attributes, &[self])
            }
        )*}
    };
}

reduce! {
    /// The sum of absolute values along axes.
    "reduceL1" reduce_l1;
    /// The Euclidean norm along axes.
    "reduceL2" reduce_l2;
    /// The logarithm of the sum along axes.
    "reduceLogSum" reduce_log_sum;
    /// The logarithm of the sum of exponentials along axes, which does not overflow.
    "reduceLogSumExp" reduce_log_sum_exp;
    /// The largest along axes.
    "reduceMax" reduce_max;
    /// The mean along axes.
    "reduceMean" reduce_mean;
    /// The smallest along axes.
    "reduceMin" reduce_min;
    /// The product along axes.
    "reduceProduct" reduce_product;
    /// The sum along axes.
    "reduceSum" reduce_sum;
    /// The sum of squares along axes.
    "reduceSumSquare" reduce_sum_square;
}

impl Tensor {
    /// Each element replaced by the sum of all up to it along an axis: without itself if
    /// `exclusive`, from the end if `reversed`.
    #[must_use]
    pub fn cumulative_sum(self, axis: impl Size, exclusive: bool, reversed: bool) -> Self {
        let attributes = [
            ("axis", integer(axis)),
            ("exclusive", boolean(exclusive)),
            ("reversed", boolean(reversed)),
        ];
        one("cumulativeSum", attributes, &[self])
    }

    /// `exp(x) / sum(exp(x))` along an axis.
    #[must_use]
    pub fn softmax(self, axis: impl Size) -> Self {
        one("softmax", [("axis", integer(axis))], &[self])
    }
}
