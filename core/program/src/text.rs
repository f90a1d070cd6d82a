//! A program as text for people.

use std::fmt;

use crate::program::Program;
use crate::types::{DType, TensorType};
use crate::wire::FORMAT;

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "program {} v{FORMAT} {{", self.name)?;
        for (value, input) in self.inputs.iter().enumerate() {
            writeln!(f, "  input {}: {}  # %{value}", input.name, input.r#type)?;
        }
        for (value, parameter) in self.parameters.iter().enumerate() {
            let r#type = TensorType::new(DType::F32, parameter.shape.clone());
            let decay = if parameter.decay { ", decays" } else { "" };
            writeln!(
                f,
                "  parameter {}: {type} = {}{decay}  # %{}",
                parameter.name,
                parameter.initializer,
                self.inputs.len() + value
            )?;
        }
        for node in &self.nodes {
            let results: Vec<_> = node.results().map(|id| format!("%{}", id.0)).collect();
            let types: Vec<_> =
                node.results().map(|id| self.types[id.index()].to_string()).collect();
            let operands = node.operands.iter().map(|id| format!("%{}", id.0));
            let attributes = node.op.attributes().into_iter();
            let attributes =
                attributes.map(|attribute| format!("{}: {}", attribute.name, attribute.value));
            let arguments: Vec<_> = operands.chain(attributes).collect();
            let (results, types, arguments) =
                (results.join(", "), types.join(", "), arguments.join(", "));
            write!(f, "  {results} = {}({arguments}) : {types}", node.op.name())?;
            match node.label.as_str() {
                "" => writeln!(f)?,
                label => writeln!(f, "  # {label}")?,
            }
        }
        for output in &self.outputs {
            writeln!(f, "  output {}: %{}", output.name, output.value.0)?;
        }
        writeln!(f, "}}")
    }
}
