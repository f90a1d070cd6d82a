//! Tracing: what is recorded, what is left out, and what a plugin's author is told.

use vitral_program::{
    Attribute, AttributeValue, Initializer, Limits, Program, Tensor, Tracer, ops,
};

use crate::support::{shape, small, tracer, r#type};

/// The messages of a trace that went wrong.
fn messages(trace: Tracer, outputs: &[(&str, Tensor)]) -> Vec<String> {
    trace.finish(outputs).unwrap_err().errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_program_reads_like_its_trace() {
    assert_eq!(
        small().to_string(),
        "program small v1 {
  input x: f32[B,3]  # %0
  parameter weight: f32[3,3] = truncatedNormal(std: 0.02), decays  # %1
  %2 = linear(%0, %1) : f32[B,3]  # mixed
  %3 = softmax(%2, axis: 1) : f32[B,3]  # weights
  %4 = constant(type: f32[], values: [0.5]) : f32[]  # half
  %5 = mul(%3, %4) : f32[B,3]
  output y: %5
  output weights: %3
}
"
    );
}

#[test]
fn an_error_names_plugin_op_label_operands_and_what_would_fit() {
    let mut trace = Tracer::new("window", Limits::default());
    let q = trace.input("q", r#type("f32[B,4,49,16]"));
    let scores = trace.apply(ops::Matmul {}, &[q, q], "scores");
    assert!(trace.is_poisoned(scores) && trace.type_of(scores).is_none());
    assert_eq!(
        messages(trace, &[("out", scores)]),
        [
            "plugin `window`: matmul(f32[B,4,49,16], f32[B,4,49,16]) `scores`: the last dimension of \
          [B, 4, 49, 16] and the last but one of [B, 4, 49, 16] must be equal, not 16 and 49"
        ]
    );
}

#[test]
fn only_roots_are_reported_and_all_of_them() {
    let mut trace = tracer();
    let x = trace.input("x", r#type("f32[B,4]"));
    let bad = trace.apply(ops::Softmax { axis: 2 }, &[x], "first");
    let worse = trace.apply(ops::Add {}, &[bad, x], "follows");
    let parts = trace.apply_all(
        ops::Split { splits: vec![7.into(), 9.into()], axis: 3 },
        &[worse],
        "follows",
    );
    assert_eq!(parts.len(), 2, "poison has as many results as the op");
    trace.apply_named("no such op", vec![], &[parts[1]], "follows");
    let good = trace.apply(ops::Abs {}, &[x], "good");
    let second = trace.apply(ops::LogicalNot {}, &[good], "second");
    let named = trace.apply_named("sofmax", vec![], &[x], "third");
    trace.parameter("weight", shape("[B]"), Initializer::Constant(0.0), true);
    trace.input("x", r#type("f32[B]"));
    let messages = messages(trace, &[("a", worse), ("b", second), ("c", named[0]), ("d", good)]);
    assert_eq!(
        messages,
        [
            "plugin `test`: softmax(f32[B,4]) `first`: there is no axis 2: axes of [B, 4] are 0 to 1",
            "plugin `test`: logicalNot(f32[B,4]) `second`: input is f32, but must be bool",
            "plugin `test`: sofmax(f32[B,4]) `third`: there is no op `sofmax` in op set 1, which this build has",
            "plugin `test`: parameter `weight`: [B] has the batch in it, but a parameter's shape must be fixed",
            "plugin `test`: input `x`: the name is already taken",
        ]
    );
}

#[test]
fn handles_of_elsewhere_are_errors() {
    let mut other = tracer();
    let foreign = other.input("x", r#type("f32[B]"));
    let mut trace = tracer();
    let x = trace.input("x", r#type("f32[B]"));
    let out_of_range = Tensor::from_raw(x.to_raw() + 1);
    let made_up = Tensor::from_raw(u64::MAX);
    for (label, tensor) in [("foreign", foreign), ("beyond", out_of_range), ("made up", made_up)] {
        trace.apply(ops::Add {}, &[x, tensor], label);
    }
    assert_eq!(trace.type_of(foreign), None);
    assert_eq!(
        messages(trace, &[("out", x), ("lost", foreign)]),
        [
            "plugin `test`: add(f32[B], ?) `foreign`: a tensor is not of this trace",
            "plugin `test`: add(f32[B], ?) `beyond`: a tensor is not of this trace",
            "plugin `test`: add(f32[B], ?) `made up`: a tensor is not of this trace",
            "plugin `test`: output(?) `lost`: a tensor is not of this trace",
        ]
    );
}

#[test]
fn a_made_up_poison_is_no_output() {
    let mut trace = tracer();
    let x = trace.input("x", r#type("f32[B]"));
    let poison = Tensor::from_raw(x.to_raw() | u64::from(u32::MAX));
    assert_eq!(
        messages(trace, &[("out", poison)]),
        ["plugin `test`: output(?) `out`: the tensor is poisoned"]
    );
}

#[test]
fn handles_survive_as_numbers() {
    let mut trace = tracer();
    let x = trace.input("x", r#type("f32[B]"));
    assert_eq!(Tensor::from_raw(x.to_raw()), x);
}

#[test]
fn outputs_have_names_of_their_own_and_there_is_one() {
    let two = |outputs: fn(Tensor) -> Vec<(&'static str, Tensor)>| {
        let mut trace = tracer();
        let x = trace.input("x", r#type("f32[B]"));
        messages(trace, &outputs(x)).join("\n")
    };
    assert!(
        two(|x| vec![("a", x), ("a", x)])
            .contains("output `a`: there is more than one output of that name")
    );
    assert!(two(|_| vec![]).contains("outputs: there is none, but at least one is needed"));
    assert!(two(|x| vec![("a/b", x)]).contains("`a/b` is not a name"));
}

#[test]
fn what_no_output_depends_on_is_left_out() {
    let mut trace = tracer();
    let unused = trace.input("unused", r#type("f32[B]"));
    let x = trace.input("x", r#type("f32[B]"));
    let dead = trace.apply(ops::Exp {}, &[x], "dead");
    trace.apply(ops::Add {}, &[dead, unused], "dead");
    let random = ops::Random {
        shape: shape("[B]"),
        distribution: ops::Distribution::Uniform,
        alpha: 1.0,
        beta: 1.0,
    };
    trace.apply(random, &[], "dead");
    let gain = trace.parameter("gain", shape("[1]"), Initializer::Constant(1.0), false);
    let parts =
        trace.apply_all(ops::TopK { k: vitral_program::Dim::BATCH, axis: 0 }, &[x], "sorted");
    let y = trace.apply(ops::Mul {}, &[parts[0], gain], "kept");
    let program = trace.finish(&[("y", y)]).unwrap();
    assert_eq!(
        program.to_string(),
        "program test v1 {
  input unused: f32[B]  # %0
  input x: f32[B]  # %1
  parameter gain: f32[1] = constant(1)  # %2
  %3, %4 = topK(%1, k: B, axis: 0) : f32[B], i32[B]  # sorted
  %5 = mul(%3, %2) : f32[B]  # kept
  output y: %5
}
"
    );
}

#[test]
fn a_parameter_that_cannot_be_trained_is_an_error() {
    let mut trace = tracer();
    let x = trace.input("x", r#type("f32[B]"));
    trace.parameter("gain", shape("[1]"), Initializer::Constant(1.0), false);
    assert_eq!(
        messages(trace, &[("y", x)]),
        ["plugin `test`: parameter `gain`: no output depends on this f32[1]"]
    );
}

#[test]
fn ops_by_name_are_the_same_ops() {
    let trace = |named: bool| -> Program {
        let mut trace = tracer();
        let x = trace.input("x", r#type("f32[B,4]"));
        let y = if named {
            let axis = Attribute { name: "axis".to_owned(), value: AttributeValue::Int(1) };
            trace.apply_named("softmax", vec![axis], &[x], "weights")[0]
        } else {
            trace.apply(ops::Softmax { axis: 1 }, &[x], "weights")
        };
        trace.finish(&[("y", y)]).unwrap()
    };
    assert_eq!(trace(true), trace(false));
}

#[test]
fn one_trace_serves_any_batch() {
    let program = small();
    let shapes = |batch| -> Vec<Vec<usize>> {
        program.types().iter().map(|r#type| r#type.shape.at(batch).unwrap()).collect()
    };
    assert_eq!(shapes(2)[5], [2, 3]);
    assert_eq!(shapes(64)[5], [64, 3]);
    assert_eq!(shapes(2)[1], shapes(64)[1]);
}
