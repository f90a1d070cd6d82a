//! Whole attention variants, traced once and run by the reference at several batch sizes, against
//! direct loops.

use vitral_program::{
    Array, DType, Dim, Initializer, Limits, Op, Program, Shape, Tensor, TensorType, Tracer, ops,
    reference,
};

use crate::support::{array, noise, shape, tracer, transposed, r#type};

const BATCHES: [usize; 3] = [1, 2, 5];

fn assert_close(found: &Array, expected: &[f64]) {
    assert_eq!(found.values().len(), expected.len());
    for (index, (found, expected)) in found.values().iter().zip(expected).enumerate() {
        assert!((found - expected).abs() < 1e-12, "value {index}: {found}, expected {expected}");
    }
}

fn softmax(scores: &[f64]) -> Vec<f64> {
    let powers: Vec<_> = scores.iter().map(|score| score.exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// `softmax(q kT / sqrt(d)) v` of matmuls, and the one op for it.
fn softmax_attention() -> Program {
    let mut trace = tracer();
    let [q, k, v] = ["q", "k", "v"].map(|name| trace.input(name, r#type("f32[B,2,5,4]")));
    let keys = transposed(&mut trace, k, 4);
    let scores = trace.apply(ops::Matmul {}, &[q, keys], "scores");
    let scale = trace.apply(ops::Constant::scalar(0.5), &[], "scale");
    let scores = trace.apply(ops::Mul {}, &[scores, scale], "scaled");
    let weights = trace.apply(ops::Softmax { axis: 3 }, &[scores], "weights");
    let out = trace.apply(ops::Matmul {}, &[weights, v], "out");
    let fused = trace.apply(ops::ScaledDotProductAttention { scale: 0.5 }, &[q, k, v], "fused");
    trace.finish(&[("out", out), ("fused", fused)]).unwrap()
}

#[test]
fn softmax_attention_equals_direct_loops() {
    let program = softmax_attention();
    for batch in BATCHES {
        let [q, k, v] = [1, 2, 3].map(|seed| noise(&[batch, 2, 5, 4], seed));
        let at = |array: &Array, head: usize, token: usize, d: usize| {
            array.values()[(head * 5 + token) * 4 + d]
        };
        let mut expected = Vec::new();
        for head in 0..batch * 2 {
            for row in 0..5 {
                let dot = |column| {
                    (0..4).map(|d| at(&q, head, row, d) * at(&k, head, column, d)).sum::<f64>()
                };
                let weights = softmax(&(0..5).map(|column| dot(column) / 2.0).collect::<Vec<_>>());
                let mean =
                    |d| (0..5).map(|column| weights[column] * at(&v, head, column, d)).sum::<f64>();
                expected.extend((0..4).map(mean));
            }
        }
        let outputs = reference::run(&program, batch, &[q, k, v], &[], None).unwrap();
        assert_close(&outputs[0], &expected);
        assert_close(&outputs[1], &expected);
    }
}

const GRID: usize = 4;
const WINDOW: usize = 2;
const SHIFT: usize = 1;
const HEADS: usize = 2;
const DIM: usize = 3;
/// Windows along one side, tokens of a window, offsets along one side.
const SIDE: usize = GRID / WINDOW;
const TOKENS: usize = WINDOW * WINDOW;
const OFFSETS: usize = 2 * WINDOW - 1;

/// Shifted window attention with relative bias, as Swin has it, written as a plugin would.
struct Windows<'t> {
    trace: &'t mut Tracer,
}

impl Windows<'_> {
    fn op(&mut self, op: impl Into<Op>, operands: &[Tensor], label: &str) -> Tensor {
        self.trace.apply(op, operands, label)
    }

    /// Moves the content of an axis of `[B, heads, GRID, GRID, DIM]` towards its start, in a circle.
    fn rolled(&mut self, x: Tensor, axis: usize, by: usize) -> Tensor {
        let splits = vec![Dim::Fixed(by), Dim::Fixed(GRID - by)];
        let parts = self.trace.apply_all(ops::Split { splits, axis }, &[x], "cut");
        self.op(ops::Concat { axis }, &[parts[1], parts[0]], "rolled")
    }

    /// `[B, heads, tokens, DIM]` to `[windows B, heads, tokens of a window, DIM]`.
    fn folded(&mut self, x: Tensor, name: &str) -> Tensor {
        let grid = self.op(ops::Reshape { new_shape: shape("[B, 2, 4, 4, 3]") }, &[x], name);
        let grid = self.rolled(grid, 2, SHIFT);
        let grid = self.rolled(grid, 3, SHIFT);
        let cut =
            self.op(ops::Reshape { new_shape: shape("[B, 2, 2, 2, 2, 2, 3]") }, &[grid], "cut");
        let cut = self.op(
            ops::Transpose { permutation: vec![0, 2, 4, 1, 3, 5, 6] },
            &[cut],
            "windows first",
        );
        self.op(ops::Reshape { new_shape: shape("[4B, 2, 4, 3]") }, &[cut], "folded")
    }

    /// The way back.
    fn unfolded(&mut self, x: Tensor) -> Tensor {
        let cut =
            self.op(ops::Reshape { new_shape: shape("[B, 2, 2, 2, 2, 2, 3]") }, &[x], "unfolded");
        let cut = self.op(
            ops::Transpose { permutation: vec![0, 3, 1, 4, 2, 5, 6] },
            &[cut],
            "heads first",
        );
        let grid = self.op(ops::Reshape { new_shape: shape("[B, 2, 4, 4, 3]") }, &[cut], "grid");
        let grid = self.rolled(grid, 2, GRID - SHIFT);
        let grid = self.rolled(grid, 3, GRID - SHIFT);
        self.op(ops::Reshape { new_shape: shape("[B, 2, 16, 3]") }, &[grid], "tokens")
    }

    /// The bias by relative position, `[heads, tokens, tokens]`.
    fn bias(&mut self) -> Tensor {
        let init = Initializer::TruncatedNormal { std: 0.02 };
        let table = self.trace.parameter("relative_bias", shape("[9, 2]"), init, false);
        let offset = |(a, b): (usize, usize)| {
            let along = |a: usize, b: usize| a + WINDOW - 1 - b;
            (along(a / WINDOW, b / WINDOW) * OFFSETS + along(a % WINDOW, b % WINDOW)) as f64
        };
        let pairs = (0..TOKENS).flat_map(|a| (0..TOKENS).map(move |b| (a, b)));
        let r#type = TensorType::new(DType::I32, Shape::fixed(&[TOKENS, TOKENS]).unwrap());
        let index = ops::Constant { r#type, values: pairs.map(offset).collect() };
        let index = self.op(index, &[], "relative position");
        let bias = self.op(ops::Gather { axis: 0 }, &[table, index], "bias");
        self.op(ops::Transpose { permutation: vec![2, 0, 1] }, &[bias], "bias per head")
    }

    /// Minus infinity between tokens that only the shift has made neighbours, `[windows, 1, tokens,
    /// tokens]`.
    fn mask(&mut self) -> Tensor {
        let mut values = Vec::new();
        for window in 0..SIDE * SIDE {
            let region = |token: usize| {
                let y = window / SIDE * WINDOW + token / WINDOW;
                let x = window % SIDE * WINDOW + token % WINDOW;
                (y >= GRID - SHIFT, x >= GRID - SHIFT)
            };
            for a in 0..TOKENS {
                for b in 0..TOKENS {
                    values.push(if region(a) == region(b) { 0.0 } else { f64::NEG_INFINITY });
                }
            }
        }
        let r#type =
            TensorType::new(DType::F32, Shape::fixed(&[SIDE * SIDE, 1, TOKENS, TOKENS]).unwrap());
        self.op(ops::Constant { r#type, values }, &[], "mask")
    }
}

pub fn window_attention() -> Program {
    let mut trace = Tracer::new("window_attention", Limits::default());
    let [q, k, v] = ["q", "k", "v"].map(|name| trace.input(name, r#type("f32[B,2,16,3]")));
    let mut windows = Windows { trace: &mut trace };
    let [q, k, v] =
        [(q, "q"), (k, "k"), (v, "v")].map(|(tensor, name)| windows.folded(tensor, name));
    let keys = transposed(windows.trace, k, 4);
    let scores = windows.op(ops::Matmul {}, &[q, keys], "scores");
    let scale = windows.op(ops::Constant::scalar(0.25), &[], "scale");
    let scores = windows.op(ops::Mul {}, &[scores, scale], "scaled");
    let bias = windows.bias();
    let scores = windows.op(ops::Add {}, &[scores, bias], "biased");
    let scores =
        windows.op(ops::Reshape { new_shape: shape("[B, 4, 2, 4, 4]") }, &[scores], "per window");
    let mask = windows.mask();
    let scores = windows.op(ops::Add {}, &[scores, mask], "masked");
    let scores =
        windows.op(ops::Reshape { new_shape: shape("[4B, 2, 4, 4]") }, &[scores], "folded");
    let weights = windows.op(ops::Softmax { axis: 3 }, &[scores], "weights");
    let mixed = windows.op(ops::Matmul {}, &[weights, v], "mixed");
    let out = windows.unfolded(mixed);
    trace.finish(&[("out", out)]).unwrap()
}

/// Where a token of the grid lies after the shift: its window, its region, its place in the window.
fn place(token: usize) -> ([usize; 2], [bool; 2], [usize; 2]) {
    let shifted = [token / GRID, token % GRID].map(|at| (at + GRID - SHIFT) % GRID);
    (
        shifted.map(|at| at / WINDOW),
        shifted.map(|at| at >= GRID - SHIFT),
        shifted.map(|at| at % WINDOW),
    )
}

#[test]
fn shifted_window_attention_equals_direct_loops() {
    let program = window_attention();
    let table = noise(&[OFFSETS * OFFSETS, HEADS], 9);
    let tokens = GRID * GRID;
    for batch in BATCHES {
        let [q, k, v] = [1, 2, 3].map(|seed| noise(&[batch, HEADS, tokens, DIM], seed));
        let at = |array: &Array, head: usize, token: usize, d: usize| {
            array.values()[(head * tokens + token) * DIM + d]
        };
        let mut expected = Vec::new();
        for head in 0..batch * HEADS {
            for query in 0..tokens {
                let (window, region, from) = place(query);
                let sees = |&key: &usize| (place(key).0, place(key).1) == (window, region);
                let keys: Vec<_> = (0..tokens).filter(sees).collect();
                let score = |&key: &usize| {
                    let to = place(key).2;
                    let offset = |axis: usize| from[axis] + WINDOW - 1 - to[axis];
                    let bias =
                        table.values()[(offset(0) * OFFSETS + offset(1)) * HEADS + head % HEADS];
                    let dot: f64 =
                        (0..DIM).map(|d| at(&q, head, query, d) * at(&k, head, key, d)).sum();
                    dot * 0.25 + bias
                };
                let weights = softmax(&keys.iter().map(score).collect::<Vec<_>>());
                let mean = |d| {
                    keys.iter()
                        .zip(&weights)
                        .map(|(&key, weight)| weight * at(&v, head, key, d))
                        .sum::<f64>()
                };
                expected.extend((0..DIM).map(mean));
            }
        }
        let outputs =
            reference::run(&program, batch, &[q, k, v], std::slice::from_ref(&table), None)
                .unwrap();
        assert_close(&outputs[0], &expected);
    }
}

#[test]
fn window_attention_reads_like_what_it_does() {
    let text = window_attention().to_string();
    assert!(
        text.starts_with("program window_attention v1 {\n  input q: f32[B,2,16,3]  # %0\n"),
        "{text}"
    );
    for line in [
        "  parameter relative_bias: f32[9,2] = truncatedNormal(std: 0.02)  # %3\n",
        " = reshape(%12, newShape: [4B, 2, 4, 3]) : f32[4B,2,4,3]  # folded\n",
        " : f32[4B,2,4,4]  # scores\n",
        " = constant(type: i32[4,4], values: [4, 3, 1, 0, 5, 4, 2, 1, .. 16 values]) : i32[4,4]  # relative position\n",
        " = constant(type: f32[4,1,4,4], values: [0, 0, 0, 0, 0, 0, 0, 0, .. 64 values]) : f32[4,1,4,4]  # mask\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
}

/// Mixup as a batch program: partners by a random order of the batch, weights drawn from Beta.
#[test]
fn a_batch_is_mixed_with_a_random_order_of_itself() {
    let mut trace = tracer();
    let images = trace.input("images", r#type("f32[B,2]"));
    let random = |text: &str, distribution| ops::Random {
        shape: shape(text),
        distribution,
        alpha: 0.8,
        beta: 0.8,
    };
    let keys = trace.apply(random("[B]", ops::Distribution::Uniform), &[], "keys");
    let order = trace.apply_all(ops::TopK { k: Dim::BATCH, axis: 0 }, &[keys], "order")[1];
    let partners = trace.apply(ops::Gather { axis: 0 }, &[images, order], "partners");
    let weight = trace.apply(random("[B, 1]", ops::Distribution::Beta), &[], "weight");
    let difference = trace.apply(ops::Sub {}, &[images, partners], "difference");
    let part = trace.apply(ops::Mul {}, &[difference, weight], "part");
    let mixed = trace.apply(ops::Add {}, &[partners, part], "mixed");
    let program = trace.finish(&[("mixed", mixed), ("order", order), ("weight", weight)]).unwrap();

    for batch in BATCHES {
        let images = noise(&[batch, 2], 4);
        let run = |seed| {
            reference::run(&program, batch, std::slice::from_ref(&images), &[], seed).unwrap()
        };
        let outputs = run(Some(3));
        let mut order: Vec<_> = outputs[1].values().iter().map(|&at| at as usize).collect();
        let pixel = |image: usize, at: usize| images.values()[image * 2 + at];
        let expected = (0..batch * 2).map(|at| {
            let (image, weight) = (at / 2, outputs[2].values()[at / 2]);
            pixel(image, at % 2) * weight + pixel(order[image], at % 2) * (1.0 - weight)
        });
        assert_close(&outputs[0], &expected.collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..batch).collect::<Vec<_>>(), "each is a partner once");
        assert_eq!(run(Some(3)), outputs);
        assert_ne!(run(Some(4))[2], outputs[2]);
        assert_eq!(run(None), run(None), "evaluation repeats itself");
    }
    let wrong = array(&[2, 2], vec![0.0; 4]);
    assert!(reference::run(&program, 3, &[wrong], &[], None).is_err());
}
