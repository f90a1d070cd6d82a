//! Reductions along axes, `[..]` to the same without the axes or with 1 in their place, and the
//! running sum.

use burn::tensor::Tensor;
use vitral_program::ops;

use super::value::{Call, Value, number};

/// Reduces an operand with a function of tensor and padded axes that leaves 1 in their place.
macro_rules! float {
    ($($(#[doc = $doc:literal])* $name:ident($x:ident, $axes:ident) $result:expr;)*) => {$(
        $(#[doc = $doc])*
        pub(super) fn $name(axes: &[usize], mut call: Call<'_>) -> Value {
            let $axes = &places(axes, &call)[..];
            let $x = call.float();
            Value::Float($result.reshape(call.shape()))
        }
    )*};
}

float! {
    l1(x, axes) x.abs().sum_dims(axes);
    l2(x, axes) x.square().sum_dims(axes).sqrt();
    log_sum(x, axes) x.sum_dims(axes).log();
    /// The largest is taken out so that nothing overflows, unless it is infinite itself.
    log_sum_exp(x, axes) {
        let largest = x.clone().detach().max_dims(axes);
        let largest = largest.clone().mask_fill(largest.is_inf(), 0.0);
        (x - largest.clone()).exp().sum_dims(axes).log() + largest
    };
    mean(x, axes) x.mean_dims(axes);
    product(x, axes) x.prod_dims(axes);
    sum_square(x, axes) x.square().sum_dims(axes);
}

pub(super) fn sum(axes: &[usize], mut call: Call<'_>) -> Value {
    let axes = places(axes, &call);
    number!(call.operand(), x => x.sum_dims(&axes).reshape(call.shape()))
}

pub(super) fn max(axes: &[usize], mut call: Call<'_>) -> Value {
    let axes = places(axes, &call);
    number!(call.operand(), x => x.max_dims(&axes).reshape(call.shape()))
}

pub(super) fn min(axes: &[usize], mut call: Call<'_>) -> Value {
    let axes = places(axes, &call);
    number!(call.operand(), x => x.min_dims(&axes).reshape(call.shape()))
}

/// Where axes are in the padded tensor.
fn places(axes: &[usize], call: &Call<'_>) -> Vec<usize> {
    axes.iter().map(|&axis| call.axis(axis)).collect()
}

/// `[..]` to the same. An element is left out of its own sum by moving sums one place on, which is
/// exact where subtracting is not.
pub(super) fn cumulative_sum(op: &ops::CumulativeSum, mut call: Call<'_>) -> Value {
    let axis = call.axis(op.axis);
    macro_rules! sum {
        ($x:ident) => {{
            let mut x = $x;
            if op.reversed {
                x = x.flip([axis]);
            }
            if op.exclusive {
                let count = x.dims()[axis] - 1;
                let nothing = x.clone().narrow(axis, 0, 1).zeros_like();
                x = match count {
                    0 => nothing,
                    _ => Tensor::cat(vec![nothing, x.narrow(axis, 0, count)], axis),
                };
            }
            x = x.cumsum(axis);
            if op.reversed { x.flip([axis]) } else { x }
        }};
    }
    number!(call.operand(), x => sum!(x))
}
