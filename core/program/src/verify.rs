//! From a draft, which may say anything, to a program.

use std::collections::HashSet;

use crate::cost::Cost;
use crate::error::ProgramError;
use crate::limits::Limits;
use crate::misfit::Misfit;
use crate::ops::Op;
use crate::program::{Input, Node, Output, Parameter, Program, ValueId};
use crate::types::{DType, TensorType};
use crate::{attribute::AttributeValue, initializer::Initializer, shape::Shape};

/// A program that nobody has looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub name: String,
    pub inputs: Vec<Input>,
    pub parameters: Vec<Parameter>,
    pub nodes: Vec<DraftNode>,
    pub outputs: Vec<Output>,
}

/// One op of a draft.
#[derive(Debug)]
pub(crate) struct DraftNode {
    pub op: Op,
    pub operands: Vec<ValueId>,
    pub label: String,
    /// The results' types, as whoever wrote the draft inferred them.
    pub types: Vec<TensorType>,
}

/// Checks everything that a program promises.
pub(crate) fn verify(draft: Draft, limits: &Limits) -> Result<Program, ProgramError> {
    let at = |place: &str| {
        let place = place.to_owned();
        move |misfit: Misfit| ProgramError::invalid(place.clone(), misfit)
    };
    limits.name(&draft.name).map_err(at("name"))?;
    limits.count("nodes", draft.nodes.len(), limits.nodes).map_err(at("nodes"))?;

    let mut types = Vec::new();
    let mut names = Names::new("input", limits);
    for input in &draft.inputs {
        let place = names.add(&input.name)?;
        limits.tensor(&input.r#type).map_err(at(&place))?;
        types.push(input.r#type.clone());
    }
    let mut names = Names::new("parameter", limits);
    let mut elements = 0;
    for parameter in &draft.parameters {
        let place = names.add(&parameter.name)?;
        let checked = check_parameter(&parameter.shape, parameter.initializer, elements, limits);
        elements = checked.map_err(at(&place))?;
        types.push(TensorType::new(DType::F32, parameter.shape.clone()));
    }

    let mut nodes = Vec::with_capacity(draft.nodes.len());
    let (mut constant_bytes, mut cost) = (0, Cost::default());
    for (index, node) in draft.nodes.into_iter().enumerate() {
        let place = format!("node {index}, {} `{}`", node.op.name(), node.label.escape_debug());
        let first_result = u32::try_from(types.len())
            .map_err(|_| ProgramError::invalid(&place, "there are too many values"))?;
        let results = check_node(&node, &types, limits).map_err(at(&place))?;
        constant_bytes = check_constant(&node.op, constant_bytes, limits).map_err(at(&place))?;
        let operands: Vec<_> = node.operands.iter().map(|id| types[id.index()].clone()).collect();
        check_cost(&node.op, &operands, &results, &mut cost, limits).map_err(at(&place))?;
        types.extend(results);
        nodes.push(Node { op: node.op, operands: node.operands, first_result, label: node.label });
    }

    let mut names = Names::new("output", limits);
    for output in &draft.outputs {
        let place = names.add(&output.name)?;
        if output.value.index() >= types.len() {
            return Err(ProgramError::invalid(
                place,
                format!("there is no value %{}", output.value.0),
            ));
        }
    }
    if draft.outputs.is_empty() {
        return Err(ProgramError::invalid("outputs", "there is none, but at least one is needed"));
    }
    let Draft { name, inputs, parameters, outputs, .. } = draft;
    let program = Program { name, inputs, parameters, nodes, outputs, types };
    let (peak, node) = program.peak();
    limits.peak(peak).map_err(|misfit| {
        let node = node.and_then(|index| program.nodes.get(index).map(|node| (index, node)));
        let place = match node {
            Some((index, Node { op, label, .. })) => {
                format!("node {index}, {} `{}`", op.name(), label.escape_debug())
            }
            None => "inputs".to_owned(),
        };
        ProgramError::invalid(place, misfit)
    })?;
    Ok(program)
}

/// Checks a parameter; gives the elements of all parameters so far.
pub(crate) fn check_parameter(
    shape: &Shape,
    initializer: Initializer,
    elements_before: usize,
    limits: &Limits,
) -> Result<usize, Misfit> {
    if shape.sizes().is_none() {
        let problem = format!("{shape} has the batch in it, but a parameter's shape must be fixed");
        return Err(Misfit::new(problem));
    }
    initializer.check()?;
    limits.tensor(&TensorType::new(DType::F32, shape.clone()))?;
    let elements = elements_before.saturating_add(shape.elements().per_item());
    limits.count("elements of all parameters", elements, limits.parameter_elements)?;
    Ok(elements)
}

/// Checks a constant's size; gives the bytes of all constants so far.
pub(crate) fn check_constant(
    op: &Op,
    bytes_before: usize,
    limits: &Limits,
) -> Result<usize, Misfit> {
    let Op::Constant(constant) = op else { return Ok(bytes_before) };
    let bytes = bytes_before.saturating_add(constant.values.len().saturating_mul(4));
    limits.count("bytes of all constants", bytes, limits.constant_bytes)?;
    Ok(bytes)
}

/// Adds what an op takes to what those before it take, and checks the sum.
pub(crate) fn check_cost(
    op: &Op,
    operands: &[TensorType],
    results: &[TensorType],
    before: &mut Cost,
    limits: &Limits,
) -> Result<(), Misfit> {
    let own = Cost::of(op, operands, results);
    *before += own;
    limits.cost(own, *before)
}

/// The types of an op's results, if operands, attributes and limits fit.
pub(crate) fn infer(
    op: &Op,
    operands: &[TensorType],
    limits: &Limits,
) -> Result<Vec<TensorType>, Misfit> {
    limits.count("operands", operands.len(), limits.operands)?;
    limits.count("results", op.results(), limits.operands)?;
    for attribute in op.attributes() {
        let fits = |&value: &i64| (i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&value);
        let fits = match &attribute.value {
            AttributeValue::Int(value) => fits(value),
            AttributeValue::Ints(values) => values.iter().all(fits),
            _ => true,
        };
        if !fits {
            return Err(Misfit::new(format!(
                "attribute `{}` does not fit 32 bits",
                attribute.name
            )));
        }
    }
    let results = op.infer(operands)?;
    results.iter().try_for_each(|result| limits.tensor(result))?;
    Ok(results)
}

fn check_node(
    node: &DraftNode,
    types: &[TensorType],
    limits: &Limits,
) -> Result<Vec<TensorType>, Misfit> {
    limits.label(&node.label)?;
    let operand = |id: &ValueId| {
        types
            .get(id.index())
            .cloned()
            .ok_or_else(|| Misfit::new(format!("operand %{} does not precede its use", id.0)))
    };
    limits.count("operands", node.operands.len(), limits.operands)?;
    let operands = node.operands.iter().map(operand).collect::<Result<Vec<_>, _>>()?;
    let results = infer(&node.op, &operands, limits)?;
    if results != node.types {
        let text = |types: &[TensorType]| {
            types.iter().map(TensorType::to_string).collect::<Vec<_>>().join(", ")
        };
        let (said, found) = (text(&node.types), text(&results));
        return Err(Misfit::new(format!("is said to result in {said}, but results in {found}")));
    }
    Ok(results)
}

/// The names of one kind of thing, each used once.
pub(crate) struct Names<'l> {
    kind: &'static str,
    limits: &'l Limits,
    seen: HashSet<String>,
}

impl<'l> Names<'l> {
    pub fn new(kind: &'static str, limits: &'l Limits) -> Self {
        Self { kind, limits, seen: HashSet::new() }
    }

    /// Takes a name; gives the words for the place that has it.
    fn add(&mut self, name: &str) -> Result<String, ProgramError> {
        let place = format!("{} `{}`", self.kind, name.escape_debug());
        let refuse = |problem: Misfit| ProgramError::invalid(place.clone(), problem);
        self.limits.name(name).map_err(refuse)?;
        let plural = format!("{}s", self.kind);
        self.limits.count(&plural, self.seen.len() + 1, self.limits.names).map_err(refuse)?;
        if !self.seen.insert(name.to_owned()) {
            return Err(refuse(Misfit::new(format!(
                "there is more than one {} of that name",
                self.kind
            ))));
        }
        Ok(place)
    }
}
