//! Records what a plugin does with symbolic tensors.
//!
//! An op that does not fit is recorded as an error, and its result is poisoned: whatever is
//! computed from it is poisoned too, without further errors. So a trace always goes on to its end,
//! and [`Tracer::finish`] reports every mistake that is not the consequence of another.

mod finish;

use std::sync::atomic::{AtomicU32, Ordering};

use crate::attribute::Attribute;
use crate::cost::Cost;
use crate::error::{TraceError, TraceErrors};
use crate::initializer::Initializer;
use crate::limits::Limits;
use crate::misfit::Misfit;
use crate::ops::Op;
use crate::program::{Input, Parameter};
use crate::shape::Shape;
use crate::types::{DType, TensorType};
use crate::verify::{check_constant, check_cost, check_parameter, infer};

/// How many errors are kept; a plugin may make as many as it likes.
const MAX_ERRORS: usize = 32;

/// The index of every poisoned handle.
const POISON: u32 = u32::MAX;

/// A symbolic tensor: a handle to a value of the trace that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tensor {
    tracer: u32,
    index: u32,
}

impl Tensor {
    /// The handle as a number, to hand over to a plugin.
    pub const fn to_raw(self) -> u64 {
        (self.tracer as u64) << 32 | self.index as u64
    }

    /// A handle from a number, which may come from anywhere: one that is not of the trace where it
    /// is used is an error there.
    pub const fn from_raw(raw: u64) -> Self {
        Self { tracer: (raw >> 32) as u32, index: raw as u32 }
    }
}

/// Where a traced value comes from.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Input(u32),
    Parameter(u32),
    Result { node: u32, index: u32 },
}

#[derive(Debug)]
struct TracedNode {
    op: Op,
    /// Indices of traced values, which are before this node's.
    operands: Vec<u32>,
    label: String,
    types: Vec<TensorType>,
}

/// What operands turn out to be.
enum Operands {
    /// Their types.
    Good(Vec<TensorType>),
    /// At least one follows from an error.
    Poisoned,
    /// At least one is not of this trace.
    Foreign,
}

/// Records one program.
#[derive(Debug)]
pub struct Tracer {
    plugin: String,
    limits: Limits,
    stamp: u32,
    inputs: Vec<Input>,
    parameters: Vec<Parameter>,
    nodes: Vec<TracedNode>,
    values: Vec<(Origin, TensorType)>,
    parameter_elements: usize,
    constant_bytes: usize,
    cost: Cost,
    full: bool,
    errors: TraceErrors,
}

impl Tracer {
    /// A trace of a plugin, which errors name.
    pub fn new(plugin: impl Into<String>, limits: Limits) -> Self {
        static STAMP: AtomicU32 = AtomicU32::new(1);
        Self {
            plugin: plugin.into(),
            limits,
            stamp: STAMP.fetch_add(1, Ordering::Relaxed),
            inputs: Vec::new(),
            parameters: Vec::new(),
            nodes: Vec::new(),
            values: Vec::new(),
            parameter_elements: 0,
            constant_bytes: 0,
            cost: Cost::default(),
            full: false,
            errors: TraceErrors { errors: Vec::new(), more: 0 },
        }
    }

    /// Declares an input. Its name must be new, and the tensor within limits.
    pub fn input(&mut self, name: &str, r#type: TensorType) -> Tensor {
        let exists = self.inputs.iter().any(|input| input.name == name);
        let checked = self
            .check_name("inputs", name, self.inputs.len(), exists)
            .and_then(|()| self.limits.tensor(&r#type));
        if let Err(misfit) = checked {
            return self.refuse("input", name, Vec::new(), misfit);
        }
        let origin = Origin::Input(self.inputs.len() as u32);
        self.inputs.push(Input { name: name.to_owned(), r#type: r#type.clone() });
        self.value(origin, r#type)
    }

    /// Declares a trainable `f32` parameter of a fixed shape. Its name must be new.
    pub fn parameter(
        &mut self,
        name: &str,
        shape: Shape,
        initializer: Initializer,
        decay: bool,
    ) -> Tensor {
        let exists = self.parameters.iter().any(|parameter| parameter.name == name);
        let checked =
            self.check_name("parameters", name, self.parameters.len(), exists).and_then(|()| {
                check_parameter(&shape, initializer, self.parameter_elements, &self.limits)
            });
        match checked {
            Ok(elements) => self.parameter_elements = elements,
            Err(misfit) => return self.refuse("parameter", name, Vec::new(), misfit),
        }
        let origin = Origin::Parameter(self.parameters.len() as u32);
        let r#type = TensorType::new(DType::F32, shape.clone());
        self.parameters.push(Parameter { name: name.to_owned(), shape, initializer, decay });
        self.value(origin, r#type)
    }

    /// Applies an op and gives its result, or the first of them. The label is for people: errors
    /// and the text form show it.
    pub fn apply(&mut self, op: impl Into<Op>, operands: &[Tensor], label: &str) -> Tensor {
        // There is at least one: no op has none, and poison neither.
        self.apply_all(op, operands, label)[0]
    }

    /// Applies an op and gives all of its results, at least one.
    pub fn apply_all(
        &mut self,
        op: impl Into<Op>,
        operands: &[Tensor],
        label: &str,
    ) -> Vec<Tensor> {
        let op = op.into();
        // A refused op has as many results as an accepted one, within reason.
        let poison = vec![self.poison(); op.results().clamp(1, self.limits.operands.max(1))];
        let types = match self.operands(operands) {
            Operands::Poisoned => return poison,
            Operands::Foreign => {
                self.refuse_foreign(op.name(), label, operands);
                return poison;
            }
            Operands::Good(types) => types,
        };
        if self.full {
            return poison;
        }
        match self.check(&op, &types, label) {
            Ok(results) => self.record(op, operands, label, results),
            Err(misfit) => {
                self.refuse(op.name(), label, types.into_iter().map(Some).collect(), misfit);
                poison
            }
        }
    }

    /// Applies an op by name, as plugins ask for it.
    pub fn apply_named(
        &mut self,
        op: &str,
        attributes: Vec<Attribute>,
        operands: &[Tensor],
        label: &str,
    ) -> Vec<Tensor> {
        match Op::from_attributes(op, attributes) {
            Ok(op) => self.apply_all(op, operands, label),
            Err(misfit) => {
                if !matches!(self.operands(operands), Operands::Poisoned) {
                    let types =
                        operands.iter().map(|&operand| self.type_of(operand).cloned()).collect();
                    self.refuse(op, label, types, misfit);
                }
                vec![self.poison()]
            }
        }
    }

    /// The type of a tensor; `None` if it is poisoned or not of this trace.
    pub fn type_of(&self, tensor: Tensor) -> Option<&TensorType> {
        let value = self.values.get(tensor.index as usize).filter(|_| tensor.tracer == self.stamp);
        value.map(|(_, r#type)| r#type)
    }

    /// Whether a tensor follows from an error.
    pub fn is_poisoned(&self, tensor: Tensor) -> bool {
        tensor == self.poison()
    }

    fn operands(&self, operands: &[Tensor]) -> Operands {
        if operands.iter().any(|&operand| self.is_poisoned(operand)) {
            return Operands::Poisoned;
        }
        let types: Option<_> =
            operands.iter().map(|&operand| self.type_of(operand).cloned()).collect();
        types.map_or(Operands::Foreign, Operands::Good)
    }

    /// Checks an op for everything; gives the types of its results.
    fn check(
        &mut self,
        op: &Op,
        operands: &[TensorType],
        label: &str,
    ) -> Result<Vec<TensorType>, Misfit> {
        if let Err(misfit) = self.limits.count("nodes", self.nodes.len() + 1, self.limits.nodes) {
            self.full = true;
            return Err(misfit);
        }
        self.limits.label(label)?;
        let results = infer(op, operands, &self.limits)?;
        self.constant_bytes = check_constant(op, self.constant_bytes, &self.limits)?;
        // One op too many is told once; all that follow would be, too.
        let within = check_cost(op, operands, &results, &mut self.cost, &self.limits);
        self.full = within.is_err();
        within.map(|()| results)
    }

    fn record(
        &mut self,
        op: Op,
        operands: &[Tensor],
        label: &str,
        types: Vec<TensorType>,
    ) -> Vec<Tensor> {
        let node = self.nodes.len() as u32;
        let result = |(index, r#type): (usize, &TensorType)| {
            self.value(Origin::Result { node, index: index as u32 }, r#type.clone())
        };
        let tensors = types.iter().enumerate().map(result).collect();
        let operands = operands.iter().map(|operand| operand.index).collect();
        self.nodes.push(TracedNode { op, operands, label: label.to_owned(), types });
        tensors
    }

    fn value(&mut self, origin: Origin, r#type: TensorType) -> Tensor {
        let index = self.values.len() as u32;
        self.values.push((origin, r#type));
        Tensor { tracer: self.stamp, index }
    }

    const fn poison(&self) -> Tensor {
        Tensor { tracer: self.stamp, index: POISON }
    }

    fn check_name(&self, kind: &str, name: &str, count: usize, exists: bool) -> Result<(), Misfit> {
        self.limits.name(name)?;
        self.limits.count(kind, count + 1, self.limits.names)?;
        if exists { Err(Misfit::new("the name is already taken")) } else { Ok(()) }
    }

    fn refuse_foreign(&mut self, op: &str, label: &str, operands: &[Tensor]) {
        let types = operands.iter().map(|&operand| self.type_of(operand).cloned()).collect();
        self.refuse(op, label, types, Misfit::new("a tensor is not of this trace"));
    }

    /// Records an error; gives the poison that follows from it.
    fn refuse(
        &mut self,
        op: &str,
        label: &str,
        operands: Vec<Option<TensorType>>,
        misfit: Misfit,
    ) -> Tensor {
        if self.errors.errors.len() < MAX_ERRORS {
            let error = self.error(op, label, operands, misfit);
            self.errors.errors.push(error);
        } else {
            self.errors.more += 1;
        }
        self.poison()
    }

    /// An error, in which nothing that the plugin said can be too long or break a line.
    fn error(
        &self,
        op: &str,
        label: &str,
        mut operands: Vec<Option<TensorType>>,
        misfit: Misfit,
    ) -> TraceError {
        let short = |text: &str| {
            text.chars()
                .filter(|c| !c.is_control())
                .take(self.limits.name_bytes)
                .collect::<String>()
        };
        operands.truncate(self.limits.operands);
        let problem = misfit.to_string();
        TraceError {
            plugin: self.plugin.clone(),
            op: short(op),
            label: short(label),
            operands,
            problem,
        }
    }
}
