//! From a trace to a program.

use super::{Origin, Tensor, Tracer};
use crate::error::{TraceError, TraceErrors};
use crate::misfit::Misfit;
use crate::program::{Output, Program, ValueId};
use crate::verify::{Draft, DraftNode, verify};

impl Tracer {
    /// The program that computes these outputs. Nodes that none of them depends on are left out.
    ///
    /// # Errors
    /// With everything that was wrong in the trace. A parameter that no output depends on is wrong
    /// too, since it could never be trained.
    pub fn finish(mut self, outputs: &[(&str, Tensor)]) -> Result<Program, TraceErrors> {
        for &(name, tensor) in outputs {
            if !self.is_poisoned(tensor) && self.type_of(tensor).is_none() {
                self.refuse_foreign("output", name, &[tensor]);
            } else if self.is_poisoned(tensor) && self.errors.errors.is_empty() {
                // A handle can be made up from a number.
                self.refuse("output", name, vec![None], Misfit::new("the tensor is poisoned"));
            }
        }
        if !self.errors.errors.is_empty() {
            return Err(self.errors);
        }
        let used = self.used(outputs);
        for (index, (origin, r#type)) in self.values.iter().enumerate() {
            if let (Origin::Parameter(parameter), false) = (origin, used[index]) {
                let name = self.parameters[*parameter as usize].name.clone();
                let problem = Misfit::new(format!("no output depends on this {type}"));
                let error = self.error("parameter", &name, Vec::new(), problem);
                self.errors.errors.push(error);
            }
        }
        if !self.errors.errors.is_empty() {
            return Err(self.errors);
        }
        let (plugin, limits) = (self.plugin.clone(), self.limits.clone());
        verify(self.into_draft(outputs, &used), &limits).map_err(|error| {
            let (op, label) = ("finish".to_owned(), String::new());
            let error =
                TraceError { plugin, op, label, operands: Vec::new(), problem: error.to_string() };
            TraceErrors { errors: vec![error], more: 0 }
        })
    }

    /// Which values some output depends on.
    fn used(&self, outputs: &[(&str, Tensor)]) -> Vec<bool> {
        let mut used = vec![false; self.values.len()];
        for (_, tensor) in outputs {
            used[tensor.index as usize] = true;
        }
        // A node's operands stand before its results.
        for index in (0..used.len()).rev() {
            if let (true, Origin::Result { node, .. }) = (used[index], self.values[index].0) {
                for &operand in &self.nodes[node as usize].operands {
                    used[operand as usize] = true;
                }
            }
        }
        used
    }

    /// The used part, with values in a program's order.
    fn into_draft(self, outputs: &[(&str, Tensor)], used: &[bool]) -> Draft {
        let mut kept = vec![false; self.nodes.len()];
        for ((origin, _), &used) in self.values.iter().zip(used) {
            if let (Origin::Result { node, .. }, true) = (origin, used) {
                kept[*node as usize] = true;
            }
        }
        let mut first = vec![0; self.nodes.len()];
        let mut next = (self.inputs.len() + self.parameters.len()) as u32;
        for (index, node) in self.nodes.iter().enumerate().filter(|(index, _)| kept[*index]) {
            first[index] = next;
            next += node.types.len() as u32;
        }
        let inputs = self.inputs.len() as u32;
        let id = |index: u32| match self.values[index as usize].0 {
            Origin::Input(input) => ValueId(input),
            Origin::Parameter(parameter) => ValueId(inputs + parameter),
            Origin::Result { node, index } => ValueId(first[node as usize] + index),
        };
        let nodes =
            self.nodes.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(node, _)| DraftNode {
                op: node.op,
                operands: node.operands.into_iter().map(id).collect(),
                label: node.label,
                types: node.types,
            });
        let output = |&(name, tensor): &(&str, Tensor)| Output {
            name: name.to_owned(),
            value: id(tensor.index),
        };
        Draft {
            name: self.plugin,
            inputs: self.inputs,
            parameters: self.parameters,
            nodes: nodes.collect(),
            outputs: outputs.iter().map(output).collect(),
        }
    }
}
