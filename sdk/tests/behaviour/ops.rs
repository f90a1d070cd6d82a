//! Every op of programs has a method that asks for it with all of its attributes.

use std::collections::BTreeMap;

use vitral_program::AttributeKind;
use vitral_program::ops::{self, AttributeInfo, OpInfo};
use vitral_sdk::AttributeValue;
use vitral_sdk::prelude::*;

use crate::host::Applied;
use crate::trace::trace;

/// Uses every method once on something that fits.
fn every_method(x: Tensor) -> Tensor {
    for unary in [
        Tensor::abs,
        Tensor::ceil,
        Tensor::cos,
        Tensor::erf,
        Tensor::exp,
        Tensor::floor,
        Tensor::gelu,
        Tensor::gelu_tanh,
        Tensor::hard_swish,
        Tensor::identity,
        Tensor::log,
        Tensor::neg,
        Tensor::reciprocal,
        Tensor::relu,
        Tensor::round_even,
        Tensor::sigmoid,
        Tensor::sign,
        Tensor::sin,
        Tensor::softplus,
        Tensor::softsign,
        Tensor::sqrt,
        Tensor::tan,
        Tensor::tanh,
    ] {
        assert_eq!(unary(x).shape(), x.shape());
    }
    for reduce in [
        Tensor::reduce_l1,
        Tensor::reduce_l2,
        Tensor::reduce_log_sum,
        Tensor::reduce_log_sum_exp,
        Tensor::reduce_max,
        Tensor::reduce_mean,
        Tensor::reduce_min,
        Tensor::reduce_product,
        Tensor::reduce_sum,
        Tensor::reduce_sum_square,
    ] {
        assert_eq!(reduce(x, [1, 3], true).shape(), Some(shape![B, 1, 9, 1]));
    }
    let _ = (x + 1.0, x - 1.0, x * x, x / 2.0, 1.0 - x, -x, x.pow(2.0), x.max(0.0), x.min(x));
    let less = x.lesser(0.0);
    let _ = (x.equal(x), x.not_equal(x), x.greater(x), x.greater_or_equal(x), x.lesser_or_equal(x));
    let _ = less.logical_and(less).logical_or(less).logical_xor(less).logical_not().where_(x, 0.0);
    let _ = x.cast(DType::I32).cast(DType::F32).clamp(-1.0, 1.0).elu(1.0).leaky_relu(0.1);
    let _ = (x.dropout(0.1), x.softmax(3), x.cumulative_sum(2, true, false));
    let _ = random(shape![B, 2], Distribution::Beta { alpha: 0.4, beta: 0.4 });
    let _ = (constant_i32(shape![2], &[1, 2]), constant_bool(shape![B], &[true]));
    let _ = x.slice([0, 0, 0, 0], shape![B, 1, 2, 3]).expand(shape![B, 5, 2, 3]);
    let _ = x.reshape(shape![B, 72]).reverse([1]).transpose([1, 0]);
    let _ = x.slice_with_strides([0, 0, 1, 0], shape![B, 1, 4, 3], [1, 1, 2, 1]);
    let _ = concat(&x.split([4, 5], 2), 2).pad([0, 1, 0, 0], [0; 4], -1.0).triangular(true, 1);
    let index = range(DType::I32, 4, 0.0, 1.0);
    let _ = x.gather(index, 3);
    let (top, indices) = x.top_k(2, 3);
    assert_eq!((top.shape(), indices.dtype()), (Some(shape![B, 2, 9, 2]), Some(DType::I32)));
    let _ = x.gather_elements(indices, 3);
    structured(x)
}

fn structured(x: Tensor) -> Tensor {
    let start = Initializer::XavierUniform { inputs: 4, outputs: 4 };
    let weight = parameter("weight", [4, 4], start, true);
    let bias = parameter("bias", [4], Initializer::Constant(0.0), false);
    let linear = x.linear(weight, Some(bias)).matmul(weight);
    let mask = constant([9, 9], &[0.0]);
    let _ = x.scaled_dot_product_attention(x, x, Some(mask), 0.5);
    let _ = x.layer_normalization(Some(bias), Some(bias), [3], 1e-6);
    let filter = parameter("filter", [4, 4, 1, 1], start, true);
    let convolved = x.conv2d(filter, Some(bias), Convolution::default());
    assert_eq!(convolved.shape(), x.shape());
    let pooled = x.average_pool2d([1, 3], [1, 3], [0; 4], Layout::Nhwc);
    assert_eq!(pooled.shape(), Some(shape![B, 2, 3, 4]));
    linear + convolved
}

#[test]
fn every_op_has_a_method_that_gives_all_its_attributes() {
    let (_, recorder) = trace(|_, query, _, _| Ok(every_method(query)));
    let asked: BTreeMap<_, _> = recorder.applied.iter().map(|it| (it.op.as_str(), it)).collect();
    for info in ops::all() {
        let applied = asked.get(info.name).unwrap_or_else(|| panic!("no method for {}", info.name));
        check(info, applied);
    }
    recorder.finish(&["output"]).unwrap();
}

fn check(info: &OpInfo, applied: &Applied) {
    let op = info.name;
    let mut given: Vec<_> = applied.attributes.iter().map(|it| it.name.as_str()).collect();
    let mut declared: Vec<_> = info.attributes.iter().map(|it| it.name).collect();
    given.sort_unstable();
    declared.sort_unstable();
    assert_eq!(given, declared, "attributes of {op}");
    assert!(applied.operands >= info.operands.len(), "{op} leaves an operand out");
    for attribute in &applied.attributes {
        let is_this = |info: &&AttributeInfo| info.name == attribute.name;
        let kind = info.attributes.iter().find(is_this).unwrap().kind;
        assert_eq!(kind_of(&attribute.value), kind, "{op} {}", attribute.name);
    }
}

fn kind_of(value: &AttributeValue) -> AttributeKind {
    match value {
        AttributeValue::Boolean(_) => AttributeKind::Bool,
        AttributeValue::Integer(_) => AttributeKind::Int,
        AttributeValue::Number(_) => AttributeKind::Float,
        AttributeValue::Integers(_) => AttributeKind::Ints,
        AttributeValue::Numbers(_) => AttributeKind::Floats,
        AttributeValue::Text(_) => AttributeKind::Text,
    }
}
