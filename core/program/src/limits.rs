//! How large a program may be: plugins are not trusted to be reasonable.

use crate::cost::Cost;
use crate::misfit::Misfit;
use crate::types::TensorType;
use crate::units::{bytes_text, flops_text};

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
    /// Bytes of all results together, for each batch item: what training keeps.
    pub bytes: u64,
    /// Bytes of values at the same time, for each batch item: what evaluation takes.
    pub peak_bytes: u64,
    /// Floating-point operations of all ops together, for each batch item.
    pub flops: u64,
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
            elements: 1 << 26,
            parameter_elements: 1 << 26,
            constant_bytes: 1 << 22,
            bytes: 1 << 32,
            peak_bytes: 1 << 30,
            flops: 1 << 40,
            name_bytes: 128,
            serialised_bytes: 1 << 24,
        }
    }
}

/// Room that any program has, however small what it works on is.
const FLOOR: Budget = Budget { bytes: 4 << 20, peak_bytes: 1 << 20, flops: 1 << 26 };
/// How many times what softmax attention takes the program of an attention may take.
const TIMES_SOFTMAX: Budget = Budget { bytes: 64, peak_bytes: 16, flops: 64 };
/// How many times the bytes of images and targets the program of a batch augmentation may take, and how
/// many operations for each of their elements.
const TIMES_BATCH: Budget = Budget { bytes: 256, peak_bytes: 32, flops: 4096 };

/// Limits of a program as a whole.
struct Budget {
    bytes: u64,
    peak_bytes: u64,
    flops: u64,
}

impl Limits {
    /// The same for an attention whose queries, keys and values are each of a type `[.., tokens, width]`:
    /// at most a multiple of what softmax attention takes of memory and time, so that no model is too large
    /// for an honest program and none too small for a hostile one to be noticed.
    #[must_use]
    pub fn for_attention(self, r#type: &TensorType) -> Self {
        let mut sides = r#type.dims().iter().rev().map(|dim| dim.per_item() as u64);
        let (width, tokens) = (sides.next().unwrap_or(1), sides.next().unwrap_or(1));
        let scores = (r#type.elements() / width).saturating_mul(tokens);
        let values = r#type.elements().saturating_mul(4).saturating_add(scores.saturating_mul(2));
        let flops = scores.saturating_mul(width).saturating_mul(4);
        self.with(TIMES_SOFTMAX, values.saturating_mul(4), flops)
    }

    /// The same for a batch augmentation of images and targets of these types: at most a multiple of their
    /// size.
    #[must_use]
    pub fn for_batch(self, images: &TensorType, targets: &TensorType) -> Self {
        let values = images.elements().saturating_add(targets.elements());
        self.with(TIMES_BATCH, values.saturating_mul(4), values)
    }

    /// With a budget of so many times these bytes and operations, and never more than without.
    fn with(self, times: Budget, bytes: u64, flops: u64) -> Self {
        let budget =
            |floor: u64, times: u64, of: u64| floor.saturating_add(times.saturating_mul(of));
        Self {
            bytes: budget(FLOOR.bytes, times.bytes, bytes).min(self.bytes),
            peak_bytes: budget(FLOOR.peak_bytes, times.peak_bytes, bytes).min(self.peak_bytes),
            flops: budget(FLOOR.flops, times.flops, flops).min(self.flops),
            ..self
        }
    }

    /// Checks what all ops up to one take, which takes `last` itself.
    pub(crate) fn cost(&self, last: Cost, all: Cost) -> Result<(), Misfit> {
        let too_much = |what: &str, last: String, all: String, limit: String| {
            Misfit::new(format!(
                "it takes {last} of {what} per batch item, which brings the program to {all}: the \
                 limit is {limit}"
            ))
        };
        if all.bytes > self.bytes {
            let [last, all, limit] = [last.bytes, all.bytes, self.bytes].map(bytes_text);
            return Err(too_much("memory", last, all, limit));
        }
        if all.flops > self.flops {
            let [last, all, limit] = [last.flops, all.flops, self.flops].map(flops_text);
            return Err(too_much("computation", last, all, limit));
        }
        Ok(())
    }

    /// Checks the most bytes at the same time.
    pub(crate) fn peak(&self, bytes: u64) -> Result<(), Misfit> {
        if bytes <= self.peak_bytes {
            return Ok(());
        }
        let [bytes, limit] = [bytes, self.peak_bytes].map(bytes_text);
        Err(Misfit::new(format!(
            "values of {bytes} per batch item are needed at the same time here: the limit is {limit}"
        )))
    }

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
            let problem = format!(
                "`{}` is not a name: use letters, digits, `_`, `.`, `-`",
                name.escape_debug()
            );
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
