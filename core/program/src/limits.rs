//! How large a program may be: plugins are not trusted to be reasonable.

use crate::error::Misfit;
use crate::types::TensorType;

/// What a program may use. The defaults leave any real attention variant plenty of room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Ops in a program.
    pub nodes: usize,
    /// Inputs, and likewise parameters and outputs.
    pub names: usize,
    /// Operands of one op, and likewise its results.
    pub operands: usize,
    /// Elements of any one tensor, per batch item.
    pub elements: usize,
    /// Elements of all parameters together.
    pub parameter_elements: usize,
    /// Bytes of all constants together, at 4 bytes for each value given.
    pub constant_bytes: usize,
    /// Bytes of a name or label.
    pub name_bytes: usize,
    /// Bytes of the serialised form.
    pub serialised_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 4096,
            names: 256,
            operands: 256,
            elements: 1 << 24,
            parameter_elements: 1 << 26,
            constant_bytes: 1 << 22,
            name_bytes: 128,
            serialised_bytes: 1 << 24,
        }
    }
}

impl Limits {
    /// Checks a number of things against one of the limits.
    pub(crate) fn count(&self, what: &str, count: usize, limit: usize) -> Result<(), Misfit> {
        if count <= limit {
            return Ok(());
        }
        Err(Misfit::new(format!("{count} {what} are too many: the limit is {limit}")))
    }

    /// Checks the elements of one tensor.
    pub(crate) fn tensor(&self, r#type: &TensorType) -> Result<(), Misfit> {
        let count = r#type.shape.elements().per_item();
        if count <= self.elements {
            return Ok(());
        }
        let limit = self.elements;
        let problem =
            format!("{type} has {count} elements per batch item, but the limit is {limit}");
        Err(Misfit::new(problem))
    }

    /// Checks the name of an input, parameter or output, which may end up in file formats.
    pub(crate) fn name(&self, name: &str) -> Result<(), Misfit> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(allowed) {
            let problem =
                format!("`{}` is no name: use letters, digits, `_`, `.`, `-`", name.escape_debug());
            return Err(Misfit::new(problem));
        }
        self.count("bytes of a name", name.len(), self.name_bytes)
    }

    /// Checks a label, which is for people only.
    pub(crate) fn label(&self, label: &str) -> Result<(), Misfit> {
        if label.chars().any(char::is_control) {
            let problem = format!("label `{}` has control characters", label.escape_debug());
            return Err(Misfit::new(problem));
        }
        self.count("bytes of a label", label.len(), self.name_bytes)
    }
}
