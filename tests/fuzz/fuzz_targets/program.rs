//! A tensor program, as plugins' traces and checkpoints hold it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitral_program::{Array, DType, Limits, Program, reference};

/// What is run here of what is accepted.
const FEW: u64 = 1 << 14;

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let program = match Program::from_bytes(data, &limits) {
        Ok(program) => program,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let again = Program::from_bytes(&program.to_bytes(), &limits);
    assert_eq!(again.as_ref(), Ok(&program));
    let (cost, (peak, _)) = (program.cost(), program.peak());
    assert!(cost.bytes <= limits.bytes && cost.flops <= limits.flops);
    assert!(peak <= limits.peak_bytes && program.products() <= cost.flops);
    assert!(!program.to_string().is_empty());
    if cost.flops > FEW || peak > FEW {
        return;
    }
    // What was accepted runs.
    let array = |shape: Vec<usize>, dtype: DType| {
        let count = shape.iter().product();
        Array::new(dtype, shape, vec![1.0; count]).expect("ones are of any type")
    };
    let types = program.types().iter().map(|r#type| {
        let shape = r#type.shape.at(1).expect("a shape within the limits");
        array(shape, r#type.dtype)
    });
    let given = program.inputs().len() + program.parameters().len();
    let given: Vec<_> = types.take(given).collect();
    let (inputs, parameters) = given.split_at(program.inputs().len());
    for seed in [None, Some(1)] {
        let outputs = reference::run(&program, 1, inputs, parameters, seed);
        assert_eq!(outputs.expect("an accepted program").len(), program.outputs().len());
    }
});
