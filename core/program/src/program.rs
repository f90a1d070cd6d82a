//! A program: inputs, parameters, a list of ops, outputs. One that exists has been verified.

use crate::initializer::Initializer;
use crate::ops::Op;
use crate::shape::Shape;
use crate::types::TensorType;

/// A value of a program. Values are numbered: the inputs, then the parameters, then the results of
/// each node in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// The value's number, to keep values in a list.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a program is given each time it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name, unlike any other input's.
    pub name: String,
    /// Its type.
    pub r#type: TensorType,
}

/// What the trainer owns, optimises and saves: an `f32` tensor without the batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name, unlike any other parameter's.
    pub name: String,
    /// Its shape, in which every dimension is fixed.
    pub shape: Shape,
    /// How it starts.
    pub initializer: Initializer,
    /// Whether weight decay applies to it.
    pub decay: bool,
}

/// One op of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub(crate) op: Op,
    pub(crate) operands: Vec<ValueId>,
    pub(crate) first_result: u32,
    pub(crate) label: String,
}

impl Node {
    /// What it does.
    pub const fn op(&self) -> &Op {
        &self.op
    }

    /// The values that it takes, all before its results.
    pub fn operands(&self) -> &[ValueId] {
        &self.operands
    }

    /// The values that it makes.
    pub fn results(&self) -> impl ExactSizeIterator<Item = ValueId> + use<> {
        let first = self.first_result;
        (0..self.op.results()).map(move |index| ValueId(first + index as u32))
    }

    /// What the plugin calls it, for people.
    pub fn label(&self) -> &str {
        &self.label
    }
}

/// What a program gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its name, unlike any other output's.
    pub name: String,
    /// The value.
    pub value: ValueId,
}

/// A verified tensor program: names are unique, each operand precedes its use, every type follows
/// from the shape rules, and limits hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    pub(crate) name: String,
    pub(crate) inputs: Vec<Input>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) outputs: Vec<Output>,
    pub(crate) types: Vec<TensorType>,
}

impl Program {
    /// The plugin whose program it is.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is given, values `0..`.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Its trainable parameters, the values after the inputs.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Its ops, in an order in which they can run.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What it gives back.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The type of every value, by its number.
    pub fn types(&self) -> &[TensorType] {
        &self.types
    }

    /// The type of a value of this program; `None` for a number that it does not have.
    pub fn type_of(&self, value: ValueId) -> Option<&TensorType> {
        self.types.get(value.index())
    }

    /// Whether another program computes the same from inputs and parameters in the same order.
    /// Names, labels, initializers and decay may differ.
    pub fn same_structure(&self, other: &Self) -> bool {
        let values =
            |outputs: &[Output]| outputs.iter().map(|output| output.value).collect::<Vec<_>>();
        let counts = |program: &Self| (program.inputs.len(), program.parameters.len());
        let same_node = |(a, b): (&Node, &Node)| a.op == b.op && a.operands == b.operands;
        counts(self) == counts(other)
            && self.types == other.types
            && self.nodes.len() == other.nodes.len()
            && self.nodes.iter().zip(&other.nodes).all(same_node)
            && values(&self.outputs) == values(&other.outputs)
    }
}
