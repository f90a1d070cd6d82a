//! One program that uses every op.

use std::collections::HashSet;

use vitral_program::{
    DType, Dim, Initializer, Limits, Op, Program, Tensor, Tracer, ops,
    ops::{Distribution, Layout},
};

use crate::support::{shape, r#type};

/// Applies ops and makes each result an output.
struct Everything {
    trace: Tracer,
    outputs: Vec<(String, Tensor)>,
}

impl Everything {
    fn add(&mut self, op: impl Into<Op>, operands: &[Tensor]) -> Tensor {
        let op = op.into();
        let name = op.name();
        let results = self.trace.apply_all(op, operands, name);
        for &result in &results {
            self.outputs.push((format!("{name}.{}", self.outputs.len()), result));
        }
        results[0]
    }

    fn unary(&mut self, x: Tensor, condition: Tensor) {
        for op in [
            Op::from(ops::Abs {}),
            ops::Ceil {}.into(),
            ops::Cos {}.into(),
            ops::Erf {}.into(),
            ops::Exp {}.into(),
            ops::Floor {}.into(),
            ops::Gelu {}.into(),
            ops::GeluTanh {}.into(),
            ops::HardSwish {}.into(),
            ops::Identity {}.into(),
            ops::Log {}.into(),
            ops::Neg {}.into(),
            ops::Reciprocal {}.into(),
            ops::Relu {}.into(),
            ops::RoundEven {}.into(),
            ops::Sigmoid {}.into(),
            ops::Sign {}.into(),
            ops::Sin {}.into(),
            ops::Softplus {}.into(),
            ops::Softsign {}.into(),
            ops::Sqrt {}.into(),
            ops::Tan {}.into(),
            ops::Tanh {}.into(),
            ops::Cast { to: DType::I32 }.into(),
            ops::Clamp { min_value: f64::NEG_INFINITY, max_value: 6.0 }.into(),
            ops::Elu { alpha: 1.0 }.into(),
            ops::LeakyRelu { alpha: 0.01 }.into(),
            ops::Dropout { rate: 0.25 }.into(),
        ] {
            self.add(op, &[x]);
        }
        self.add(ops::LogicalNot {}, &[condition]);
    }

    fn binary(&mut self, x: Tensor, y: Tensor, condition: Tensor) {
        for op in [
            Op::from(ops::Add {}),
            ops::Div {}.into(),
            ops::Max {}.into(),
            ops::Min {}.into(),
            ops::Mul {}.into(),
            ops::Pow {}.into(),
            ops::Sub {}.into(),
            ops::Equal {}.into(),
            ops::Greater {}.into(),
            ops::GreaterOrEqual {}.into(),
            ops::Lesser {}.into(),
            ops::LesserOrEqual {}.into(),
            ops::NotEqual {}.into(),
        ] {
            self.add(op, &[x, y]);
        }
        for op in
            [Op::from(ops::LogicalAnd {}), ops::LogicalOr {}.into(), ops::LogicalXor {}.into()]
        {
            self.add(op, &[condition, condition]);
        }
        self.add(ops::Where {}, &[condition, x, y]);
    }

    /// `x` is `[B, 4, 6]`.
    fn moved(&mut self, x: Tensor) {
        self.add(ops::Expand { new_shape: shape("[2, B, 4, 6]") }, &[x]);
        self.add(ops::Reshape { new_shape: shape("[4B, 2, 3]") }, &[x]);
        self.add(ops::Reverse { axes: vec![0, 2] }, &[x]);
        self.add(ops::Transpose { permutation: vec![2, 0, 1] }, &[x]);
        self.add(ops::Triangular { upper: false, diagonal: -1 }, &[x]);
        self.add(ops::Concat { axis: 0 }, &[x, x]);
        let (beginning_padding, ending_padding) = (vec![0, 1, 0], vec![0, 0, 2]);
        self.add(ops::Pad { beginning_padding, ending_padding, value: -0.5 }, &[x]);
        let sizes = vec![Dim::BATCH, Dim::Fixed(2), Dim::Fixed(5)];
        self.add(ops::Slice { starts: vec![0, 1, 1], sizes, strides: vec![1, 1, 2] }, &[x]);
        self.add(ops::Split { splits: vec![Dim::Fixed(1), Dim::Fixed(3)], axis: 1 }, &[x]);
        self.add(ops::TopK { k: Dim::Fixed(2), axis: 2 }, &[x]);
    }

    /// `x` is `[B, 4, 6]`, `index` `[B, 4, 6]` of integers.
    fn indexed(&mut self, x: Tensor, index: Tensor) {
        let constant = ops::Constant { r#type: r#type("i32[3]"), values: vec![2.0, -1.0, 0.0] };
        let few = self.add(constant, &[]);
        self.add(
            ops::Constant { r#type: r#type("f32[2]"), values: vec![0.1, f64::NEG_INFINITY] },
            &[],
        );
        self.add(
            ops::Range { dtype: DType::I32, length: Dim::Batch(2), start: 1.0, delta: 2.0 },
            &[],
        );
        let distribution = Distribution::Beta;
        self.add(ops::Random { shape: shape("[B, 2]"), distribution, alpha: 0.8, beta: 0.8 }, &[]);
        self.add(ops::Gather { axis: 1 }, &[x, few]);
        self.add(ops::GatherElements { axis: 2 }, &[x, index]);
    }

    fn reduced(&mut self, x: Tensor) {
        let (axes, keep_dimensions) = (|| vec![0, 2], true);
        for op in [
            Op::from(ops::ReduceL1 { axes: axes(), keep_dimensions }),
            ops::ReduceL2 { axes: axes(), keep_dimensions }.into(),
            ops::ReduceLogSum { axes: axes(), keep_dimensions }.into(),
            ops::ReduceLogSumExp { axes: axes(), keep_dimensions }.into(),
            ops::ReduceMax { axes: axes(), keep_dimensions }.into(),
            ops::ReduceMean { axes: axes(), keep_dimensions }.into(),
            ops::ReduceMin { axes: axes(), keep_dimensions }.into(),
            ops::ReduceProduct { axes: axes(), keep_dimensions }.into(),
            ops::ReduceSum { axes: axes(), keep_dimensions: false }.into(),
            ops::ReduceSumSquare { axes: axes(), keep_dimensions }.into(),
            ops::CumulativeSum { axis: 1, exclusive: true, reversed: true }.into(),
            ops::Softmax { axis: 2 }.into(),
        ] {
            self.add(op, &[x]);
        }
    }

    /// `x` is `[B, 4, 6]`, `weight` `[6, 6]`, `bias` `[6]`.
    fn layers(&mut self, x: Tensor, weight: Tensor, bias: Tensor) {
        self.add(ops::LayerNormalization { axes: vec![2], epsilon: 1e-6 }, &[x, bias, bias]);
        self.add(ops::Matmul {}, &[x, weight]);
        self.add(ops::Linear {}, &[x, weight, bias]);
        self.add(ops::ScaledDotProductAttention { scale: 0.4 }, &[x, x, x]);
        let image = self.add(ops::Reshape { new_shape: shape("[B, 2, 2, 6]") }, &[x]);
        let filter = self.add(ops::Reshape { new_shape: shape("[6, 6, 1, 1]") }, &[weight]);
        let conv = ops::Conv2d {
            padding: [1, 0, 0, 1],
            strides: [2, 1],
            dilations: [1, 1],
            groups: 1,
            input_layout: Layout::Nhwc,
        };
        self.add(conv, &[image, filter, bias]);
        let pool = ops::AveragePool2d {
            window_dimensions: [2, 2],
            padding: [0; 4],
            strides: [1, 1],
            layout: Layout::Nhwc,
        };
        self.add(pool, &[image]);
    }
}

pub fn every_op() -> Program {
    let mut all =
        Everything { trace: Tracer::new("every_op", Limits::default()), outputs: Vec::new() };
    let x = all.trace.input("x", r#type("f32[B,4,6]"));
    let y = all.trace.input("y", r#type("f32[6]"));
    let condition = all.trace.input("condition", r#type("bool[B,4,1]"));
    let index = all.trace.input("index", r#type("i32[B,4,6]"));
    let init = Initializer::XavierUniform { fan_in: 6, fan_out: 6 };
    let weight = all.trace.parameter("weight", shape("[6, 6]"), init, true);
    let bias = all.trace.parameter("bias", shape("[6]"), Initializer::Constant(0.0), false);
    let others = [
        ("normal", Initializer::Normal { std: 0.02 }),
        ("truncated", Initializer::TruncatedNormal { std: 0.02 }),
        ("uniform", Initializer::Uniform { limit: 0.1 }),
    ];
    for (name, init) in others {
        let parameter = all.trace.parameter(name, shape("[6]"), init, true);
        all.outputs.push((name.to_owned(), parameter));
    }
    all.unary(x, condition);
    all.binary(x, y, condition);
    all.moved(x);
    all.indexed(x, index);
    all.reduced(x);
    all.layers(x, weight, bias);
    let outputs: Vec<_> =
        all.outputs.iter().map(|(name, tensor)| (name.as_str(), *tensor)).collect();
    all.trace.finish(&outputs).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn no_op_is_missing() {
    let program = every_op();
    let used: HashSet<_> = program.nodes().iter().map(|node| node.op().name()).collect();
    for info in ops::all() {
        assert!(used.contains(info.name), "no test uses {}", info.name);
    }
}

#[test]
fn attributes_of_every_op_make_the_same_op() {
    for node in every_op().nodes() {
        let op = node.op();
        assert_eq!(Op::from_attributes(op.name(), op.attributes()).as_ref(), Ok(op));
    }
}
