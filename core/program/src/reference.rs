//! Runs a program on plain arrays: simple loops that say what each op means, against which faster
//! executors are tested.

use vitral_seed::Seed;

use crate::array::Array;
use crate::misfit::Misfit;
use crate::ops::call::Call;
use crate::program::Program;
use crate::types::{DType, TensorType};

/// The most elements that all values of a run may have together.
const MAX_ELEMENTS: usize = 1 << 28;

/// Why a program could not be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The arrays given are not those that the program wants.
    #[error("program `{program}` wants {wanted} {what}, not {given}")]
    Count {
        /// The program.
        program: String,
        /// `inputs` or `parameters`.
        what: &'static str,
        /// How many it has.
        wanted: usize,
        /// How many were given.
        given: usize,
    },
    /// An array has another type or shape.
    #[error("{name} is {given}, but must be {wanted}")]
    Type {
        /// The input or parameter.
        name: String,
        /// What was given.
        given: String,
        /// What the program wants.
        wanted: String,
    },
    /// The batch size is 0, or too large for this executor.
    #[error("a batch of {batch} cannot be run: {problem}")]
    Batch {
        /// The batch size.
        batch: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// The random stream of a node. Executors that draw from it agree with each other.
pub fn stream(seed: Seed, node: usize) -> Seed {
    seed.named("program").indexed(node as u64)
}

/// Runs a program: its inputs and parameters, in order, to its outputs.
///
/// With a seed it runs as in training: `random` and `dropout` draw from it. Without, it runs as in
/// evaluation: `dropout` passes everything on, and `random` draws the same values each time.
///
/// # Errors
/// If the arrays are not of the program's types at this batch size, or the batch is too large.
/// ```
/// use vitral_program::{Array, DType, Limits, Tracer, ops, reference};
///
/// let mut trace = Tracer::new("sum", Limits::default());
/// let a = trace.input("a", "f32[B,2]".parse()?);
/// let b = trace.input("b", "f32[B,2]".parse()?);
/// let sum = trace.apply(ops::Add {}, &[a, b], "sum");
/// let program = trace.finish(&[("sum", sum)])?;
///
/// let a = Array::new(DType::F32, [1, 2], vec![1.0, 2.0])?;
/// let b = Array::new(DType::F32, [1, 2], vec![10.0, 20.0])?;
/// let results = reference::run(&program, 1, &[a, b], &[], None)?;
/// assert_eq!(results[0].values(), [11.0, 22.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn run(
    program: &Program,
    batch: usize,
    inputs: &[Array],
    parameters: &[Array],
    seed: Option<u64>,
) -> Result<Vec<Array>, RunError> {
    let count = |what, wanted, given| {
        let program = program.name().to_owned();
        if wanted == given { Ok(()) } else { Err(RunError::Count { program, what, wanted, given }) }
    };
    count("inputs", program.inputs().len(), inputs.len())?;
    count("parameters", program.parameters().len(), parameters.len())?;
    let types = concrete(program, batch)?;

    let names = program.inputs().iter().map(|input| format!("input `{}`", input.name));
    let names = names.chain(
        program.parameters().iter().map(|parameter| format!("parameter `{}`", parameter.name)),
    );
    let mut values: Vec<Array> = inputs.iter().chain(parameters).cloned().collect();
    for ((name, value), (dtype, shape)) in names.zip(&values).zip(&types) {
        if (value.dtype(), value.shape()) != (*dtype, &shape[..]) {
            let given = format!("{}{:?}", value.dtype(), value.shape());
            return Err(RunError::Type { name, given, wanted: format!("{dtype}{shape:?}") });
        }
    }

    let root = Seed::new(seed.unwrap_or(0));
    for (index, node) in program.nodes().iter().enumerate() {
        let results = node.op().run(&Call {
            operands: node.operands().iter().map(|id| &values[id.index()]).collect(),
            results: node.results().map(|id| types[id.index()].clone()).collect(),
            training: seed.is_some(),
            stream: stream(root, index),
        });
        values.extend(results);
    }
    Ok(program.outputs().iter().map(|output| values[output.value.index()].clone()).collect())
}

/// The types of all values at a batch size, which must not be too large.
fn concrete(program: &Program, batch: usize) -> Result<Vec<(DType, Vec<usize>)>, RunError> {
    let refuse = |problem: String| RunError::Batch { batch, problem };
    if batch == 0 {
        return Err(refuse("it must be at least 1".to_owned()));
    }
    let at = |value: &TensorType| Ok((value.dtype, value.shape.at(batch)?));
    let types: Result<Vec<_>, Misfit> = program.types().iter().map(at).collect();
    let types = types.map_err(|misfit| refuse(misfit.to_string()))?;
    let total = types
        .iter()
        .try_fold(0_usize, |total, (_, shape)| total.checked_add(shape.iter().product()));
    match total {
        Some(total) if total <= MAX_ELEMENTS => Ok(types),
        _ => Err(refuse(format!("its values have more than {MAX_ELEMENTS} elements"))),
    }
}
