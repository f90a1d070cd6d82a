//! Every op in Burn against the reference: results at several batch sizes, and autodiff's gradients
//! against finite differences. A new op without a case fails `every_op_has_a_case`.

mod cases;

use std::collections::HashSet;

use burn::tensor::{Device, Tensor};
use vitral_program::{
    Array, DType, Dim, Limits, Op, Program, Shape, Tensor as Symbol, TensorType, Tracer, ops,
    reference,
};
use vitral_seed::Seed;

use super::{
    executable::Executable,
    value::{Value, padded},
};
use cases::{array, case, cases, shape};

const BATCHES: [usize; 2] = [1, 3];
const SEED: u64 = 5;

fn value(array: &Array, device: &Device) -> Value {
    Value::from_host(array.dtype(), padded(array.shape()), array.values(), device)
}

fn host(value: Value) -> Vec<f64> {
    match value {
        Value::Float(x) => x.without_autodiff().into_data().iter::<f64>().collect(),
        Value::Int(x) => x.into_data().iter::<f64>().collect(),
        Value::Bool(x) => x.int().into_data().iter::<f64>().collect(),
    }
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let same = found == expected || (found.is_nan() && expected.is_nan());
        let close = (found - expected).abs() <= tolerance * (1.0 + expected.abs());
        assert!(same || close, "{what}, value {at}: {found}, expected {expected}");
    }
}

/// Checks a program's results.
fn assert_runs(
    device: &Device,
    program: &Program,
    inputs: &[Array],
    parameters: &[Array],
    batch: usize,
) {
    let executable = Executable::new(program, device);
    for seed in [None, Some(SEED)] {
        let what = format!("{program} at batch {batch} with seed {seed:?}");
        let expected = reference::run(program, batch, inputs, parameters, seed).unwrap();
        let values = inputs.iter().map(|input| value(input, device)).collect();
        let flat = parameters.iter().map(|parameter| {
            let values: Vec<_> = parameter.values().iter().map(|&value| value as f32).collect();
            Tensor::from_floats(&values[..], device)
        });
        let flat: Vec<_> = flat.collect();
        let found = executable.run(values, &flat, batch, seed.map(Seed::new)).unwrap();
        for (found, expected) in found.into_iter().zip(&expected) {
            assert_eq!(found.dtype(), expected.dtype(), "{what}");
            assert_eq!(found.padded(), padded(expected.shape()), "{what}");
            assert_close(&host(found), expected.values(), 1e-5, &what);
        }
    }
}

/// Checks the gradient of a weighted sum of all float results by each float input and parameter.
fn assert_gradients(
    device: &Device,
    program: &Program,
    inputs: &[Array],
    parameters: &[Array],
    batch: usize,
) {
    const STEP: f64 = 1e-5;
    let weights = |shape: &[usize], index: usize| {
        let r#type = TensorType::new(DType::F32, Shape::fixed(shape).unwrap());
        array(&r#type, batch, [-1.0, 1.0], 100 + index as u64)
    };
    let given = [inputs, parameters].concat();
    let loss = |given: &[Array]| {
        let (inputs, parameters) = given.split_at(inputs.len());
        let outputs = reference::run(program, batch, inputs, parameters, Some(SEED)).unwrap();
        let floats = outputs.iter().enumerate().filter(|(_, output)| output.dtype() == DType::F32);
        let sum = |(index, output): (usize, &Array)| -> f64 {
            let weights = weights(output.shape(), index);
            output.values().iter().zip(weights.values()).map(|(a, b)| a * b).sum()
        };
        floats.map(sum).sum::<f64>()
    };

    let device = device.clone().autodiff();
    let leaf = |array: &Array| match value(array, &device) {
        Value::Float(x) => Value::Float(x.require_grad()),
        other => other,
    };
    let leaves: Vec<_> = given.iter().map(leaf).collect();
    let (values, flat) = leaves.split_at(inputs.len());
    let flat = flat.iter().map(|value| value.clone().float().unwrap());
    let flat: Vec<Tensor<1>> =
        flat.map(|x| x.clone().reshape([x.shape().num_elements()])).collect();
    let executable = Executable::new(program, &device);
    let outputs = executable.run(values.to_vec(), &flat, batch, Some(Seed::new(SEED))).unwrap();
    let mut total = Tensor::<1>::zeros([1], &device);
    for (index, output) in outputs.into_iter().enumerate() {
        if let Value::Float(x) = output {
            let weights = value(&weights(&x.dims(), index), &device).float().unwrap();
            total = total + (x * weights).sum();
        }
    }
    // Nothing is tracked where no result depends on what was given.
    let gradients = total.is_tracked().then(|| total.backward());
    for (index, leaf) in leaves.into_iter().enumerate() {
        let Value::Float(x) = leaf else { continue };
        let found = match gradients.as_ref().and_then(|gradients| x.grad(gradients)) {
            Some(gradient) => host(Value::Float(gradient)),
            None => vec![0.0; given[index].values().len()],
        };
        let slope = |at: usize| {
            let moved = |by: f64| {
                let mut given = given.clone();
                let (shape, mut values) =
                    (given[index].shape().to_vec(), given[index].values().to_vec());
                values[at] += by;
                given[index] = Array::new(DType::F32, shape, values).unwrap();
                loss(&given)
            };
            (moved(STEP) - moved(-STEP)) / (2.0 * STEP)
        };
        let expected: Vec<_> = (0..found.len()).map(slope).collect();
        let what = format!("gradient by value {index} of {program} at batch {batch}");
        assert_close(&found, &expected, 1e-3, &what);
    }
}

#[test]
fn every_op_has_a_case() {
    let tested: HashSet<_> = cases().iter().map(|case| case.op.name()).collect();
    for info in ops::all() {
        assert!(tested.contains(info.name), "no case for {}", info.name);
    }
}

/// Runs a check on every case and names all that fail.
fn check_all(check: impl Fn(&Program, &[Array], usize)) {
    let mut failures = Vec::new();
    for case in cases() {
        for batch in BATCHES {
            let (program, inputs) = (case.program(), case.inputs(batch));
            let run = std::panic::AssertUnwindSafe(|| check(&program, &inputs, batch));
            if let Err(panic) = std::panic::catch_unwind(run) {
                let text = panic.downcast_ref::<String>().cloned();
                failures.push(format!("{}: {}", case.op.name(), text.unwrap_or_default()));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn check_results(device: &Device) {
    check_all(|program, inputs, batch| assert_runs(device, program, inputs, &[], batch));
}

fn check_gradients(device: &Device) {
    check_all(|program, inputs, batch| assert_gradients(device, program, inputs, &[], batch));
}

#[test]
fn every_op_equals_the_reference() {
    check_results(&Device::flex());
}

#[test]
fn every_gradient_equals_finite_differences() {
    check_gradients(&Device::flex());
}

#[cfg(feature = "wgpu")]
#[test]
fn wgpu_agrees() {
    use crate::device::{DeviceChoice, Gpu};
    let device = DeviceChoice::Gpu(Gpu::Wgpu, 0).open().expect("a Vulkan driver");
    check_results(&device);
    check_gradients(&device);
}

#[test]
fn a_product_with_a_zero_has_a_gradient() {
    let product = ops::ReduceProduct { axes: vec![0, 1], keep_dimensions: false };
    let program = case(product, &["f32[2,3]"]).program();
    let x = Array::new(DType::F32, [2, 3], vec![0.5, 2.0, 0.0, -1.0, 3.0, 0.25]).unwrap();
    assert_gradients(&Device::flex(), &program, &[x], &[], 1);
}

/// A long program with values that are used often, once and never.
#[test]
fn a_program_of_every_op_equals_the_reference() {
    let bytes = include_bytes!("../../../../program/tests/golden/every_op.v1.ron");
    let program = Program::from_bytes(bytes, &Limits::default()).unwrap();
    for batch in BATCHES {
        let range = [0.2, 2.0];
        let types = program.inputs().iter().map(|input| input.r#type.clone()).enumerate();
        let inputs: Vec<_> =
            types.map(|(seed, r#type)| array(&r#type, batch, range, seed as u64)).collect();
        assert_runs(&Device::flex(), &program, &inputs, &parameter_arrays(&program), batch);
    }
}

fn parameter_arrays(program: &Program) -> Vec<Array> {
    let types =
        program.parameters().iter().enumerate().map(|(index, parameter)| {
            (index, TensorType::new(DType::F32, parameter.shape.clone()))
        });
    types.map(|(index, r#type)| array(&r#type, 1, [0.2, 0.9], 50 + index as u64)).collect()
}

/// Traces ops one after the other on a tensor.
struct Chain<'t>(&'t mut Tracer, Symbol);

impl Chain<'_> {
    fn op(self, op: impl Into<Op>) -> Self {
        let next = self.0.apply(op, &[self.1], "");
        Self(self.0, next)
    }

    fn reshape(self, text: &str) -> Self {
        self.op(ops::Reshape { new_shape: shape(text) })
    }

    fn transpose(self, permutation: &[usize]) -> Self {
        self.op(ops::Transpose { permutation: permutation.to_vec() })
    }

    /// The content of an axis of size 4 moved towards its start, in a circle.
    fn rolled(self, axis: usize, by: usize) -> Self {
        let splits = vec![Dim::Fixed(by), Dim::Fixed(4 - by)];
        let parts = self.0.apply_all(ops::Split { splits, axis }, &[self.1], "");
        let rolled = self.0.apply(ops::Concat { axis }, &[parts[1], parts[0]], "");
        Self(self.0, rolled)
    }
}

/// Swin's shifted window attention: 2 heads of width 3, a grid of 4 x 4 in windows of 2 x 2.
fn window_attention() -> Program {
    let mut trace = Tracer::new("window_attention", Limits::default());
    let qkv = ["q", "k", "v"].map(|name| trace.input(name, "f32[B,2,16,3]".parse().unwrap()));
    let [q, k, v] = qkv.map(|x| {
        let grid = Chain(&mut trace, x).reshape("[B, 2, 4, 4, 3]").rolled(2, 1).rolled(3, 1);
        let cut = grid.reshape("[B, 2, 2, 2, 2, 2, 3]").transpose(&[0, 2, 4, 1, 3, 5, 6]);
        cut.reshape("[4B, 2, 4, 3]").1
    });
    let init = vitral_program::Initializer::TruncatedNormal { std: 0.02 };
    let table = trace.parameter("relative_bias", shape("[9, 2]"), init, false);
    let constant = |text: &str, values| ops::Constant { r#type: text.parse().unwrap(), values };
    let offset = |at: usize| {
        let along = |a: usize, b: usize| a + 1 - b;
        let (a, b) = (at / 4, at % 4);
        (along(a / 2, b / 2) * 3 + along(a % 2, b % 2)) as f64
    };
    let index = trace.apply(constant("i32[4,4]", (0..16).map(offset).collect()), &[], "");
    let bias = trace.apply(ops::Gather { axis: 0 }, &[table, index], "");
    let bias = Chain(&mut trace, bias).transpose(&[2, 0, 1]).1;
    // Tokens that only the shift has made neighbours do not see each other.
    let hidden = |at: usize| {
        let (window, a, b) = (at / 16, at / 4 % 4, at % 4);
        let region =
            |token: usize| (window / 2 * 2 + token / 2 >= 3, window % 2 * 2 + token % 2 >= 3);
        if region(a) == region(b) { 0.0 } else { f64::NEG_INFINITY }
    };
    let mask = trace.apply(constant("f32[4,1,4,4]", (0..64).map(hidden).collect()), &[], "");
    let keys = Chain(&mut trace, k).transpose(&[0, 1, 3, 2]).1;
    let scores = trace.apply(ops::Matmul {}, &[q, keys], "");
    let scores = trace.apply(ops::Add {}, &[scores, bias], "");
    let scores = Chain(&mut trace, scores).reshape("[B, 4, 2, 4, 4]").1;
    let scores = trace.apply(ops::Add {}, &[scores, mask], "");
    let weights = Chain(&mut trace, scores).reshape("[4B, 2, 4, 4]").op(ops::Softmax { axis: 3 }).1;
    let mixed = trace.apply(ops::Matmul {}, &[weights, v], "");
    let cut = Chain(&mut trace, mixed).reshape("[B, 2, 2, 2, 2, 2, 3]");
    let grid = cut.transpose(&[0, 3, 1, 4, 2, 5, 6]).reshape("[B, 2, 4, 4, 3]");
    let out = grid.rolled(2, 3).rolled(3, 3).reshape("[B, 2, 16, 3]").1;
    trace.finish(&[("out", out)]).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn window_attention_and_its_gradients_equal_the_reference() {
    let program = window_attention();
    for batch in BATCHES {
        let r#type = "f32[B,2,16,3]".parse().unwrap();
        let inputs = [0, 1, 2].map(|seed| array(&r#type, batch, [-1.0, 1.0], seed));
        let parameters = parameter_arrays(&program);
        assert_runs(&Device::flex(), &program, &inputs, &parameters, batch);
        assert_gradients(&Device::flex(), &program, &inputs, &parameters, batch);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let program = case(ops::Neg {}, &["f32[B,3]"]).program();
    let device = Device::flex();
    let executable = Executable::new(&program, &device);
    let run = |inputs, batch| executable.run(inputs, &[], batch, None).unwrap_err().to_string();
    let x = || Value::from(Tensor::<2>::zeros([2, 3], &device));
    assert_eq!(run(vec![], 2), "program `case` wants 1 inputs, not 0");
    assert!(run(vec![x()], 3).contains("input `operand0` of program `case` is f32"));
    assert!(run(vec![x()], 0).contains("at least 1"));
    let wrong = Value::from(Tensor::<2>::zeros([2, 3], &device).greater_scalar(0.0));
    assert!(run(vec![wrong], 2).contains("must be f32[2, 3]"));
}
