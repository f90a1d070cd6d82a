//! What each op is run by.

use vitral_program::Op;

use super::{
    arrange, binary, compare, create, cut, index, noise, normalize, parametric, product, reduce,
    unary,
    value::{Call, Value},
    window,
};

/// The results of one op. A new op does not compile before it has a line here.
pub fn run(op: &Op, call: Call<'_>) -> Vec<Value> {
    vec![match op {
        Op::Split(op) => return cut::split(op, call),
        Op::TopK(op) => return index::top_k(op, call),

        Op::Abs(_) => unary::abs(call),
        Op::Ceil(_) => unary::ceil(call),
        Op::Cos(_) => unary::cos(call),
        Op::Erf(_) => unary::erf(call),
        Op::Exp(_) => unary::exp(call),
        Op::Floor(_) => unary::floor(call),
        Op::Gelu(_) => unary::gelu(call),
        Op::GeluTanh(_) => unary::gelu_tanh(call),
        Op::HardSwish(_) => unary::hard_swish(call),
        Op::Identity(_) => unary::identity(call),
        Op::Log(_) => unary::log(call),
        Op::LogicalNot(_) => unary::logical_not(call),
        Op::Neg(_) => unary::neg(call),
        Op::Reciprocal(_) => unary::reciprocal(call),
        Op::Relu(_) => unary::relu(call),
        Op::RoundEven(_) => unary::round_even(call),
        Op::Sigmoid(_) => unary::sigmoid(call),
        Op::Sign(_) => unary::sign(call),
        Op::Sin(_) => unary::sin(call),
        Op::Softplus(_) => unary::softplus(call),
        Op::Softsign(_) => unary::softsign(call),
        Op::Sqrt(_) => unary::sqrt(call),
        Op::Tan(_) => unary::tan(call),
        Op::Tanh(_) => unary::tanh(call),

        Op::Cast(op) => parametric::cast(op, call),
        Op::Clamp(op) => parametric::clamp(op, call),
        Op::Elu(op) => parametric::elu(op, call),
        Op::LeakyRelu(op) => parametric::leaky_relu(op, call),

        Op::Add(_) => binary::add(call),
        Op::Div(_) => binary::div(call),
        Op::LogicalAnd(_) => binary::logical_and(call),
        Op::LogicalOr(_) => binary::logical_or(call),
        Op::LogicalXor(_) => binary::logical_xor(call),
        Op::Max(_) => binary::max(call),
        Op::Min(_) => binary::min(call),
        Op::Mul(_) => binary::mul(call),
        Op::Pow(_) => binary::pow(call),
        Op::Sub(_) => binary::sub(call),

        Op::Equal(_) => compare::equal(call),
        Op::Greater(_) => compare::greater(call),
        Op::GreaterOrEqual(_) => compare::greater_or_equal(call),
        Op::Lesser(_) => compare::lesser(call),
        Op::LesserOrEqual(_) => compare::lesser_or_equal(call),
        Op::NotEqual(_) => compare::not_equal(call),
        Op::Where(_) => compare::choose(call),

        Op::Constant(op) => create::expanded_constant(op, call),
        Op::Range(op) => create::range(op, call),

        Op::Dropout(op) => noise::dropout(op, call),
        Op::Random(op) => noise::random(op, call),

        Op::Expand(_) => arrange::expand(call),
        Op::Reshape(_) => arrange::reshape(call),
        Op::Reverse(op) => arrange::reverse(op, call),
        Op::Transpose(op) => arrange::transpose(op, call),
        Op::Triangular(op) => arrange::triangular(op, call),

        Op::Concat(op) => cut::concat(op, call),
        Op::Pad(op) => cut::pad(op, call),
        Op::Slice(op) => cut::slice(op, call),

        Op::Gather(op) => index::gather(op, call),
        Op::GatherElements(op) => index::gather_elements(op, call),

        Op::CumulativeSum(op) => reduce::cumulative_sum(op, call),
        Op::ReduceL1(op) => reduce::l1(&op.axes, call),
        Op::ReduceL2(op) => reduce::l2(&op.axes, call),
        Op::ReduceLogSum(op) => reduce::log_sum(&op.axes, call),
        Op::ReduceLogSumExp(op) => reduce::log_sum_exp(&op.axes, call),
        Op::ReduceMax(op) => reduce::max(&op.axes, call),
        Op::ReduceMean(op) => reduce::mean(&op.axes, call),
        Op::ReduceMin(op) => reduce::min(&op.axes, call),
        Op::ReduceProduct(op) => reduce::product(&op.axes, call),
        Op::ReduceSum(op) => reduce::sum(&op.axes, call),
        Op::ReduceSumSquare(op) => reduce::sum_square(&op.axes, call),

        Op::LayerNormalization(op) => normalize::layer_normalization(op, call),
        Op::Softmax(op) => normalize::softmax(op, call),

        Op::Linear(_) => product::linear(call),
        Op::Matmul(_) => product::matmul(call),
        Op::ScaledDotProductAttention(op) => product::attention(op, call),

        Op::AveragePool2d(op) => window::average_pool(op, call),
        Op::Conv2d(op) => window::conv(op, call),
    }]
}
