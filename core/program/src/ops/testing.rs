//! Tables of cases for ops: which operands fit, what those that do not are told, and values.

use vitral_seed::Seed;

use super::Op;
use super::call::Call;
use crate::array::Array;
use crate::shape::Shape;
use crate::types::{DType, TensorType};

fn types(texts: &[&str]) -> Vec<TensorType> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The op takes these types and results in those, written as `f32[2], i32[2]`.
#[track_caller]
pub(crate) fn fits(op: impl Into<Op>, operands: &[&str], results: &str) {
    let op = op.into();
    let found = op.infer(&types(operands)).unwrap_or_else(|misfit| panic!("{op:?}: {misfit}"));
    let found: Vec<_> = found.iter().map(TensorType::to_string).collect();
    assert_eq!(found.join(", "), results, "{op:?}");
}

/// The op refuses these types, and the message has this in it.
#[track_caller]
pub(crate) fn misfits(op: impl Into<Op>, operands: &[&str], message: &str) {
    let op = op.into();
    let misfit =
        op.infer(&types(operands)).expect_err(&format!("{op:?} takes {operands:?}")).to_string();
    assert!(misfit.contains(message), "{op:?}: {misfit}");
}

pub(crate) fn f32(shape: &[usize], values: &[f64]) -> Array {
    Array::new(DType::F32, shape, values.to_vec()).unwrap()
}

pub(crate) fn i32(shape: &[usize], values: &[f64]) -> Array {
    Array::new(DType::I32, shape, values.to_vec()).unwrap()
}

pub(crate) fn bool(shape: &[usize], values: &[f64]) -> Array {
    Array::new(DType::Bool, shape, values.to_vec()).unwrap()
}

/// 0, 1, 2, ... in a shape.
pub(crate) fn count(shape: &[usize]) -> Array {
    f32(shape, &(0..shape.iter().product()).map(|at: usize| at as f64).collect::<Vec<_>>())
}

/// The op's results, as in training.
#[track_caller]
pub(crate) fn run(op: impl Into<Op>, operands: &[Array]) -> Vec<Array> {
    let op = op.into();
    let r#type =
        |array: &Array| TensorType::new(array.dtype(), Shape::fixed(array.shape()).unwrap());
    let types = op.infer(&operands.iter().map(r#type).collect::<Vec<_>>());
    let types = types.unwrap_or_else(|misfit| panic!("{op:?}: {misfit}"));
    let results: Vec<_> =
        types.iter().map(|result| (result.dtype, result.shape.sizes().unwrap())).collect();
    let arrays = op.run(&Call {
        operands: operands.iter().collect(),
        results: results.clone(),
        training: true,
        stream: Seed::new(7),
    });
    for (array, (dtype, shape)) in arrays.iter().zip(&results) {
        Array::new(*dtype, shape.clone(), array.values().to_vec()).unwrap();
        assert_eq!((array.dtype(), array.shape()), (*dtype, &shape[..]));
    }
    assert_eq!(arrays.len(), op.results());
    arrays
}

/// The op gives these values, all within 1e-6 relative to their size.
#[track_caller]
pub(crate) fn gives(op: impl Into<Op>, operands: &[Array], values: &[f64]) {
    let op = op.into();
    let results = run(op.clone(), operands);
    let found: Vec<_> = results.iter().flat_map(|result| result.values().iter().copied()).collect();
    assert_eq!(found.len(), values.len(), "{op:?}: {found:?}");
    for (index, (&found_value, &value)) in found.iter().zip(values).enumerate() {
        let close =
            found_value == value || (found_value - value).abs() <= 1e-6 * value.abs().max(1.0);
        assert!(close, "{op:?}: value {index} of {found:?} is not {value}");
    }
}
