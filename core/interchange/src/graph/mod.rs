//! A model's graph on its way into the formats of others: one walk over its tensor program, and one
//! [`table`] that says what each op becomes in each format.
//!
//! An op is either a node of the format, or is rewritten with simpler ops of programs ([`rules`]), which
//! are walked in turn. So what a format lacks is written down once, for all formats that lack it.

mod rules;
pub(crate) mod sizes;
pub(crate) mod table;
mod verify;
mod weights;

use std::sync::Arc;

use vitral_model::{
    ViT,
    vit_program::{Interface, vit_program, vit_program_of_any_size},
};
use vitral_program::{DType, Dim, Op, Program, Shape, TensorType, ops};

pub(crate) use sizes::Sizes;
pub(crate) use table::{Form, direct};
pub use verify::{GraphFormat, Verified, verify};
pub(crate) use weights::{Weight, Weights};

use crate::InterchangeError;

/// What is written along with a model, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GraphOptions {
    /// What the graph takes and gives. With normalisation it takes `u8` pixels.
    pub interface: Interface,
    /// The classes' names, in the order of the logits.
    pub class_names: Vec<String>,
    /// Whether weights are kept in 16 bits. They are computed with in 32.
    pub f16: bool,
    /// Whether the graph takes images of any size whose sides are multiples of the patch size, with
    /// positions resized inside of it as [`ViT::forward`] does it, rather than those of the model's.
    pub any_image_size: bool,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Ops in the graph.
    pub nodes: usize,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Told how many bytes of weights are written, and how many there are.
pub type Progress<'p> = &'p mut dyn FnMut(u64, u64);

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
    fn size(&self, axis: usize) -> Option<usize> {
        self.r#type.shape.dims().get(axis).and_then(|dim| dim.fixed())
    }

    fn rank(&self) -> usize {
        self.r#type.shape.rank()
    }

    fn dims(&self) -> &[Dim] {
        self.r#type.shape.dims()
    }
}

/// A format that graphs are written in.
pub(crate) trait Target: Sized {
    /// Its name, for errors.
    const FORMAT: &'static str;

    /// What an op becomes.
    fn form(op: &Op) -> Form<'_, Self>;

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

    /// Where in the model the next nodes belong, as in `blocks.3.attn`.
    fn set_place(&mut self, place: &str);

    /// What the program's sizes stand for.
    fn sizes(&self) -> &Sizes;
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

pub(crate) fn named(names: Vec<String>, types: Vec<TensorType>) -> Vec<Value> {
    let value = |(name, r#type)| Value { name, r#type, known: None };
    names.into_iter().zip(types).map(value).collect()
}

pub(crate) fn unsupported<T: Target>(what: String) -> InterchangeError {
    InterchangeError::Unsupported { format: T::FORMAT, what }
}

/// The graph of a model. `new` makes an empty one, for sizes that stand for others; `same` says whether two
/// are equal.
pub(crate) fn graph_of<T: Target>(
    model: &ViT,
    options: &GraphOptions,
    new: impl Fn(Sizes) -> T,
    same: impl Fn(&T, &T) -> bool,
) -> Result<(T, Program), InterchangeError> {
    let classes = options.class_names.len();
    if classes != 0 && classes != model.config().classes {
        let has = model.config().classes;
        return Err(unsupported::<T>(format!("{classes} names of classes: the model has {has}")));
    }
    let pixels = options.interface.normalize.is_some();
    let graph = |program: &Program, sizes: Sizes| {
        let mut target = new(sizes);
        build(program, pixels, &mut target).map(|()| target)
    };
    if !options.any_image_size {
        let program = vit_program(model, &options.interface)
            .map_err(|error| unsupported::<T>(error.to_string()))?;
        return Ok((graph(&program, Sizes::default())?, program));
    }
    let [first, second] = vit_program_of_any_size(model, &options.interface)
        .map_err(|error| unsupported::<T>(error.to_string()))?;
    let [target, other] = [&first, &second].map(|any| graph(&any.program, Sizes::of(any)));
    let target = target?;
    if !same(&target, &other?) {
        return Err(unsupported::<T>("images of any size: an op depends on their size".into()));
    }
    Ok((target, first.program))
}

/// Builds the graph of a program.
fn build<T: Target>(
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
        walk.target.set_place(node.label());
        let operands: Vec<_> =
            node.operands().iter().map(|id| values[id.index()].clone()).collect();
        values.extend(walk.apply(node.op().clone(), &operands)?);
    }
    for output in program.outputs() {
        target.output(&output.name, &values[output.value.index()]);
    }
    Ok(())
}

/// `identity`, to give a value another name.
pub(crate) fn identity() -> Op {
    ops::Identity {}.into()
}
