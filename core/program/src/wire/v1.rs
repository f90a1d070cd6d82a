//! Format 1. These types are what is in files, and never change; [`into_draft`] is where names of
//! that time become today's.

use serde::{Deserialize, Serialize};

use super::bounded::Bounded;
use crate::attribute;
use crate::error::ProgramError;
use crate::initializer;
use crate::misfit::Misfit;
use crate::ops::Op;
use crate::program::{self, ValueId};
use crate::verify::{Draft, DraftNode};

/// Lists in a file stop here, whatever the limits of whoever reads it.
const MAX_NODES: usize = 1 << 16;
const MAX_ITEMS: usize = 1 << 10;
const MAX_NUMBERS: usize = 1 << 23;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Program {
    format: u32,
    name: String,
    inputs: Bounded<Input, MAX_ITEMS>,
    parameters: Bounded<Parameter, MAX_ITEMS>,
    nodes: Bounded<Node, MAX_NODES>,
    outputs: Bounded<Output, MAX_ITEMS>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    name: String,
    r#type: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameter {
    name: String,
    shape: String,
    initializer: Initializer,
    decay: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
enum Initializer {
    Constant(f64),
    Normal { std: f64 },
    TruncatedNormal { std: f64 },
    Uniform { limit: f64 },
    XavierUniform { fan_in: u64, fan_out: u64 },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    op: String,
    #[serde(default, skip_serializing_if = "is_empty")]
    operands: Bounded<u32, MAX_ITEMS>,
    #[serde(default, skip_serializing_if = "is_empty")]
    attributes: Bounded<(String, Value), MAX_ITEMS>,
    types: Bounded<String, MAX_ITEMS>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    label: String,
}

#[derive(Serialize, Deserialize)]
enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Ints(Bounded<i64, MAX_NUMBERS>),
    Floats(Bounded<f64, MAX_NUMBERS>),
    Text(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    name: String,
    value: u32,
}

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

fn is_empty<T, const MAX: usize>(list: &Bounded<T, MAX>) -> bool {
    list.0.is_empty()
}

/// What was read, in today's words. It is as yet unverified.
pub(super) fn into_draft(program: Program) -> Result<Draft, ProgramError> {
    let inputs = program.inputs.0.into_iter().map(|input| {
        let r#type = parse(&input.r#type, || format!("input `{}`", input.name.escape_debug()))?;
        Ok(program::Input { name: input.name, r#type })
    });
    let parameters = program.parameters.0.into_iter().map(|parameter| {
        let place = || format!("parameter `{}`", parameter.name.escape_debug());
        Ok(program::Parameter {
            shape: parse(&parameter.shape, place)?,
            initializer: parameter.initializer.into(),
            decay: parameter.decay,
            name: parameter.name,
        })
    });
    let outputs = program.outputs.0.into_iter();
    let outputs =
        outputs.map(|output| program::Output { name: output.name, value: ValueId(output.value) });
    Ok(Draft {
        name: program.name,
        inputs: inputs.collect::<Result<_, ProgramError>>()?,
        parameters: parameters.collect::<Result<_, ProgramError>>()?,
        nodes: program
            .nodes
            .0
            .into_iter()
            .enumerate()
            .map(node_into_draft)
            .collect::<Result<_, _>>()?,
        outputs: outputs.collect(),
    })
}

fn node_into_draft((index, node): (usize, Node)) -> Result<DraftNode, ProgramError> {
    let place =
        || format!("node {index}, {} `{}`", node.op.escape_debug(), node.label.escape_debug());
    let attributes = node.attributes.0.into_iter();
    let attributes =
        attributes.map(|(name, value)| attribute::Attribute { name, value: value.into() });
    let op = Op::from_attributes(&node.op, attributes.collect());
    Ok(DraftNode {
        op: op.map_err(|misfit| ProgramError::invalid(place(), misfit))?,
        operands: node.operands.0.into_iter().map(ValueId).collect(),
        types: node.types.0.iter().map(|text| parse(text, place)).collect::<Result<_, _>>()?,
        label: node.label,
    })
}

fn parse<T: std::str::FromStr<Err = Misfit>>(
    text: &str,
    place: impl Fn() -> String,
) -> Result<T, ProgramError> {
    text.parse().map_err(|misfit| ProgramError::invalid(place(), misfit))
}

/// A program in format 1, one line for each thing in it.
pub(super) fn to_text(program: &program::Program) -> String {
    let wire = from_program(program);
    let config = ron::ser::PrettyConfig::new()
        .depth_limit(2)
        .compact_arrays(false)
        .new_line("\n")
        .indentor("  ");
    // Text, numbers and lists of them always have a RON form, and a `String` takes all that is
    // written.
    ron::ser::to_string_pretty(&wire, config).expect("a program can be written") + "\n"
}

fn from_program(program: &program::Program) -> Program {
    let inputs = program.inputs().iter();
    let inputs =
        inputs.map(|input| Input { name: input.name.clone(), r#type: input.r#type.to_string() });
    let parameters = program.parameters().iter().map(|parameter| Parameter {
        name: parameter.name.clone(),
        shape: parameter.shape.to_string(),
        initializer: parameter.initializer.into(),
        decay: parameter.decay,
    });
    let nodes = program.nodes().iter().map(|node| Node {
        op: node.op().name().to_owned(),
        operands: Bounded(node.operands().iter().map(|id| id.0).collect()),
        attributes: Bounded(
            node.op()
                .attributes()
                .into_iter()
                .map(|attribute| (attribute.name, attribute.value.into()))
                .collect(),
        ),
        types: Bounded(node.results().map(|id| program.types()[id.index()].to_string()).collect()),
        label: node.label().to_owned(),
    });
    let outputs = program.outputs().iter();
    let outputs = outputs.map(|output| Output { name: output.name.clone(), value: output.value.0 });
    Program {
        format: 1,
        name: program.name().to_owned(),
        inputs: Bounded(inputs.collect()),
        parameters: Bounded(parameters.collect()),
        nodes: Bounded(nodes.collect()),
        outputs: Bounded(outputs.collect()),
    }
}

impl From<Initializer> for initializer::Initializer {
    fn from(wire: Initializer) -> Self {
        match wire {
            Initializer::Constant(value) => Self::Constant(value),
            Initializer::Normal { std } => Self::Normal { std },
            Initializer::TruncatedNormal { std } => Self::TruncatedNormal { std },
            Initializer::Uniform { limit } => Self::Uniform { limit },
            Initializer::XavierUniform { fan_in, fan_out } => {
                let fan = |fan: u64| usize::try_from(fan).unwrap_or(usize::MAX);
                Self::XavierUniform { fan_in: fan(fan_in), fan_out: fan(fan_out) }
            }
        }
    }
}

impl From<initializer::Initializer> for Initializer {
    fn from(initializer: initializer::Initializer) -> Self {
        match initializer {
            initializer::Initializer::Constant(value) => Self::Constant(value),
            initializer::Initializer::Normal { std } => Self::Normal { std },
            initializer::Initializer::TruncatedNormal { std } => Self::TruncatedNormal { std },
            initializer::Initializer::Uniform { limit } => Self::Uniform { limit },
            initializer::Initializer::XavierUniform { fan_in, fan_out } => {
                Self::XavierUniform { fan_in: fan_in as u64, fan_out: fan_out as u64 }
            }
        }
    }
}

impl From<Value> for attribute::AttributeValue {
    fn from(wire: Value) -> Self {
        match wire {
            Value::Bool(value) => Self::Bool(value),
            Value::Int(value) => Self::Int(value),
            Value::Float(value) => Self::Float(value),
            Value::Ints(values) => Self::Ints(values.0),
            Value::Floats(values) => Self::Floats(values.0),
            Value::Text(text) => Self::Text(text),
        }
    }
}

impl From<attribute::AttributeValue> for Value {
    fn from(value: attribute::AttributeValue) -> Self {
        match value {
            attribute::AttributeValue::Bool(value) => Self::Bool(value),
            attribute::AttributeValue::Int(value) => Self::Int(value),
            attribute::AttributeValue::Float(value) => Self::Float(value),
            attribute::AttributeValue::Ints(values) => Self::Ints(Bounded(values)),
            attribute::AttributeValue::Floats(values) => Self::Floats(Bounded(values)),
            attribute::AttributeValue::Text(text) => Self::Text(text),
        }
    }
}
