//! What each op of programs becomes: one entry for an op, in ONNX first and in TensorFlow second.

use vitral_program::{DType, Op, TensorType, ops, ops::Layout};

use super::{
    rules,
    walk::{Builder, Form, Target, Value, Values, Walk, direct, identity},
};
use crate::{
    onnx::{Onnx, nodes as onnx},
    saved_model::{TensorFlow, nodes as tensorflow},
};

use Form::Plain;

impl Target for Onnx {
    fn form(op: &Op) -> Form<'_, Self> {
        entry(op).onnx
    }
}

impl Target for TensorFlow {
    fn form(op: &Op) -> Form<'_, Self> {
        entry(op).tensorflow
    }
}

/// An op in both formats.
struct Entry<'o> {
    onnx: Form<'o, Onnx>,
    tensorflow: Form<'o, TensorFlow>,
}

fn both<'o>(onnx: Form<'o, Onnx>, tensorflow: Form<'o, TensorFlow>) -> Entry<'o> {
    Entry { onnx, tensorflow }
}

fn node<'o, T>(node: impl Fn(&mut T, &[Value], &[TensorType]) -> Vec<String> + 'o) -> Form<'o, T> {
    Form::Node(Box::new(node))
}

fn rewrite<'o, T>(
    rule: impl Fn(&mut Walk<'_, T>, &[Value], &[TensorType]) -> Values + 'o,
) -> Form<'o, T> {
    Form::Rewrite(Box::new(rule))
}

/// A rewriting rule for both formats.
macro_rules! both_rewrite {
    (|$walk:ident, $x:ident| $rule:expr) => {
        both(rewrite(|$walk, $x, _| $rule), rewrite(|$walk, $x, _| $rule))
    };
}

/// A reduction, which has a name in ONNX and is made of a sum in TensorFlow.
macro_rules! of_sum {
    ($name:literal, $op:ident, $before:expr, $after:expr) => {
        both(
            node(|g, x, _| onnx::reduce(g, $name, &$op.axes, $op.keep_dimensions, x)),
            rewrite(|w, x, _| {
                let (axes, keep_dimensions) = ($op.axes.clone(), $op.keep_dimensions);
                let sum = ops::ReduceSum { axes, keep_dimensions }.into();
                rules::reduced(w, &x[0], $before, sum, $after)
            }),
        )
    };
}

/// A reduction that both have.
macro_rules! reduction {
    ($onnx:literal, $tensorflow:literal, $op:ident) => {
        both(
            node(|g, x, _| onnx::reduce(g, $onnx, &$op.axes, $op.keep_dimensions, x)),
            node(|g, x, _| tensorflow::reduce(g, $tensorflow, &$op.axes, $op.keep_dimensions, x)),
        )
    };
}

/// The entry of an op.
fn entry(op: &Op) -> Entry<'_> {
    match op {
        Op::Abs(_) => both(Plain("Abs"), Plain("Abs")),
        Op::Ceil(_) => both(Plain("Ceil"), Plain("Ceil")),
        Op::Cos(_) => both(Plain("Cos"), Plain("Cos")),
        Op::Erf(_) => both(Plain("Erf"), Plain("Erf")),
        Op::Exp(_) => both(Plain("Exp"), Plain("Exp")),
        Op::Floor(_) => both(Plain("Floor"), Plain("Floor")),
        Op::Gelu(_) => {
            both(node(|g, x, _| onnx::gelu(g, "none", x)), rewrite(|w, x, _| rules::gelu(w, &x[0])))
        }
        Op::GeluTanh(_) => both(
            node(|g, x, _| onnx::gelu(g, "tanh", x)),
            rewrite(|w, x, _| rules::gelu_tanh(w, &x[0])),
        ),
        Op::HardSwish(_) => {
            both(Plain("HardSwish"), rewrite(|w, x, _| rules::hard_swish(w, &x[0])))
        }
        Op::Identity(_) => both(Plain("Identity"), Plain("Identity")),
        Op::Log(_) => both(Plain("Log"), Plain("Log")),
        Op::LogicalNot(_) => both(Plain("Not"), Plain("LogicalNot")),
        Op::Neg(_) => both(Plain("Neg"), Plain("Neg")),
        Op::Reciprocal(_) => both(Plain("Reciprocal"), Plain("Reciprocal")),
        Op::Relu(_) => both(Plain("Relu"), Plain("Relu")),
        Op::RoundEven(_) => both(Plain("Round"), Plain("Rint")),
        Op::Sigmoid(_) => both(Plain("Sigmoid"), Plain("Sigmoid")),
        Op::Sign(_) => both(Plain("Sign"), Plain("Sign")),
        Op::Sin(_) => both(Plain("Sin"), Plain("Sin")),
        Op::Softplus(_) => both(Plain("Softplus"), Plain("Softplus")),
        Op::Softsign(_) => both(Plain("Softsign"), Plain("Softsign")),
        Op::Sqrt(_) => both(Plain("Sqrt"), Plain("Sqrt")),
        Op::Tan(_) => both(Plain("Tan"), Plain("Tan")),
        Op::Tanh(_) => both(Plain("Tanh"), Plain("Tanh")),

        Op::Cast(_) => both(rewrite(cast(onnx::cast)), rewrite(cast(tensorflow::cast))),
        Op::Clamp(op) => both(
            node(|g, x, _| onnx::clip(g, op, x)),
            rewrite(|w, x, _| rules::clamp(w, op, &x[0])),
        ),
        Op::Elu(op) => both(
            node(|g, x, _| onnx::with_float(g, "Elu", "alpha", op.alpha, x)),
            rewrite(|w, x, _| rules::elu(w, op, &x[0])),
        ),
        Op::LeakyRelu(op) => both(
            node(|g, x, _| onnx::with_float(g, "LeakyRelu", "alpha", op.alpha, x)),
            rewrite(|w, x, _| rules::leaky_relu(w, op, &x[0])),
        ),

        Op::Add(_) => both(Plain("Add"), Plain("AddV2")),
        Op::Div(_) => both(Plain("Div"), Plain("RealDiv")),
        Op::LogicalAnd(_) => both(Plain("And"), Plain("LogicalAnd")),
        Op::LogicalOr(_) => both(Plain("Or"), Plain("LogicalOr")),
        Op::LogicalXor(_) => both(Plain("Xor"), Plain("NotEqual")),
        Op::Max(_) => both(Plain("Max"), Plain("Maximum")),
        Op::Min(_) => both(Plain("Min"), Plain("Minimum")),
        Op::Mul(_) => both(Plain("Mul"), Plain("Mul")),
        Op::Pow(_) => both(Plain("Pow"), Plain("Pow")),
        Op::Sub(_) => both(Plain("Sub"), Plain("Sub")),

        Op::Equal(_) => both(Plain("Equal"), Plain("Equal")),
        Op::Greater(_) => both(Plain("Greater"), Plain("Greater")),
        Op::GreaterOrEqual(_) => both(Plain("GreaterOrEqual"), Plain("GreaterEqual")),
        Op::Lesser(_) => both(Plain("Less"), Plain("Less")),
        Op::LesserOrEqual(_) => both(Plain("LessOrEqual"), Plain("LessEqual")),
        Op::NotEqual(_) => both(
            rewrite(|w, x, _| {
                let equal = w.one(ops::Equal {}, x)?;
                w.apply(ops::LogicalNot {}, &[equal])
            }),
            Plain("NotEqual"),
        ),
        Op::Where(_) => both(Plain("Where"), Plain("SelectV2")),

        Op::Constant(op) => both_rewrite!(|w, _x| rules::constant(w, op)),
        Op::Range(op) => both(
            rewrite(|w, x, types| match rules::range(w, op) {
                Some(constant) => Ok(vec![constant]),
                None => direct(w, x, types, |g, _, _| onnx::range(g, op)),
            }),
            rewrite(|w, x, types| match rules::range(w, op) {
                Some(constant) => Ok(vec![constant]),
                None => direct(w, x, types, |g, _, _| tensorflow::range(g, op)),
            }),
        ),

        Op::Dropout(_) => both_rewrite!(|w, x| w.apply(identity(), x)),
        Op::Random(_) => both(Form::None(RANDOM), Form::None(RANDOM)),

        Op::Expand(op) => both(
            node(|g, x, _| onnx::expand(g, op, x)),
            node(|g, x, _| tensorflow::expand(g, op, x)),
        ),
        Op::Reshape(op) => both(
            node(|g, x, _| onnx::reshape(g, op, x)),
            node(|g, x, _| tensorflow::reshape(g, op, x)),
        ),
        Op::Reverse(op) => both(
            node(|g, x, _| onnx::reverse(g, op, x)),
            node(|g, x, _| tensorflow::reverse(g, op, x)),
        ),
        Op::Transpose(op) => both(
            node(|g, x, _| onnx::transpose(g, op, x)),
            node(|g, x, _| tensorflow::transpose(g, op, x)),
        ),
        Op::Triangular(op) => both_rewrite!(|w, x| rules::triangular(w, op, &x[0])),

        Op::Concat(op) => both(
            node(|g, x, _| onnx::with_int(g, "Concat", "axis", op.axis, x)),
            node(|g, x, _| tensorflow::concat(g, op, x)),
        ),
        Op::Pad(op) => {
            both(node(|g, x, _| onnx::pad(g, op, x)), node(|g, x, _| tensorflow::pad(g, op, x)))
        }
        Op::Slice(op) => {
            both(node(|g, x, _| onnx::slice(g, op, x)), node(|g, x, _| tensorflow::slice(g, op, x)))
        }
        Op::Split(op) => {
            both(node(|g, x, _| onnx::split(g, op, x)), node(|g, x, _| tensorflow::split(g, op, x)))
        }

        Op::Gather(op) => both(
            rewrite(|w, x, types| {
                let x = [x[0].clone(), w.in_range(&x[1], x[0].dims()[op.axis])?];
                direct(w, &x, types, |g, x, _| onnx::with_int(g, "Gather", "axis", op.axis, x))
            }),
            rewrite(|w, x, types| {
                let x = [x[0].clone(), w.in_range(&x[1], x[0].dims()[op.axis])?];
                direct(w, &x, types, |g, x, _| tensorflow::gather(g, op.axis, 0, x))
            }),
        ),
        Op::GatherElements(op) => both(
            rewrite(|w, x, types| {
                let x = [x[0].clone(), w.in_range(&x[1], x[0].dims()[op.axis])?];
                let node = |g: &mut Onnx, x: &[Value], _: &[TensorType]| {
                    onnx::with_int(g, "GatherElements", "axis", op.axis, x)
                };
                direct(w, &x, types, node)
            }),
            rewrite(|w, x, types| tensorflow::gather_elements(w, op, x, types)),
        ),
        Op::TopK(op) => both(
            node(|g, x, _| onnx::top_k(g, op, x)),
            rewrite(|w, x, types| match rules::are_last(&[op.axis], &x[0]) {
                true => direct(w, x, types, |g, x, _| tensorflow::top_k(g, op, x)),
                false => rules::with_axes_last(w, &[op.axis], &x[0], |w, input| {
                    let axis = input.rank() - 1;
                    w.apply(ops::TopK { k: op.k, axis }, &[input])
                }),
            }),
        ),

        Op::CumulativeSum(op) => both(
            node(|g, x, _| onnx::cumulative_sum(g, op, x)),
            node(|g, x, _| tensorflow::cumulative_sum(g, op, x)),
        ),
        Op::ReduceL1(op) => of_sum!("ReduceL1", op, Some(ops::Abs {}.into()), None),
        Op::ReduceL2(op) => {
            of_sum!("ReduceL2", op, Some(ops::Mul {}.into()), Some(ops::Sqrt {}.into()))
        }
        Op::ReduceLogSum(op) => of_sum!("ReduceLogSum", op, None, Some(ops::Log {}.into())),
        Op::ReduceLogSumExp(op) => both(
            node(|g, x, _| onnx::reduce(g, "ReduceLogSumExp", &op.axes, op.keep_dimensions, x)),
            rewrite(|w, x, _| rules::log_sum_exp(w, op, &x[0])),
        ),
        Op::ReduceMax(op) => reduction!("ReduceMax", "Max", op),
        Op::ReduceMean(op) => reduction!("ReduceMean", "Mean", op),
        Op::ReduceMin(op) => reduction!("ReduceMin", "Min", op),
        Op::ReduceProduct(op) => reduction!("ReduceProd", "Prod", op),
        Op::ReduceSum(op) => reduction!("ReduceSum", "Sum", op),
        Op::ReduceSumSquare(op) => {
            of_sum!("ReduceSumSquare", op, Some(ops::Mul {}.into()), None)
        }

        Op::LayerNormalization(op) => both(
            rewrite(|w, x, types| match rules::are_last(&op.axes, &x[0]) {
                true => {
                    let x = rules::layer_norm_operands(w, op, x)?;
                    direct(w, &x, types, |g, x, _| onnx::layer_norm(g, op, x))
                }
                false => rules::layer_norm_last(w, op, x),
            }),
            rewrite(|w, x, _| match rules::are_last(&op.axes, &x[0]) {
                true => rules::layer_norm(w, op, x),
                false => rules::layer_norm_last(w, op, x),
            }),
        ),
        Op::Softmax(op) => both(
            node(|g, x, _| onnx::with_int(g, "Softmax", "axis", op.axis, x)),
            rewrite(|w, x, types| match rules::are_last(&[op.axis], &x[0]) {
                true => direct(w, x, types, |g: &mut TensorFlow, x, types| {
                    vec![g.plain("Softmax", x, &types[0])]
                }),
                false => rules::with_axes_last(w, &[op.axis], &x[0], |w, input| {
                    let axis = input.rank() - 1;
                    w.apply(ops::Softmax { axis }, &[input])
                }),
            }),
        ),

        Op::Linear(_) => {
            both(rewrite(|w, x, _| rules::linear(w, x)), rewrite(rules::linear_by_rows))
        }
        Op::Matmul(_) => both(Plain("MatMul"), node(tensorflow::matmul)),
        Op::ScaledDotProductAttention(op) => both_rewrite!(|w, x| rules::attention(w, op, x)),

        Op::AveragePool2d(op) => both(
            rewrite(|w, x, types| match op.layout {
                Layout::Nchw => direct(w, x, types, |g, x, _| onnx::average_pool(g, op, x)),
                layout => rules::in_layout(w, layout, Layout::Nchw, &x[0], |w, input| {
                    w.apply(ops::AveragePool2d { layout: Layout::Nchw, ..op.clone() }, &[input])
                }),
            }),
            rewrite(|w, x, types| match op.layout {
                Layout::Nhwc => tensorflow::average_pool(w, op, x, types),
                layout => rules::in_layout(w, layout, Layout::Nhwc, &x[0], |w, input| {
                    w.apply(ops::AveragePool2d { layout: Layout::Nhwc, ..op.clone() }, &[input])
                }),
            }),
        ),
        Op::Conv2d(op) => both(
            rewrite(|w, x, types| match op.input_layout {
                Layout::Nchw => direct(w, x, types, |g, x, _| onnx::conv(g, op, x)),
                layout => rules::in_layout(w, layout, Layout::Nchw, &x[0], |w, input| {
                    let op = ops::Conv2d { input_layout: Layout::Nchw, ..op.clone() };
                    w.apply(op, &[&[input], &x[1..]].concat())
                }),
            }),
            rewrite(|w, x, types| match op.input_layout {
                Layout::Nhwc => tensorflow::conv(w, op, x, types),
                layout => rules::in_layout(w, layout, Layout::Nhwc, &x[0], |w, input| {
                    let op = ops::Conv2d { input_layout: Layout::Nhwc, ..op.clone() };
                    w.apply(op, &[&[input], &x[1..]].concat())
                }),
            }),
        ),
    }
}

const RANDOM: &str = "random numbers";

/// `cast`, whose integers stop at the smallest and largest.
fn cast<T: Target>(
    node: fn(&mut T, &[Value], &[TensorType]) -> Vec<String>,
) -> impl Fn(&mut Walk<'_, T>, &[Value], &[TensorType]) -> Values {
    move |walk, operands, results| {
        let (from, to) = (operands[0].r#type.dtype, results[0].dtype);
        let operand = match (from, to) {
            (DType::F32, DType::I32) => rules::fitting(walk, &operands[0])?,
            _ => operands[0].clone(),
        };
        direct(walk, &[operand], results, node)
    }
}
