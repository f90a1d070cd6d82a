//! Ops as a hostile plugin asks for them: any attributes, any operands. Whatever is accepted also
//! loads and runs.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use vitral_program::{
    Array, Attribute, AttributeKind, AttributeValue, DType, Limits, Program, TensorType, Tracer,
    ops, reference,
};

const TYPES: [&str; 14] = [
    "f32[]",
    "f32[1]",
    "f32[3]",
    "f32[2,3]",
    "f32[3,2]",
    "f32[2,3,2]",
    "f32[1,4,4,2]",
    "f32[2,2,2,2]",
    "f32[B]",
    "f32[B,3]",
    "f32[B,2,3,2]",
    "i32[3]",
    "i32[B,3]",
    "bool[2,3]",
];
const TEXTS: [&str; 18] = [
    "i32",
    "bool",
    "f32",
    "B",
    "2",
    "3",
    "0",
    "[B, 3]",
    "[3, 2]",
    "[2, 2, 3, 2]",
    "[1, 2]",
    "f32[2]",
    "i32[B]",
    "nchw",
    "uniform",
    "beta",
    "[2]",
    "[1]",
];
const INTS: [i64; 12] =
    [0, 0, 1, 1, 2, 3, 4, -1, i32::MIN as i64, i32::MAX as i64, u32::MAX as i64, i64::MAX];
const FLOATS: [f64; 10] =
    [0.0, 0.5, 1.0, 2.0, -1.0, 1e-300, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];

fn one_of<T: Clone>(rng: &mut StdRng, items: &[T]) -> T {
    items.choose(rng).unwrap().clone()
}

fn value(rng: &mut StdRng, kind: AttributeKind) -> AttributeValue {
    let count = rng.random_range(0..5);
    match kind {
        AttributeKind::Bool => AttributeValue::Bool(rng.random()),
        AttributeKind::Int => AttributeValue::Int(one_of(rng, &INTS)),
        AttributeKind::Float => AttributeValue::Float(one_of(rng, &FLOATS)),
        AttributeKind::Ints => {
            AttributeValue::Ints((0..count).map(|_| one_of(rng, &INTS)).collect())
        }
        AttributeKind::Floats => {
            AttributeValue::Floats((0..count).map(|_| one_of(rng, &FLOATS)).collect())
        }
        AttributeKind::Text => AttributeValue::Text(one_of(rng, &TEXTS).to_owned()),
    }
}

/// Values of a type, of all kinds that it has.
fn array(rng: &mut StdRng, r#type: &TensorType, batch: usize) -> Array {
    let shape = r#type.shape.at(batch).unwrap();
    let value = |_| match r#type.dtype {
        DType::F32 => one_of(rng, &FLOATS),
        DType::I32 => f64::from(one_of(rng, &INTS) as i32),
        DType::Bool => f64::from(rng.random_range(0..2)),
    };
    let values = (0..shape.iter().product()).map(value).collect();
    Array::new(r#type.dtype, shape, values).unwrap()
}

/// A program of one op, or nothing if it does not fit.
fn attempt(rng: &mut StdRng, limits: &Limits) -> Option<Program> {
    let info = one_of(rng, ops::all());
    let mut trace = Tracer::new("any", limits.clone());
    let count = (info.operands.len() + usize::from(rng.random_bool(0.1)))
        .saturating_sub(rng.random_range(0..2));
    let operands: Vec<_> = (0..count)
        .map(|index| trace.input(&format!("x{index}"), one_of(rng, &TYPES).parse().unwrap()))
        .collect();
    let mut attributes = Vec::new();
    for attribute in info.attributes {
        if attribute.required || rng.random_bool(0.3) {
            let value = value(rng, attribute.kind);
            attributes.push(Attribute { name: attribute.name.to_owned(), value });
        }
    }
    let results = trace.apply_named(info.name, attributes, &operands, "any");
    let outputs: Vec<_> = results.iter().map(|&result| ("y", result)).take(1).collect();
    trace.finish(&outputs).ok()
}

#[test]
fn any_op_with_any_attributes_is_refused_or_runs() {
    let mut rng = StdRng::seed_from_u64(2);
    let limits = Limits { elements: 1000, ..Limits::default() };
    let mut accepted = std::collections::BTreeSet::new();
    for _ in 0..800_000 {
        let Some(program) = attempt(&mut rng, &limits) else { continue };
        assert_eq!(Program::from_bytes(&program.to_bytes(), &limits).as_ref(), Ok(&program));
        let batch = rng.random_range(1..4);
        let inputs: Vec<_> =
            program.inputs().iter().map(|input| array(&mut rng, &input.r#type, batch)).collect();
        reference::run(&program, batch, &inputs, &[], Some(1)).unwrap();
        accepted.insert(program.nodes()[0].op().name());
    }
    let missed: Vec<_> =
        ops::all().iter().map(|info| info.name).filter(|name| !accepted.contains(name)).collect();
    assert!(missed.is_empty(), "never accepted: {missed:?}");
}
