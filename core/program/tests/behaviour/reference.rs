//! The reference runs whole programs.

use vitral_program::{Array, DType, Initializer, ops, reference, reference::RunError};

use crate::every_op::every_op;
use crate::support::{noise, shape, small, tracer, r#type};

#[test]
fn every_op_runs_at_every_batch_size_to_the_inferred_shapes() {
    let program = every_op();
    for batch in [1, 2, 5] {
        let condition = (0..batch * 4).map(|at| (at % 2) as f64).collect();
        let index = (0..batch * 24).map(|at| (at % 6) as f64).collect();
        let inputs = [
            noise(&[batch, 4, 6], 1),
            noise(&[6], 2),
            Array::new(DType::Bool, [batch, 4, 1], condition).unwrap(),
            Array::new(DType::I32, [batch, 4, 6], index).unwrap(),
        ];
        let parameters =
            [noise(&[6, 6], 3), noise(&[6], 4), noise(&[6], 5), noise(&[6], 6), noise(&[6], 7)];
        let outputs = reference::run(&program, batch, &inputs, &parameters, Some(1)).unwrap();
        for (output, array) in program.outputs().iter().zip(outputs) {
            let wanted = program.type_of(output.value).unwrap();
            assert_eq!(array.dtype(), wanted.dtype, "{}", output.name);
            assert_eq!(array.shape(), wanted.shape.at(batch).unwrap(), "{}", output.name);
        }
    }
}

#[test]
fn batch_items_do_not_mix() {
    let program = small();
    let weight = noise(&[3, 3], 1);
    let run = |x: &Array| {
        reference::run(
            &program,
            x.shape()[0],
            std::slice::from_ref(x),
            std::slice::from_ref(&weight),
            None,
        )
        .unwrap()
    };
    let both = noise(&[2, 3], 2);
    let single = |item: usize| {
        Array::new(DType::F32, [1, 3], both.values()[item * 3..][..3].to_vec()).unwrap()
    };
    let together = run(&both);
    let apart =
        [run(&single(0))[0].values().to_vec(), run(&single(1))[0].values().to_vec()].concat();
    assert_eq!(together[0].values(), apart);
}

#[test]
fn wrong_arrays_are_refused_by_name() {
    let program = small();
    let (x, weight) = (noise(&[2, 3], 1), noise(&[3, 3], 2));
    let run = |batch, inputs: &[Array], parameters: &[Array]| {
        reference::run(&program, batch, inputs, parameters, None).unwrap_err().to_string()
    };
    let (x, weight) = ([x], [weight]);
    assert_eq!(run(2, &[], &weight), "program `small` wants 1 inputs, not 0");
    assert_eq!(run(2, &x, &[]), "program `small` wants 1 parameters, not 0");
    assert_eq!(run(3, &x, &weight), "input `x` is f32[2, 3], but must be f32[3, 3]");
    assert_eq!(
        run(2, &x, &[noise(&[9], 1)]),
        "parameter `weight` is f32[9], but must be f32[3, 3]"
    );
    assert_eq!(run(0, &x, &weight), "a batch of 0 cannot be run: it must be at least 1");
    assert!(run(usize::MAX, &x, &weight).contains("too many elements"));
    assert!(run(1 << 30, &x, &weight).contains("more than 268435456 elements"));
}

#[test]
fn dropout_drops_in_training_only_and_nodes_draw_apart() {
    let mut trace = tracer();
    let x = trace.input("x", r#type("f32[B,100]"));
    let gain = trace.parameter("gain", shape("[]"), Initializer::Constant(1.0), false);
    let x = trace.apply(ops::Mul {}, &[x, gain], "gained");
    let outputs =
        ["a", "b"].map(|name| (name, trace.apply(ops::Dropout { rate: 0.5 }, &[x], name)));
    let program = trace.finish(&outputs).unwrap();
    let (input, gain) = ([noise(&[1, 100], 1)], [noise(&[], 3)]);
    let run = |seed| reference::run(&program, 1, &input, &gain, seed).unwrap();
    let evaluated = run(None);
    assert_eq!(evaluated[0], evaluated[1]);
    let trained = run(Some(1));
    assert_ne!(trained[0], trained[1]);
    assert_ne!(trained[0], run(Some(2))[0]);
    assert_eq!(trained, run(Some(1)));
    assert!(matches!(reference::run(&program, 1, &[], &[], None), Err(RunError::Count { .. })));
}
