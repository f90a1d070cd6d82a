//! The table: for each op, operands with which it is tried.

use vitral_program::{
    Array, DType, Dim, Limits, Op, Program, TensorType, Tracer, ops,
    ops::{Distribution, Layout},
};
use vitral_seed::Seed;

pub(super) fn shape(text: &str) -> vitral_program::Shape {
    text.parse().unwrap()
}

/// Values within a range, of 32 bits.
pub(super) fn array(r#type: &TensorType, batch: usize, [low, high]: [f64; 2], seed: u64) -> Array {
    use rand::Rng as _;
    let mut rng = Seed::new(seed).indexed(batch as u64).rng();
    let shape = r#type.shape.at(batch).unwrap();
    let count = shape.iter().product();
    let mut value = || match r#type.dtype {
        DType::F32 => f64::from(rng.random_range(low..high) as f32),
        DType::I32 => f64::from(rng.random_range(low as i32..=high as i32)),
        DType::Bool => f64::from(u8::from(rng.random_bool(0.5))),
    };
    let values = (0..count).map(|_| value()).collect();
    Array::new(r#type.dtype, shape, values).unwrap()
}

/// Every integer.
const ALL: [f64; 2] = [i32::MIN as f64, i32::MAX as f64];

/// One op, and its operands' types with the range of their values.
pub(super) struct Case {
    pub(super) op: Op,
    operands: Vec<(TensorType, [f64; 2])>,
}

pub(super) fn case(op: impl Into<Op>, operands: &[&str]) -> Case {
    within(op, operands, &[[-2.0, 2.0]; 4])
}

fn within(op: impl Into<Op>, operands: &[&str], ranges: &[[f64; 2]]) -> Case {
    let types = operands.iter().map(|text| text.parse().unwrap());
    Case { op: op.into(), operands: types.zip(ranges.iter().copied()).collect() }
}

impl Case {
    pub(super) fn program(&self) -> Program {
        let mut trace = Tracer::new("case", Limits::default());
        let name = |index: usize| format!("operand{index}");
        let operands = self.operands.iter().enumerate();
        let operands: Vec<_> = operands
            .map(|(index, (r#type, _))| trace.input(&name(index), r#type.clone()))
            .collect();
        let results = trace.apply_all(self.op.clone(), &operands, "");
        let names: Vec<_> = (0..results.len()).map(|index| format!("result{index}")).collect();
        let outputs: Vec<_> = names.iter().map(String::as_str).zip(results).collect();
        trace.finish(&outputs).unwrap_or_else(|errors| panic!("{}: {errors}", self.op.name()))
    }

    pub(super) fn inputs(&self, batch: usize) -> Vec<Array> {
        let inputs = self.operands.iter().enumerate();
        inputs.map(|(index, (r#type, range))| array(r#type, batch, *range, index as u64)).collect()
    }
}

/// Ops that have no attributes.
macro_rules! plain {
    ($($op:ident)*) => {
        [$(Op::from(ops::$op {})),*]
    };
}

fn unary() -> Vec<Case> {
    let anywhere = plain! {
        Abs Ceil Cos Erf Exp Floor Gelu GeluTanh Identity Neg Relu RoundEven Sigmoid Sign Sin Softplus
        Softsign Tanh
    };
    let casts = || [DType::F32, DType::I32, DType::Bool].map(|to| Op::from(ops::Cast { to }));
    let with_attributes = [
        Op::from(ops::Clamp { min_value: -1.0, max_value: 0.5 }),
        ops::Clamp { min_value: f64::NEG_INFINITY, max_value: 0.5 }.into(),
        ops::Elu { alpha: 0.7 }.into(),
        ops::LeakyRelu { alpha: 0.1 }.into(),
        ops::Dropout { rate: 0.4 }.into(),
    ];
    let anywhere = anywhere.into_iter().chain(casts()).chain(with_attributes);
    let mut cases: Vec<_> = anywhere.map(|op| case(op, &["f32[B,4,3]"])).collect();
    for op in plain!(Log Reciprocal Sqrt Tan) {
        cases.push(within(op, &["f32[2,B]"], &[[0.2, 1.4]]));
    }
    for op in [Op::from(ops::HardSwish {}), ops::Elu { alpha: 1.0 }.into()] {
        cases.push(within(op, &["f32[B,9]"], &[[-5.0, 5.0]]));
    }
    // Where an exponential would be infinite.
    let steep = plain!(Sigmoid Softplus Gelu GeluTanh Tanh);
    for op in steep.into_iter().chain([ops::Elu { alpha: 1.0 }.into()]) {
        cases.push(within(op, &["f32[B,3]"], &[[90.0, 200.0]]));
    }
    let clamp = ops::Clamp { min_value: -1.0, max_value: 1.0 };
    for op in plain!(Abs Identity Neg Relu Sign).into_iter().chain(casts()).chain([clamp.into()]) {
        cases.push(case(op, &["i32[B,5]"]));
    }
    for op in plain!(LogicalNot Identity).into_iter().chain(casts()) {
        cases.push(case(op, &["bool[B,5]"]));
    }
    cases
}

fn binary() -> Vec<Case> {
    let mut cases = Vec::new();
    for op in plain! {
        Add Max Min Mul Sub Equal Greater GreaterOrEqual Lesser LesserOrEqual NotEqual
    } {
        cases.push(case(op.clone(), &["f32[B,4,1]", "f32[5]"]));
        cases.push(case(op.clone(), &["f32[]", "f32[B,2]"]));
        cases.push(case(op.clone(), &["i32[B,4]", "i32[B,4]"]));
        cases.push(case(op, &["i32[B,1]", "i32[2,1,4]"]));
    }
    for op in plain!(Add Mul Sub) {
        cases.push(within(op, &["i32[B,9]", "i32[9]"], &[ALL; 2]));
    }
    for op in plain!(Div Pow) {
        cases.push(within(op.clone(), &["f32[B,3,1]", "f32[2]"], &[[0.5, 2.0]; 2]));
        cases.push(within(op, &["f32[B,3]", "f32[]"], &[[0.5, 2.0]; 2]));
    }
    for op in plain!(LogicalAnd LogicalOr LogicalXor Equal NotEqual) {
        cases.push(case(op, &["bool[B,4]", "bool[2,1,4]"]));
    }
    cases.push(case(ops::Where {}, &["bool[B,4,1]", "f32[3]", "f32[B,1,3]"]));
    cases.push(case(ops::Where {}, &["bool[4]", "f32[]", "f32[B,4]"]));
    cases.push(case(ops::Where {}, &["bool[4]", "i32[B,1]", "i32[]"]));
    cases.push(case(ops::Where {}, &["bool[4]", "bool[B,1]", "bool[4]"]));
    cases
}

fn created() -> Vec<Case> {
    let constant = |text: &str, values: &[f64]| {
        case(ops::Constant { r#type: text.parse().unwrap(), values: values.to_vec() }, &[])
    };
    let random = |distribution| {
        case(ops::Random { shape: shape("[B, 3]"), distribution, alpha: 0.8, beta: 0.5 }, &[])
    };
    vec![
        constant("f32[B,3]", &[0.25]),
        constant("f32[2,2]", &[1.0, f64::NEG_INFINITY, 0.5, -0.5]),
        constant("i32[B]", &[-7.0]),
        constant("i32[3]", &[1.0, 2.0, -3.0]),
        constant("bool[2]", &[1.0, 0.0]),
        constant("f32[]", &[2.0]),
        case(ops::Range { dtype: DType::I32, length: Dim::Batch(2), start: 1.0, delta: -2.0 }, &[]),
        case(ops::Range { dtype: DType::F32, length: Dim::Fixed(4), start: 0.5, delta: 0.25 }, &[]),
        random(Distribution::Uniform),
        random(Distribution::Normal),
        random(Distribution::Beta),
    ]
}

fn moved() -> Vec<Case> {
    let pad =
        |value| ops::Pad { beginning_padding: vec![0, 1, 0], ending_padding: vec![0, 0, 2], value };
    let slice = ops::Slice {
        starts: vec![0, 1, 1],
        sizes: vec![Dim::BATCH, Dim::Fixed(2), Dim::Fixed(5)],
        strides: vec![1, 1, 2],
    };
    let splits = vec![Dim::Fixed(1), Dim::Fixed(3)];
    let mut cases = Vec::new();
    for dtype in ["f32", "i32", "bool"] {
        let mut add = |op: Op, shapes: &[&str]| {
            let operands: Vec<_> = shapes.iter().map(|shape| format!("{dtype}{shape}")).collect();
            cases.push(case(op, &operands.iter().map(String::as_str).collect::<Vec<_>>()));
        };
        let x = "[B,4,6]";
        add(ops::Expand { new_shape: shape("[2, B, 4, 6]") }.into(), &["[B,1,6]"]);
        add(ops::Expand { new_shape: shape("[B, 2]") }.into(), &["[]"]);
        add(ops::Reshape { new_shape: shape("[4B, 2, 3]") }.into(), &[x]);
        add(ops::Reshape { new_shape: shape("[B, 2, 2, 1, 3, 1, 2, 1]") }.into(), &[x]);
        add(ops::Reverse { axes: vec![0, 2] }.into(), &[x]);
        add(ops::Transpose { permutation: vec![2, 0, 1] }.into(), &[x]);
        add(ops::Transpose { permutation: vec![] }.into(), &["[]"]);
        let permutation = vec![0, 2, 4, 1, 3, 5, 6, 7];
        add(ops::Transpose { permutation }.into(), &["[B,2,1,2,3,1,2,1]"]);
        for (upper, diagonal) in [(true, 0), (false, -1), (true, i32::MAX), (false, i32::MIN)] {
            add(ops::Triangular { upper, diagonal }.into(), &[x]);
        }
        add(ops::Concat { axis: 0 }.into(), &["[B,3]", "[2B,3]", "[B,3]"]);
        add(ops::Concat { axis: 1 }.into(), &["[B,3]", "[B,1]"]);
        add(pad(1.0).into(), &[x]);
        add(slice.clone().into(), &[x]);
        add(ops::Split { splits: splits.clone(), axis: 1 }.into(), &[x]);
        add(ops::Split { splits: vec![Dim::BATCH, Dim::BATCH], axis: 0 }.into(), &["[2B,3]"]);
    }
    cases
}

fn indexed() -> Vec<Case> {
    let mut cases = Vec::new();
    for dtype in ["f32", "i32", "bool"] {
        let x = format!("{dtype}[B,4,6]");
        let ranges = [[-2.0, 2.0], [-9.0, 9.0]];
        for (axis, indices) in [(1, "i32[2,5]"), (2, "i32[]"), (0, "i32[7]")] {
            cases.push(within(ops::Gather { axis }, &[&x, indices], &ranges));
        }
        cases.push(within(
            ops::Gather { axis: 0 },
            &[&format!("{dtype}[9,4]"), "i32[B,3]"],
            &ranges,
        ));
        for (axis, indices) in [(2, "i32[B,4,3]"), (1, "i32[B,7,6]")] {
            cases.push(within(ops::GatherElements { axis }, &[&x, indices], &ranges));
        }
    }
    for dtype in ["f32", "i32"] {
        for (k, axis) in [(Dim::Fixed(2), 2), (Dim::Fixed(4), 1), (Dim::BATCH, 0)] {
            cases.push(case(ops::TopK { k, axis }, &[&format!("{dtype}[B,4,6]")]));
        }
    }
    cases
}

fn reduced() -> Vec<Case> {
    let mut cases = Vec::new();
    for (axes, keep_dimensions) in [(vec![0, 2], true), (vec![1], false), (vec![0, 1, 2], false)] {
        macro_rules! reduced {
            ($($op:ident)*) => {
                [$(Op::from(ops::$op { axes: axes.clone(), keep_dimensions })),*]
            };
        }
        for op in reduced! {
            ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProduct ReduceSum
            ReduceSumSquare
        } {
            cases.push(within(op, &["f32[B,4,2]"], &[[-1.5, 1.5]]));
        }
        let [log_sum, large] = reduced!(ReduceLogSum ReduceLogSumExp);
        cases.push(within(log_sum, &["f32[B,4,2]"], &[[0.2, 2.0]]));
        cases.push(within(large, &["f32[B,4,2]"], &[[90.0, 200.0]]));
        for op in reduced!(ReduceMax ReduceMin ReduceSum) {
            cases.push(within(op, &["i32[B,4,6]"], &[ALL]));
        }
    }
    for (exclusive, reversed) in [(false, false), (true, false), (false, true), (true, true)] {
        for axis in 0..3 {
            let op = ops::CumulativeSum { axis, exclusive, reversed };
            cases.push(case(op.clone(), &["f32[B,4,6]"]));
            cases.push(within(op, &["i32[B,4,6]"], &[ALL]));
        }
    }
    cases
}

fn layers() -> Vec<Case> {
    let mut cases = Vec::new();
    for axis in 0..3 {
        cases.push(case(ops::Softmax { axis }, &["f32[B,4,6]"]));
    }
    cases.push(within(ops::Softmax { axis: 1 }, &["f32[B,4]"], &[[90.0, 200.0]]));
    for (axes, scale) in [
        (vec![2], "f32[6]"),
        (vec![1], "f32[4]"),
        (vec![1, 2], "f32[4,6]"),
        (vec![0, 2], "f32[B,6]"),
    ] {
        let norm = ops::LayerNormalization { axes, epsilon: 1e-3 };
        cases.push(case(norm.clone(), &["f32[B,4,6]"]));
        if !scale.contains('B') {
            cases.push(case(norm.clone(), &["f32[B,4,6]", scale]));
        }
        cases.push(case(norm, &["f32[B,4,6]", scale, scale]));
    }
    for (a, b) in [
        ("f32[B,4,6]", "f32[6,2]"),
        ("f32[B,4,6]", "f32[B,6,2]"),
        ("f32[4,6]", "f32[B,6,2]"),
        ("f32[B,1,4,3]", "f32[2,3,5]"),
        ("f32[1,B,1,2,1,1,2,3]", "f32[2,B,1,2,1,1,3,1]"),
        ("f32[2,3]", "f32[3,4]"),
    ] {
        cases.push(case(ops::Matmul {}, &[a, b]));
    }
    for x in ["f32[6]", "f32[B,6]", "f32[B,2,2,6]"] {
        cases.push(case(ops::Linear {}, &[x, "f32[6,3]"]));
        cases.push(case(ops::Linear {}, &[x, "f32[6,3]", "f32[3]"]));
    }
    let attention = ops::ScaledDotProductAttention { scale: 0.4 };
    let qkv = ["f32[B,2,3,4]", "f32[B,2,5,4]", "f32[B,2,5,2]"];
    cases.push(case(attention.clone(), &qkv));
    for bias in ["f32[2,3,5]", "f32[B,1,1,5]", "f32[]"] {
        cases.push(case(attention.clone(), &[&qkv[..], &[bias]].concat()));
    }
    cases.push(case(attention, &["f32[2,4]", "f32[3,4]", "f32[3,2]"]));
    cases
}

fn windows() -> Vec<Case> {
    let mut cases = Vec::new();
    for (layout, image) in [(Layout::Nhwc, "f32[B,5,6,4]"), (Layout::Nchw, "f32[B,4,5,6]")] {
        for (padding, strides, dilations, groups, filter) in [
            ([0; 4], [1, 1], [1, 1], 1, "f32[2,4,3,2]"),
            ([1, 0, 0, 2], [2, 1], [1, 1], 1, "f32[2,4,3,2]"),
            ([1, 1, 1, 1], [1, 2], [2, 1], 2, "f32[2,2,3,3]"),
            ([0, 1, 2, 0], [2, 3], [1, 2], 4, "f32[4,1,2,2]"),
        ] {
            let conv = ops::Conv2d { padding, strides, dilations, groups, input_layout: layout };
            cases.push(case(conv.clone(), &[image, filter]));
            let bias = if groups == 4 { "f32[4]" } else { "f32[2]" };
            cases.push(case(conv, &[image, filter, bias]));
        }
        for (window_dimensions, padding, strides) in [
            ([2, 2], [0; 4], [1, 1]),
            ([3, 2], [0; 4], [3, 2]),
            ([2, 3], [1, 0, 2, 1], [1, 2]),
            ([3, 3], [1, 1, 1, 1], [2, 2]),
        ] {
            let pool = ops::AveragePool2d { window_dimensions, padding, strides, layout };
            cases.push(case(pool, &[image]));
        }
    }
    cases
}

pub(super) fn cases() -> Vec<Case> {
    [unary(), binary(), created(), moved(), indexed(), reduced(), layers(), windows()]
        .into_iter()
        .flatten()
        .collect()
}
