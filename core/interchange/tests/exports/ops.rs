//! Models whose layers each apply one op of programs, so that every op's lowering runs.

use std::{collections::BTreeMap, sync::Arc};

use vitral_model::{
    AttentionPrograms, ViTConfig,
    config::{AttentionKind, LayerAttention},
    program_attention::layer_type,
};
use vitral_program::{
    DType, Dim, Initializer, Limits, Op, Program, Shape, Tensor, TensorType, Tracer, ops,
    ops::Layout,
};

use crate::models::base;

/// What a layer's queries, keys and values `[B, 2, 17, 8]` become: any tensor of numbers whose first
/// dimension is the batch, or a multiple of it.
type Case = Box<dyn Fn(&mut Trace, [Tensor; 3]) -> Tensor>;

/// Layers of one model.
const LAYERS: usize = 8;

/// A tracer with the few things that cases share.
struct Trace(Tracer);

impl Trace {
    fn one(&mut self, op: impl Into<Op>, operands: &[Tensor]) -> Tensor {
        self.0.apply(op, operands, "")
    }

    fn scalar(&mut self, value: f64) -> Tensor {
        self.one(ops::Constant::scalar(value), &[])
    }

    fn constant(&mut self, r#type: &str, values: &[f64]) -> Tensor {
        let r#type = r#type.parse().unwrap();
        self.one(ops::Constant { r#type, values: values.to_vec() }, &[])
    }

    fn reshape(&mut self, x: Tensor, shape: &str) -> Tensor {
        self.one(ops::Reshape { new_shape: shape.parse().unwrap() }, &[x])
    }

    /// Integers from -6 to 6.
    fn integers(&mut self, x: Tensor) -> Tensor {
        let three = self.scalar(3.0);
        let x = self.one(ops::Mul {}, &[x, three]);
        let x = self.one(ops::Clamp { min_value: -6.0, max_value: 6.0 }, &[x]);
        self.one(ops::Cast { to: DType::I32 }, &[x])
    }

    /// `[B, 4, 4, 16]`: the patches as images.
    fn images(&mut self, x: Tensor) -> Tensor {
        let rows = self.one(ops::Transpose { permutation: vec![0, 2, 1, 3] }, &[x]);
        let sizes = vec![Dim::BATCH, 16.into(), 2.into(), 8.into()];
        let patches = ops::Slice { starts: vec![0, 1, 0, 0], sizes, strides: vec![1; 4] };
        let patches = self.one(patches, &[rows]);
        self.reshape(patches, "[B,4,4,16]")
    }

    /// The values plus a number for each image that depends on every element of `x`, and on where it is.
    fn output(&mut self, x: Tensor, value: Tensor) -> Tensor {
        let x = match self.0.type_of(x).unwrap().dtype {
            DType::F32 => x,
            _ => self.one(ops::Cast { to: DType::F32 }, &[x]),
        };
        let elements = self.0.type_of(x).unwrap().shape.elements().per_item();
        let flat = Shape::new([Dim::BATCH, elements.into()]).unwrap();
        let flat = self.one(ops::Reshape { new_shape: flat }, &[x]);
        let ramp: Vec<_> = (0..elements).map(|at| 1.0 + (at % 7) as f64).collect();
        let ramp = self.constant(&format!("f32[{elements}]"), &ramp);
        let weighted = self.one(ops::Mul {}, &[flat, ramp]);
        let op = ops::ReduceMean { axes: vec![1], keep_dimensions: true };
        let mean = self.one(op, &[weighted]);
        let mean = self.one(ops::Tanh {}, &[mean]);
        let mean = self.reshape(mean, "[B,1,1,1]");
        // A place of each row changes, which LayerNorm does not take away.
        let place = self.constant("f32[8]", &[1.0, 0.0, 0.0, -2.0, 0.0, 0.5, 0.0, 0.0]);
        let change = self.one(ops::Mul {}, &[mean, place]);
        self.one(ops::Add {}, &[value, change])
    }
}

fn on_query(op: impl Into<Op>) -> Case {
    let op = op.into();
    Box::new(move |t, [query, ..]| t.one(op.clone(), &[query]))
}

/// On positive numbers.
fn on_positive(op: impl Into<Op>) -> Case {
    let op = op.into();
    Box::new(move |t, [query, ..]| {
        let query = t.one(ops::Softplus {}, &[query]);
        t.one(op.clone(), &[query])
    })
}

fn on_integers(op: impl Into<Op>) -> Case {
    let op = op.into();
    Box::new(move |t, [query, ..]| {
        let query = t.integers(query);
        t.one(op.clone(), &[query])
    })
}

fn on_two(op: impl Into<Op>) -> Case {
    let op = op.into();
    Box::new(move |t, [query, key, _]| t.one(op.clone(), &[query, key]))
}

/// On two that are true here and there.
fn on_conditions(op: impl Into<Op>) -> Case {
    let op = op.into();
    Box::new(move |t, [query, key, value]| {
        let (a, b) = (t.one(ops::Lesser {}, &[query, key]), t.one(ops::Greater {}, &[key, value]));
        t.one(op.clone(), &[a, b])
    })
}

fn convolved(op: ops::Conv2d, filter: &'static str, bias: bool) -> Case {
    Box::new(move |t, [query, ..]| {
        let mut images = t.images(query);
        if op.input_layout == Layout::Nchw {
            images = t.one(ops::Transpose { permutation: vec![0, 3, 1, 2] }, &[images]);
        }
        let shape: Shape = filter.parse().unwrap();
        let out = Shape::new([shape.dims()[0]]).unwrap();
        let mut operands = vec![images, t.0.parameter("filter", shape, normal(), true)];
        if bias {
            operands.push(t.0.parameter("bias", out, normal(), false));
        }
        t.one(op.clone(), &operands)
    })
}

fn pooled(op: ops::AveragePool2d) -> Case {
    Box::new(move |t, [query, ..]| {
        let mut images = t.images(query);
        if op.layout == Layout::Nchw {
            images = t.one(ops::Transpose { permutation: vec![0, 3, 1, 2] }, &[images]);
        }
        t.one(op.clone(), &[images])
    })
}

fn normal() -> Initializer {
    Initializer::Normal { std: 0.5 }
}

fn unary() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        Op::from(ops::Abs {}),
        ops::Cos {}.into(),
        ops::Erf {}.into(),
        ops::Exp {}.into(),
        ops::Gelu {}.into(),
        ops::GeluTanh {}.into(),
        ops::HardSwish {}.into(),
        ops::Identity {}.into(),
        ops::Neg {}.into(),
        ops::Relu {}.into(),
        ops::Sigmoid {}.into(),
        ops::Sin {}.into(),
        ops::Softplus {}.into(),
        ops::Softsign {}.into(),
        ops::Tanh {}.into(),
        ops::Clamp { min_value: -0.5, max_value: 0.25 }.into(),
        ops::Clamp { min_value: -0.5, max_value: f64::INFINITY }.into(),
        ops::Elu { alpha: 0.7 }.into(),
        ops::LeakyRelu { alpha: 0.2 }.into(),
        ops::Dropout { rate: 0.5 }.into(),
    ]
    .map(on_query)
    .into();
    cases.extend(
        [
            Op::from(ops::Log {}),
            ops::Sqrt {}.into(),
            ops::Reciprocal {}.into(),
            ops::ReduceProduct { axes: vec![3], keep_dimensions: false }.into(),
            ops::ReduceLogSum { axes: vec![1, 3], keep_dimensions: false }.into(),
        ]
        .map(on_positive),
    );
    cases.extend(
        [
            Op::from(ops::Abs {}),
            ops::Neg {}.into(),
            ops::Relu {}.into(),
            ops::Sign {}.into(),
            ops::Cast { to: DType::Bool }.into(),
            ops::Clamp { min_value: -2.0, max_value: 3.0 }.into(),
            ops::ReduceMax { axes: vec![2], keep_dimensions: true }.into(),
            ops::ReduceSum { axes: vec![1, 2], keep_dimensions: false }.into(),
            ops::CumulativeSum { axis: 2, exclusive: false, reversed: false }.into(),
        ]
        .map(on_integers),
    );
    // Rounding is done far from where it jumps.
    cases.push(Box::new(|t, [query, ..]| {
        let whole = t.integers(query);
        let whole = t.one(ops::Cast { to: DType::F32 }, &[whole]);
        let parts = [0.25, 0.5, -0.3].map(|part| {
            let part = t.scalar(part);
            t.one(ops::Add {}, &[whole, part])
        });
        let (up, down) = (t.one(ops::Ceil {}, &parts[..1]), t.one(ops::Floor {}, &parts[2..]));
        let even = t.one(ops::RoundEven {}, &parts[1..2]);
        t.one(ops::Concat { axis: 3 }, &[up, down, even])
    }));
    cases.push(Box::new(|t, [query, ..]| {
        let small = t.one(ops::Tanh {}, &[query]);
        t.one(ops::Tan {}, &[small])
    }));
    cases
}

fn binary() -> Vec<Case> {
    let mut cases: Vec<Case> = [
        Op::from(ops::Add {}),
        ops::Sub {}.into(),
        ops::Mul {}.into(),
        ops::Max {}.into(),
        ops::Min {}.into(),
    ]
    .map(on_two)
    .into();
    cases.extend(
        [Op::from(ops::LogicalAnd {}), ops::LogicalOr {}.into(), ops::LogicalXor {}.into()]
            .map(on_conditions),
    );
    cases.push(Box::new(|t, [query, key, _]| {
        let positive = t.one(ops::Sigmoid {}, &[query]);
        let power = t.one(ops::Pow {}, &[positive, key]);
        let one = t.scalar(1.5);
        let positive = t.one(ops::Add {}, &[positive, one]);
        t.one(ops::Div {}, &[power, positive])
    }));
    for op in [
        Op::from(ops::Equal {}),
        ops::NotEqual {}.into(),
        ops::Greater {}.into(),
        ops::GreaterOrEqual {}.into(),
        ops::Lesser {}.into(),
        ops::LesserOrEqual {}.into(),
    ] {
        cases.push(Box::new(move |t, [query, key, value]| {
            let (a, b) = (t.integers(query), t.integers(key));
            let holds = t.one(op.clone(), &[a, b]);
            let not = t.one(ops::LogicalNot {}, &[holds]);
            let a = t.one(ops::Where {}, &[holds, query, value]);
            t.one(ops::Where {}, &[not, a, key])
        }));
    }
    cases.push(Box::new(|t, [query, key, _]| {
        let (a, b) = (t.integers(query), t.integers(key));
        let (most, least) = (t.one(ops::Max {}, &[a, b]), t.one(ops::Min {}, &[a, b]));
        let product = t.one(ops::Mul {}, &[most, least]);
        t.one(ops::Sub {}, &[product, a])
    }));
    cases
}

fn arranged() -> Vec<Case> {
    vec![
        Box::new(|t, [query, ..]| {
            let first = t.one(
                ops::Slice {
                    starts: vec![0, 0, 3, 1],
                    sizes: vec![Dim::BATCH, 2.into(), 9.into(), 5.into()],
                    strides: vec![1, 1, 4, 2],
                },
                &[query],
            );
            t.one(ops::Reverse { axes: vec![1, 3] }, &[first])
        }),
        // The batch is unfolded, cut from its start, and reversed.
        Box::new(|t, [query, ..]| {
            let folded = t.reshape(query, "[2B,17,8]");
            let sizes = vec![Dim::BATCH, 17.into(), 8.into()];
            let op = ops::Slice { starts: vec![0; 3], sizes, strides: vec![1; 3] };
            let half = t.one(op, &[folded]);
            t.one(ops::Reverse { axes: vec![0, 1] }, &[half])
        }),
        Box::new(|t, [query, ..]| {
            let folded = t.reshape(query, "[2B,17,8]");
            let splits = vec![Dim::BATCH, Dim::BATCH];
            let parts = t.0.apply_all(ops::Split { splits, axis: 0 }, &[folded], "");
            t.one(ops::Sub {}, &[parts[0], parts[1]])
        }),
        Box::new(|t, [query, key, _]| {
            let splits = vec![Dim::from(3), 5.into()];
            let parts = t.0.apply_all(ops::Split { splits, axis: 3 }, &[query], "");
            t.one(ops::Concat { axis: 3 }, &[parts[1], key, parts[0]])
        }),
        Box::new(|t, [query, ..]| {
            let one = t.one(
                ops::Slice {
                    starts: vec![0, 1, 2, 0],
                    sizes: vec![Dim::BATCH, 1.into(), 1.into(), 8.into()],
                    strides: vec![1; 4],
                },
                &[query],
            );
            t.one(ops::Expand { new_shape: "[B,2,5,8]".parse().unwrap() }, &[one])
        }),
        Box::new(|t, [query, ..]| {
            let op = ops::Pad {
                beginning_padding: vec![0, 1, 0, 2],
                ending_padding: vec![0, 0, 3, 1],
                value: -1.5,
            };
            t.one(op, &[query])
        }),
        on_query(ops::Triangular { upper: true, diagonal: 1 }),
        on_query(ops::Triangular { upper: false, diagonal: -2 }),
        Box::new(|t, [query, ..]| {
            let places =
                ops::Range { dtype: DType::F32, length: Dim::BATCH, start: 0.0, delta: 0.0 };
            let places = t.one(places, &[]);
            let places = t.reshape(places, "[B,1,1,1]");
            let steps = ops::Range { dtype: DType::I32, length: 8.into(), start: 3.0, delta: -2.0 };
            let steps = t.one(steps, &[]);
            let steps = t.one(ops::Cast { to: DType::F32 }, &[steps]);
            let ones = t.constant("f32[2B,1,4]", &[0.5]);
            let ones = t.reshape(ones, "[B,1,1,8]");
            let sum = t.one(ops::Add {}, &[places, steps]);
            let sum = t.one(ops::Mul {}, &[sum, ones]);
            t.one(ops::Mul {}, &[query, sum])
        }),
    ]
}

fn indexed() -> Vec<Case> {
    vec![
        // From both ends, and beyond them.
        Box::new(|t, [query, key, _]| {
            let constant = t.constant("i32[2,3]", &[0.0, -1.0, 16.0, 3.0, 99.0, -99.0]);
            let some = t.one(ops::Gather { axis: 2 }, &[query, constant]);
            let index = t.integers(key);
            let op = ops::Slice {
                starts: vec![0; 4],
                sizes: vec![Dim::BATCH, 1.into(), 1.into(), 8.into()],
                strides: vec![1; 4],
            };
            let index = t.one(op, &[index]);
            let index = t.reshape(index, "[B,8]");
            let table = t.constant("f32[5]", &[0.1, -0.2, 0.3, 0.7, -0.5]);
            let looked_up = t.one(ops::Gather { axis: 0 }, &[table, index]);
            let some = t.reshape(some, "[B,96]");
            t.one(ops::Concat { axis: 1 }, &[some, looked_up])
        }),
        Box::new(|t, [query, key, _]| {
            let index = t.integers(key);
            t.one(ops::GatherElements { axis: 3 }, &[query, index])
        }),
        Box::new(|t, [query, key, _]| {
            let index = t.integers(key);
            t.one(ops::GatherElements { axis: 2 }, &[query, index])
        }),
        Box::new(|t, [query, ..]| {
            let last = t.0.apply_all(ops::TopK { k: 3.into(), axis: 3 }, &[query], "");
            let tokens = t.0.apply_all(ops::TopK { k: 3.into(), axis: 2 }, &[query], "");
            let index = t.one(ops::Cast { to: DType::F32 }, &[tokens[1]]);
            let index = t.one(ops::Mul {}, &[index, tokens[0]]);
            let [last, index] =
                [(last[0], "[B,102]"), (index, "[B,48]")].map(|(x, shape)| t.reshape(x, shape));
            t.one(ops::Concat { axis: 1 }, &[last, index])
        }),
    ]
}

fn structured() -> Vec<Case> {
    let keep = |keep_dimensions| (vec![1, 3], keep_dimensions);
    let mut cases: Vec<Case> = [false, true]
        .into_iter()
        .flat_map(|kept| {
            let (axes, keep_dimensions) = keep(kept);
            [
                Op::from(ops::ReduceL1 { axes: axes.clone(), keep_dimensions }),
                ops::ReduceL2 { axes: axes.clone(), keep_dimensions }.into(),
                ops::ReduceLogSumExp { axes: axes.clone(), keep_dimensions }.into(),
                ops::ReduceMax { axes: axes.clone(), keep_dimensions }.into(),
                ops::ReduceMin { axes: axes.clone(), keep_dimensions }.into(),
                ops::ReduceSum { axes: axes.clone(), keep_dimensions }.into(),
                ops::ReduceSumSquare { axes, keep_dimensions }.into(),
            ]
        })
        .map(on_query)
        .collect();
    cases.extend(
        [
            Op::from(ops::CumulativeSum { axis: 3, exclusive: true, reversed: false }),
            ops::CumulativeSum { axis: 2, exclusive: false, reversed: true }.into(),
            ops::Softmax { axis: 3 }.into(),
            ops::Softmax { axis: 1 }.into(),
            ops::LayerNormalization { axes: vec![3], epsilon: 1e-3 }.into(),
            ops::LayerNormalization { axes: vec![1, 2], epsilon: 1e-3 }.into(),
        ]
        .map(on_query),
    );
    cases.push(Box::new(|t, [query, key, _]| {
        let weight = t.0.parameter("weight", "[8,3]".parse().unwrap(), normal(), true);
        let bias = t.0.parameter("bias", "[3]".parse().unwrap(), normal(), true);
        let rows = t.one(ops::Linear {}, &[query, weight, bias]);
        let key = t.one(ops::Linear {}, &[key, weight]);
        let key = t.one(ops::Transpose { permutation: vec![0, 1, 3, 2] }, &[key]);
        t.one(ops::Matmul {}, &[rows, key])
    }));
    cases.push(Box::new(|t, [query, key, value]| {
        let bias = t.0.parameter("bias", "[2,17,17]".parse().unwrap(), normal(), false);
        t.one(ops::ScaledDotProductAttention { scale: 0.3 }, &[query, key, value, bias])
    }));
    cases
}

fn windows() -> Vec<Case> {
    let conv = |padding, strides, dilations, groups, input_layout| ops::Conv2d {
        padding,
        strides,
        dilations,
        groups,
        input_layout,
    };
    let pool = |window_dimensions, padding, strides, layout| ops::AveragePool2d {
        window_dimensions,
        padding,
        strides,
        layout,
    };
    let none = [0; 4];
    vec![
        convolved(conv(none, [1, 1], [1, 1], 1, Layout::Nhwc), "[3,16,2,3]", true),
        convolved(conv([1, 0, 2, 1], [2, 1], [1, 1], 1, Layout::Nhwc), "[3,16,2,3]", false),
        convolved(conv(none, [1, 1], [2, 3], 1, Layout::Nchw), "[3,16,2,2]", true),
        convolved(conv([1, 1, 1, 1], [1, 1], [1, 1], 4, Layout::Nchw), "[8,4,3,3]", true),
        convolved(conv([0, 1, 0, 1], [2, 2], [1, 1], 16, Layout::Nhwc), "[16,1,2,2]", false),
        pooled(pool([2, 3], none, [1, 1], Layout::Nhwc)),
        pooled(pool([3, 2], [1, 2, 0, 1], [2, 1], Layout::Nhwc)),
        pooled(pool([3, 3], [1, 1, 1, 1], [3, 3], Layout::Nchw)),
    ]
}

/// Models that apply every op, and which ops they apply.
pub fn ops_in_layers() -> Vec<(String, ViTConfig, AttentionPrograms)> {
    let families = [
        ("unary", unary()),
        ("binary", binary()),
        ("arranged", arranged()),
        ("indexed", indexed()),
        ("structured", structured()),
        ("windows", windows()),
    ];
    let models = families.iter().flat_map(|(family, cases)| {
        cases.chunks(LAYERS).enumerate().map(move |(index, cases)| {
            let depth = cases.len();
            let attention = AttentionKind::Plugin {
                name: "op".into(),
                version: semver::VersionReq::STAR,
                settings: BTreeMap::default(),
                heads: None,
                qk_norm: None,
            };
            let attention = vec![LayerAttention { layers: (0, depth - 1), attention }];
            let config = ViTConfig { depth: Some(depth), attention, ..base() };
            let programs = cases.iter().enumerate();
            let programs = programs.map(|(layer, case)| (layer, program(&config, layer, case)));
            let programs = programs.collect();
            (format!("ops: {family} {index}"), config, programs)
        })
    });
    models.collect()
}

fn program(config: &ViTConfig, layer: usize, case: &Case) -> Arc<Program> {
    let mut trace = Trace(Tracer::new("op", Limits::default()));
    let r#type: TensorType = layer_type(config, layer).unwrap();
    let inputs = ["query", "key", "value"].map(|name| trace.0.input(name, r#type.clone()));
    let result = case(&mut trace, inputs);
    assert!(!trace.0.is_poisoned(result), "layer {layer}: {:?}", trace.0.finish(&[]));
    let out = trace.output(result, inputs[2]);
    Arc::new(trace.0.finish(&[("out", out)]).unwrap_or_else(|errors| panic!("{layer}: {errors}")))
}
