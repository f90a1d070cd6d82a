//! Programs and arrays that several tests use.

use vitral_program::{
    Array, DType, Initializer, Limits, Program, Shape, Tensor, TensorType, Tracer, ops,
};

pub fn shape(text: &str) -> Shape {
    text.parse().unwrap()
}

pub fn r#type(text: &str) -> TensorType {
    text.parse().unwrap()
}

pub fn tracer() -> Tracer {
    Tracer::new("test", Limits::default())
}

pub fn array(shape: &[usize], values: Vec<f64>) -> Array {
    Array::new(DType::F32, shape, values).unwrap()
}

/// Values between -1 and 1 that look random and differ by seed.
pub fn noise(shape: &[usize], seed: usize) -> Array {
    let count: usize = shape.iter().product();
    array(shape, (0..count).map(|at| ((at * 37 + seed * 101) as f64 * 0.7).sin()).collect())
}

/// `[.., rows, columns]` with the last two axes swapped.
pub fn transposed(trace: &mut Tracer, tensor: Tensor, rank: usize) -> Tensor {
    let mut permutation: Vec<_> = (0..rank).collect();
    permutation.swap(rank - 2, rank - 1);
    trace.apply(ops::Transpose { permutation }, &[tensor], "transposed")
}

/// A small program with each kind of thing in it.
pub fn small() -> Program {
    let mut trace = Tracer::new("small", Limits::default());
    let x = trace.input("x", r#type("f32[B,3]"));
    let init = Initializer::TruncatedNormal { std: 0.02 };
    let weight = trace.parameter("weight", shape("[3, 3]"), init, true);
    let y = trace.apply(ops::Linear {}, &[x, weight], "mixed");
    let weights = trace.apply(ops::Softmax { axis: 1 }, &[y], "weights");
    let half = trace.apply(ops::Constant::scalar(0.5), &[], "half");
    let scaled = trace.apply(ops::Mul {}, &[weights, half], "");
    trace.finish(&[("y", scaled), ("weights", weights)]).unwrap()
}
