//! Programs made ready to run.

use burn::tensor::{Device, Tensor};
use vitral_program::{Dim, Node, Op, Program, TensorType, ValueId, reference};
use vitral_seed::Seed;

use super::{
    create,
    op::run,
    value::{Call, Value, padded},
};

/// Why a program could not be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// Not as many inputs or parameters as the program has.
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
    /// An input or a parameter has another type or shape.
    #[error("{name} of program `{program}` is {given}, but must be {wanted}")]
    Type {
        /// The program.
        program: String,
        /// Which input or parameter.
        name: String,
        /// What was given.
        given: String,
        /// What the program wants.
        wanted: String,
    },
    /// The batch size is 0 or too large.
    #[error("a batch of {batch} cannot be run: {problem}")]
    Batch {
        /// The batch size.
        batch: usize,
        /// What is wrong with it.
        problem: String,
    },
}

/// A program made ready to run on a device.
#[derive(Clone, Debug)]
pub struct Executable {
    program: Program,
    device: Device,
    /// The values of `constant` nodes, by node.
    constants: Vec<Option<Value>>,
    /// How long each value is kept.
    needed: Vec<Needed>,
}

/// How long a value is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needed {
    Never,
    /// Until a node has taken it.
    Until(usize),
    /// To the end, as an output.
    Always,
}

impl Executable {
    /// Puts a program's constants on a device.
    pub fn new(program: &Program, device: &Device) -> Self {
        // Constants need no gradient; autodiff takes them as they are.
        let device = device.clone().without_autodiff();
        let constant = |op: &Op| {
            if let Op::Constant(op) = op { Some(create::constant(op, &device)) } else { None }
        };
        let constants = program.nodes().iter().map(|node| constant(node.op())).collect();
        let mut needed = vec![Needed::Never; program.types().len()];
        for (index, node) in program.nodes().iter().enumerate() {
            for operand in node.operands() {
                needed[operand.index()] = Needed::Until(index);
            }
        }
        for output in program.outputs() {
            needed[output.value.index()] = Needed::Always;
        }
        Self { program: program.clone(), device, constants, needed }
    }

    /// The program.
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// Runs the program: inputs and flat parameters, each in its order and all on the executable's
    /// device, to its outputs. Gradients flow to whatever of them requires some.
    ///
    /// With noise it runs as in training: `random` and `dropout` draw from it, the same as
    /// [`reference::run`] does. Without, it runs as in evaluation: `dropout` passes everything on,
    /// and `random` draws the same values each time.
    ///
    /// # Errors
    /// If inputs or parameters are not of the program's types at this batch size.
    ///
    /// # Panics
    /// If one is on another device.
    pub fn run(
        &self,
        inputs: Vec<Value>,
        parameters: &[Tensor<1>],
        batch: usize,
        noise: Option<Seed>,
    ) -> Result<Vec<Value>, ExecuteError> {
        self.run_part(inputs, parameters, batch, noise, 0)
    }

    /// The same for a part of a larger batch that starts at its sample `first`: values whose first
    /// dimension is the batch, or a multiple of it, get the noise that they have in the whole. Others
    /// draw as if the part were the whole.
    ///
    /// # Errors
    /// As [`Executable::run`].
    ///
    /// # Panics
    /// As [`Executable::run`].
    pub fn run_part(
        &self,
        inputs: Vec<Value>,
        parameters: &[Tensor<1>],
        batch: usize,
        noise: Option<Seed>,
        first: usize,
    ) -> Result<Vec<Value>, ExecuteError> {
        let shapes = self.shapes(batch)?;
        let mut values = self.given(inputs, parameters, &shapes)?;
        let root = noise.unwrap_or(Seed::new(0));
        for (index, node) in self.program.nodes().iter().enumerate() {
            let call = Call {
                operands: self.operands(index, node, &mut values).into_iter(),
                shapes: node.operands().iter().map(|id| &shapes[id.index()][..]).collect(),
                results: node.results().map(|id| &shapes[id.index()][..]).collect(),
                constant: self.constants[index].as_ref(),
                device: &self.device,
                stream: reference::stream(root, index),
                training: noise.is_some(),
                skipped: self.values_before(node, &shapes, batch, first),
            };
            for (id, value) in node.results().zip(run(node.op(), call)) {
                values.push(Some(value).filter(|_| self.needed[id.index()] != Needed::Never));
            }
        }
        // Outputs are never taken.
        let output = |at: usize| values[at].clone().expect("an output that was computed");
        Ok(self.program.outputs().iter().map(|declared| output(declared.value.index())).collect())
    }

    /// How many values of a node's first result belong to samples before the part of a batch.
    fn values_before(
        &self,
        node: &Node,
        shapes: &[Vec<usize>],
        batch: usize,
        first: usize,
    ) -> usize {
        let Some(result) = node.results().next().filter(|_| first > 0) else { return 0 };
        match self.program.types()[result.index()].shape.dims().first() {
            Some(Dim::Batch(_)) => {
                first * (shapes[result.index()].iter().product::<usize>() / batch)
            }
            _ => 0,
        }
    }

    /// Inputs and parameters as the program's first values, if they are what it wants.
    fn given(
        &self,
        inputs: Vec<Value>,
        parameters: &[Tensor<1>],
        shapes: &[Vec<usize>],
    ) -> Result<Vec<Option<Value>>, ExecuteError> {
        self.check_count("inputs", self.program.inputs().len(), inputs.len())?;
        self.check_count("parameters", self.program.parameters().len(), parameters.len())?;
        let (input_shapes, parameter_shapes) = shapes.split_at(inputs.len());
        let mut values = Vec::with_capacity(shapes.len());
        for ((input, value), shape) in self.program.inputs().iter().zip(inputs).zip(input_shapes) {
            let dtype = input.r#type.dtype;
            if (value.dtype(), value.padded()) != (dtype, padded(shape)) {
                let name = format!("input `{}`", input.name);
                let given = format!("{}{:?}", value.dtype(), value.padded());
                return Err(self.wrong(name, given, format!("{dtype}{shape:?}")));
            }
            values.push(Some(value));
        }
        let declared = self.program.parameters().iter();
        for ((parameter, value), shape) in declared.zip(parameters).zip(parameter_shapes) {
            let (given, wanted) = (value.dims()[0], shape.iter().product::<usize>());
            if given != wanted {
                let name = format!("parameter `{}`", parameter.name);
                return Err(self.wrong(name, format!("{given} values"), wanted.to_string()));
            }
            values.push(Some(Value::Float(value.clone().reshape(padded(shape)))));
        }
        Ok(values)
    }

    /// A node's operands, which are dropped from the values if it is the last to use them.
    fn operands(&self, index: usize, node: &Node, values: &mut [Option<Value>]) -> Vec<Value> {
        let ids = node.operands();
        let operand = |(position, id): (usize, &ValueId)| {
            let at = id.index();
            let again = ids[position + 1..].contains(id);
            let last = self.needed[at] == Needed::Until(index) && !again;
            let value = if last { values[at].take() } else { values[at].clone() };
            // In a verified program operands precede their use, and none is taken before its last.
            value.expect("an operand that was computed and not yet dropped")
        };
        ids.iter().enumerate().map(operand).collect()
    }

    /// The shapes of all values at a batch size.
    fn shapes(&self, batch: usize) -> Result<Vec<Vec<usize>>, ExecuteError> {
        let refuse = |problem: String| ExecuteError::Batch { batch, problem };
        if batch == 0 {
            return Err(refuse("it must be at least 1".to_owned()));
        }
        let at = |value: &TensorType| value.shape.at(batch);
        let shapes: Result<Vec<_>, _> = self.program.types().iter().map(at).collect();
        shapes.map_err(|misfit| refuse(misfit.to_string()))
    }

    fn check_count(
        &self,
        what: &'static str,
        wanted: usize,
        given: usize,
    ) -> Result<(), ExecuteError> {
        if wanted == given {
            return Ok(());
        }
        let program = self.program.name().to_owned();
        Err(ExecuteError::Count { program, what, wanted, given })
    }

    fn wrong(&self, name: String, given: String, wanted: String) -> ExecuteError {
        ExecuteError::Type { program: self.program.name().to_owned(), name, given, wanted }
    }
}
