//! Each limit holds while tracing and while loading.

use vitral_program::{Initializer, Limits, Program, TraceErrors, Tracer, ops};

use crate::support::{shape, small, r#type};

/// What a trace under these limits is told.
fn told(limits: Limits, trace: impl FnOnce(&mut Tracer)) -> TraceErrors {
    let mut tracer = Tracer::new("greedy", limits);
    let x = tracer.input("x", r#type("f32[B,4]"));
    trace(&mut tracer);
    tracer.finish(&[("x", x)]).unwrap_err()
}

#[track_caller]
fn told_once(limits: Limits, trace: impl FnOnce(&mut Tracer), message: &str) {
    let errors = told(limits, trace);
    assert_eq!((errors.errors.len(), errors.more), (1, 0), "{errors}");
    assert!(errors.to_string().contains(message), "{errors}");
}

#[test]
fn nodes() {
    let limits = Limits { nodes: 10, ..Limits::default() };
    let many = |trace: &mut Tracer| {
        let mut x = trace.input("y", r#type("f32[B]"));
        for _ in 0..1000 {
            x = trace.apply(ops::Abs {}, &[x], "again");
            // Poison stops nothing that does not depend on it.
            trace.apply(ops::Constant::scalar(1.0), &[], "one");
        }
    };
    told_once(
        limits,
        many,
        "plugin `greedy`: abs(f32[B]) `again`: 11 nodes are too many: the limit is 10",
    );
}

#[test]
fn elements_of_a_tensor() {
    let limits = || Limits { elements: 100, ..Limits::default() };
    told_once(
        limits(),
        |trace| {
            let y = trace.input("y", r#type("f32[2B,5]"));
            trace.apply(ops::Expand { new_shape: shape("[11, 2B, 5]") }, &[y], "big");
        },
        "f32[11,2B,5] has 110 elements per batch item, but the limit is 100",
    );
    told_once(
        limits(),
        |trace| {
            trace.input("y", r#type("f32[B,101]"));
        },
        "input `y`: f32[B,101] has 101 elements",
    );
}

#[test]
fn elements_of_parameters() {
    let limits = Limits { parameter_elements: 100, ..Limits::default() };
    let two = |trace: &mut Tracer| {
        trace.parameter("a", shape("[60]"), Initializer::Constant(0.0), true);
        trace.parameter("b", shape("[60]"), Initializer::Constant(0.0), true);
    };
    told_once(
        limits,
        two,
        "parameter `b`: 120 elements of all parameters are too many: the limit is 100",
    );
}

#[test]
fn bytes_of_constants() {
    let limits = Limits { constant_bytes: 100, ..Limits::default() };
    let two = |trace: &mut Tracer| {
        for label in ["a", "b"] {
            trace.apply(
                ops::Constant { r#type: r#type("f32[15]"), values: vec![0.5; 15] },
                &[],
                label,
            );
        }
    };
    told_once(
        limits,
        two,
        "constant `b`: 120 bytes of all constants are too many: the limit is 100",
    );
}

#[test]
fn names_and_labels() {
    let limits = || Limits { name_bytes: 8, ..Limits::default() };
    let long = |trace: &mut Tracer| {
        trace.input("abcdefghi", r#type("f32[B]"));
    };
    told_once(limits(), long, "9 bytes of a name are too many: the limit is 8");
    let long = |trace: &mut Tracer| {
        trace.apply(ops::Constant::scalar(1.0), &[], "abcdefghi");
    };
    told_once(limits(), long, "9 bytes of a label are too many: the limit is 8");
    let odd = |trace: &mut Tracer| {
        trace.input("a\nb", r#type("f32[B]"));
    };
    told_once(limits(), odd, "plugin `greedy`: input `ab`: `a\\nb` is not a name");
    let many = |trace: &mut Tracer| {
        for index in 0..3 {
            trace.input(&format!("y{index}"), r#type("f32[B]"));
        }
    };
    told_once(
        Limits { names: 3, ..Limits::default() },
        many,
        "input `y2`: 4 inputs are too many: the limit is 3",
    );
}

#[test]
fn operands_and_results() {
    let limits = || Limits { operands: 4, ..Limits::default() };
    told_once(
        limits(),
        |trace| {
            let y = trace.input("y", r#type("f32[B]"));
            trace.apply(ops::Concat { axis: 0 }, &[y; 5], "joined");
        },
        "5 operands are too many: the limit is 4",
    );
    told_once(
        limits(),
        |trace| {
            let y = trace.input("y", r#type("f32[5]"));
            let parts =
                trace.apply_all(ops::Split { splits: vec![1.into(); 5], axis: 0 }, &[y], "cut");
            assert_eq!(parts.len(), 4, "poison within reason");
        },
        "5 results are too many: the limit is 4",
    );
}

#[test]
fn attributes_fit_the_serialised_form() {
    let far = |trace: &mut Tracer| {
        let y = trace.input("y", r#type("f32[5]"));
        let slice = ops::Slice { starts: vec![0], sizes: vec![1.into()], strides: vec![1 << 40] };
        trace.apply(slice, &[y], "far");
    };
    told_once(Limits::default(), far, "attribute `strides` does not fit 32 bits");
}

#[test]
fn errors_are_counted_when_they_are_too_many_to_keep() {
    let errors = told(Limits::default(), |trace| {
        for _ in 0..1000 {
            trace.apply(ops::Add {}, &[], "nothing");
        }
    });
    assert_eq!((errors.errors.len(), errors.more), (32, 968));
    assert!(errors.to_string().ends_with("and 968 more errors"));
}

#[test]
fn limits_hold_for_files_too() {
    let bytes = small().to_bytes();
    let all = Limits::default;
    for (limits, message) in [
        (Limits { nodes: 3, ..all() }, "4 nodes are too many: the limit is 3"),
        (Limits { elements: 8, ..all() }, "parameter `weight`: f32[3,3] has 9 elements"),
        (Limits { parameter_elements: 8, ..all() }, "9 elements of all parameters are too many"),
        (
            Limits { constant_bytes: 3, ..all() },
            "node 2, constant `half`: 4 bytes of all constants are too many",
        ),
        (Limits { name_bytes: 5, ..all() }, "parameter `weight`: 6 bytes of a name are too many"),
        (Limits { names: 1, ..all() }, "output `weights`: 2 outputs are too many: the limit is 1"),
        (Limits { operands: 1, ..all() }, "node 0, linear `mixed`: 2 operands are too many"),
        (
            Limits { bytes: 11, ..all() },
            "node 0, linear `mixed`: it takes 12 bytes of memory per batch item",
        ),
        (
            Limits { flops: 38, ..all() },
            "node 1, softmax `weights`: it takes 6 FLOP of computation per batch item, which \
             brings the program to 39 FLOP: the limit is 38 FLOP",
        ),
        (
            Limits { peak_bytes: 27, ..all() },
            "node 3, mul ``: values of 28 bytes per batch item are needed at the same time",
        ),
        (Limits { serialised_bytes: 9, ..all() }, "is too large: at most 9 are read"),
    ] {
        let error = Program::from_bytes(&bytes, &limits).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

/// A program of matrix products, each as large as a tensor may be: 4 KB of text.
fn greedy(limits: Limits) -> TraceErrors {
    let mut trace = Tracer::new("greedy", limits);
    let x = trace.input("x", r#type("f32[B,4000]"));
    let column = trace.apply(ops::Reshape { new_shape: shape("[B, 4000, 1]") }, &[x], "column");
    let row = trace.apply(ops::Reshape { new_shape: shape("[B, 1, 4000]") }, &[x], "row");
    let mut wide = trace.apply(ops::Matmul {}, &[column, row], "wide");
    for _ in 0..40 {
        wide = trace.apply(ops::Matmul {}, &[wide, wide], "again");
    }
    trace.finish(&[("y", wide)]).unwrap_err()
}

#[test]
fn memory_and_time_of_all_ops_together() {
    let errors = greedy(Limits::default());
    assert_eq!((errors.errors.len(), errors.more), (1, 0), "{errors}");
    assert_eq!(
        errors.to_string(),
        "plugin `greedy`: matmul(f32[B,4000,4000], f32[B,4000,4000]) `again`: it takes 128.0 GFLOP of \
         computation per batch item, which brings the program to 1.2 TFLOP: the limit is 1.1 TFLOP"
    );
    let errors = greedy(Limits { flops: u64::MAX, bytes: 1 << 30, ..Limits::default() });
    assert!(
        errors.to_string().ends_with(
            "it takes 61.0 MiB of memory per batch item, which brings the program to 1.0 GiB: the \
             limit is 1.0 GiB"
        ),
        "{errors}"
    );
}

#[test]
fn memory_at_the_same_time() {
    let limits = Limits { peak_bytes: 1000, ..Limits::default() };
    let mut trace = Tracer::new("wide", limits);
    let x = trace.input("x", r#type("f32[B,50]"));
    trace.apply(ops::Expand { new_shape: shape("[9, B, 50]") }, &[x], "unused");
    let parts: Vec<_> = (0..4).map(|_| trace.apply(ops::Exp {}, &[x], "part")).collect();
    let joined = trace.apply(ops::Concat { axis: 1 }, &parts, "joined");
    // What no output depends on is left out, and takes nothing.
    let errors = trace.finish(&[("joined", joined)]).unwrap_err().to_string();
    assert!(
        errors.contains(
            "node 4, concat `joined`: values of 1.6 KiB per batch item are needed at the same time here: \
             the limit is 1000 bytes"
        ),
        "{errors}"
    );
}

#[test]
fn an_attention_may_take_a_multiple_of_what_softmax_attention_takes() {
    let small = Limits::default().for_attention(&r#type("f32[B,2,5,4]"));
    let large = Limits::default().for_attention(&r#type("f32[B,12,197,64]"));
    assert!(small.bytes < large.bytes && small.flops < large.flops);
    assert!(small.peak_bytes < 2 << 20, "{small:?}");
    assert!(large.bytes < Limits::default().bytes, "{large:?}");
    let largest = Limits::default().for_attention(&r#type("f32[B,1000000,1000000]"));
    assert_eq!(largest, Limits::default(), "never more than without");
    let tight = Limits { flops: 7, ..Limits::default() };
    assert_eq!(tight.for_attention(&r#type("f32[B,2,5,4]")).flops, 7);
}
