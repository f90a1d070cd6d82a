//! The walk over a program, which builds a graph of what each op becomes.

use std::sync::Arc;

use vitral_program::{DType, Dim, Op, Program, Shape, TensorType, ops};

use super::{ledger::Ledger, sizes::Sizes};
use crate::InterchangeError;

/// A value of a graph.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    /// Its name in the format.
    pub name: String,
    pub r#type: TensorType,
    /// A constant's values.
    pub known: Option<Arc<Vec<f64>>>,
}

impl Value {
    /// The size of a dimension, unless the batch is in it.
    pub(super) fn size(&self, axis: usize) -> Option<usize> {
        self.r#type.shape.dims().get(axis).and_then(|dim| dim.fixed())
    }

    pub(crate) fn rank(&self) -> usize {
        self.r#type.shape.rank()
    }

    pub(crate) fn dims(&self) -> &[Dim] {
        self.r#type.shape.dims()
    }
}

/// A graph under construction, in the format that it is written in.
pub(crate) trait Builder: Sized {
    /// Its name, for errors.
    const FORMAT: &'static str;

    /// The program's input; `u8` pixels are cast to the type.
    fn input(&mut self, name: &str, r#type: &TensorType, pixels: bool) -> String;

    /// A weight, as `f32`.
    fn parameter(&mut self, name: &str, r#type: &TensorType) -> String;

    /// A constant of a fixed shape.
    fn constant(&mut self, r#type: &TensorType, values: &[f64]) -> String;

    /// A node without attributes other than types.
    fn plain(&mut self, kind: &'static str, operands: &[Value], result: &TensorType) -> String;

    /// The program's output.
    fn output(&mut self, name: &str, value: &Value);

    /// What it keeps while it is made.
    fn ledger(&self) -> &Ledger;

    /// The same, to be changed.
    fn ledger_mut(&mut self) -> &mut Ledger;

    /// What the program's sizes stand for.
    fn sizes(&self) -> &Sizes {
        self.ledger().sizes()
    }
}

type Node<'o, T> = Box<dyn Fn(&mut T, &[Value], &[TensorType]) -> Vec<String> + 'o>;
type Rewrite<'o, T> = Box<dyn Fn(&mut Walk<'_, T>, &[Value], &[TensorType]) -> Values + 'o>;

/// What an op is in a format.
pub(crate) enum Form<'o, T> {
    /// A node of this kind, with the same operands and no attributes but types.
    Plain(&'static str),
    /// A node with attributes or further inputs: operands and results' types to results' names.
    Node(Node<'o, T>),
    /// Simpler ops.
    Rewrite(Rewrite<'o, T>),
    /// Nothing; and why.
    None(&'static str),
}

/// A format that every op has a form in, or a reason why not.
pub(crate) trait Target: Builder {
    /// What an op becomes.
    fn form(op: &Op) -> Form<'_, Self>;
}

/// A walk over a program that builds a graph.
pub(crate) struct Walk<'t, T> {
    pub target: &'t mut T,
}

pub(crate) type Values = Result<Vec<Value>, InterchangeError>;

impl<T: Target> Walk<'_, T> {
    /// Applies an op: as a node, or as what it is rewritten with.
    pub(crate) fn apply(&mut self, op: impl Into<Op>, operands: &[Value]) -> Values {
        let op = op.into();
        let types: Vec<_> = operands.iter().map(|operand| operand.r#type.clone()).collect();
        let results = op.infer(&types).map_err(|misfit| {
            unsupported::<T>(format!("`{}` of {types:?}: {misfit}", op.name()))
        })?;
        match T::form(&op) {
            Form::Plain(kind) => {
                let name = self.target.plain(kind, operands, &results[0]);
                Ok(named(vec![name], results))
            }
            Form::Node(node) => {
                let names = node(self.target, operands, &results);
                Ok(named(names, results))
            }
            Form::Rewrite(rewrite) => rewrite(self, operands, &results),
            Form::None(why) => Err(unsupported::<T>(why.to_owned())),
        }
    }

    /// The only result of an op.
    pub(crate) fn one(
        &mut self,
        op: impl Into<Op>,
        operands: &[Value],
    ) -> Result<Value, InterchangeError> {
        // Every op has a result.
        Ok(self.apply(op, operands)?.remove(0))
    }

    /// A constant of a fixed shape.
    pub(crate) fn constant(&mut self, r#type: TensorType, values: Vec<f64>) -> Value {
        let name = self.target.constant(&r#type, &values);
        Value { name, r#type, known: Some(Arc::new(values)) }
    }

    /// One number of a type.
    pub(crate) fn scalar(&mut self, dtype: DType, value: f64) -> Value {
        self.constant(TensorType::new(dtype, Shape::scalar()), vec![value])
    }
}

/// Builds the graph of a program.
pub(super) fn build<T: Target>(
    program: &Program,
    pixels: bool,
    target: &mut T,
) -> Result<(), InterchangeError> {
    let mut values: Vec<Value> = Vec::with_capacity(program.types().len());
    for input in program.inputs() {
        let name = target.input(&input.name, &input.r#type, pixels);
        values.push(Value { name, r#type: input.r#type.clone(), known: None });
    }
    for parameter in program.parameters() {
        let r#type = TensorType::new(DType::F32, parameter.shape.clone());
        let name = target.parameter(&parameter.name, &r#type);
        values.push(Value { name, r#type, known: None });
    }
    let mut walk = Walk { target };
    for node in program.nodes() {
        walk.target.ledger_mut().move_to(node.label());
        let operands: Vec<_> =
            node.operands().iter().map(|id| values[id.index()].clone()).collect();
        values.extend(walk.apply(node.op().clone(), &operands)?);
    }
    for output in program.outputs() {
        target.output(&output.name, &values[output.value.index()]);
    }
    Ok(())
}

/// A node after its operands were made ready.
pub(crate) fn direct<T: Target>(
    walk: &mut Walk<'_, T>,
    operands: &[Value],
    results: &[TensorType],
    node: impl FnOnce(&mut T, &[Value], &[TensorType]) -> Vec<String>,
) -> Values {
    let names = node(walk.target, operands, results);
    Ok(named(names, results.to_vec()))
}

pub(crate) fn named(names: Vec<String>, types: Vec<TensorType>) -> Vec<Value> {
    let value = |(name, r#type)| Value { name, r#type, known: None };
    names.into_iter().zip(types).map(value).collect()
}

pub(crate) fn unsupported<T: Builder>(what: String) -> InterchangeError {
    InterchangeError::Unsupported { format: T::FORMAT, what }
}

/// `identity`, to give a value another name.
pub(crate) fn identity() -> Op {
    ops::Identity {}.into()
}
