//! An ONNX graph under construction.

use vitral_program::{DType, Dim, TensorType};

use crate::{
    graph::{Arithmetic, Builder, Dimensions, Ledger, Sizes, Value, Weight, Weights, bytes_of},
    protobuf::Message,
};

/// ONNX's numbers for element types.
pub(super) const INT64: i64 = 7;
pub(super) const UINT8: i64 = 2;
pub(super) const FLOAT: i64 = 1;
pub(super) const FLOAT16: i64 = 10;

/// A tensor that the file holds.
pub(super) enum Initializer {
    Constant(Message),
    Weight(Weight),
}

/// An ONNX graph under construction. Its values are known by name.
pub(crate) struct Onnx {
    pub(super) nodes: Vec<Message>,
    pub(super) initializers: Vec<Initializer>,
    pub(super) inputs: Vec<Message>,
    pub(super) outputs: Vec<Message>,
    input: String,
    ledger: Ledger,
    pub(super) f16: bool,
}

impl Builder for Onnx {
    const FORMAT: &'static str = "ONNX";

    fn input(&mut self, name: &str, r#type: &TensorType, pixels: bool) -> String {
        let code = if pixels { UINT8 } else { code(r#type.dtype) };
        self.inputs.push(self.value_info(name, code, r#type));
        self.input = name.to_owned();
        if !pixels {
            return name.to_owned();
        }
        self.ledger.move_to("normalize");
        self.node("Cast", &[name], vec![int("to", FLOAT)])
    }

    fn parameter(&mut self, name: &str, r#type: &TensorType) -> String {
        let weight = Weight::of(name, r#type, self.f16);
        self.initializers.push(Initializer::Weight(weight));
        if !self.f16 {
            return name.to_owned();
        }
        self.ledger.move_to(name);
        self.node("Cast", &[name], vec![int("to", FLOAT)])
    }

    fn constant(&mut self, r#type: &TensorType, values: &[f64]) -> String {
        let sizes = r#type.shape.sizes().unwrap_or_default();
        self.stored(code(r#type.dtype), &sizes, &bytes_of(r#type.dtype, values))
    }

    fn plain(&mut self, kind: &'static str, operands: &[Value], _: &TensorType) -> String {
        let operands: Vec<_> = operands.iter().map(|operand| operand.name.as_str()).collect();
        self.node(kind, &operands, Vec::new())
    }

    fn output(&mut self, name: &str, value: &Value) {
        let node = Message::new().text(1, &value.name).text(2, name).text(3, name);
        self.nodes.push(node.text(4, "Identity"));
        self.outputs.push(self.value_info(name, code(value.r#type.dtype), &value.r#type));
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

/// Each size is a list of one, `[1]`.
impl Dimensions for Onnx {
    fn input_size(&mut self, axis: usize) -> String {
        let input = self.input.clone();
        let axis = axis as i64;
        self.node("Shape", &[&input], vec![int("start", axis), int("end", axis + 1)])
    }

    fn size(&mut self, value: usize) -> String {
        self.listed(&[value])
    }

    fn listed(&mut self, values: &[usize]) -> String {
        self.ints(&values.iter().map(|&value| value as i64).collect::<Vec<_>>())
    }

    fn computed(&mut self, operation: Arithmetic, operands: [&str; 2]) -> String {
        let kind = match operation {
            Arithmetic::Sum => "Add",
            Arithmetic::Product => "Mul",
            Arithmetic::Quotient => "Div",
        };
        self.node(kind, &operands, Vec::new())
    }

    fn beside(&mut self, parts: &[String]) -> String {
        match parts {
            [one] => one.clone(),
            parts => {
                let parts: Vec<_> = parts.iter().map(String::as_str).collect();
                self.node("Concat", &parts, vec![int("axis", 0)])
            }
        }
    }
}

impl Onnx {
    pub(super) fn new(weights: &Weights, sizes: Sizes) -> Self {
        Self {
            nodes: Vec::new(),
            initializers: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            input: String::new(),
            ledger: Ledger::new(sizes),
            f16: weights.f16(),
        }
    }

    /// A node with one result.
    pub(super) fn node(&mut self, kind: &str, inputs: &[&str], attributes: Vec<Message>) -> String {
        // There is one.
        self.nodes(kind, inputs, 1, attributes).remove(0)
    }

    pub(super) fn nodes(
        &mut self,
        kind: &str,
        inputs: &[&str],
        results: usize,
        attributes: Vec<Message>,
    ) -> Vec<String> {
        let name = self.ledger.name(kind);
        let results: Vec<_> = match results {
            1 => vec![name.clone()],
            count => (0..count).map(|index| format!("{name}:{index}")).collect(),
        };
        let node = inputs.iter().fold(Message::new(), |node, input| node.text(1, input));
        let node = results.iter().fold(node, |node, result| node.text(2, result));
        self.nodes.push(node.text(3, &name).text(4, kind).messages(5, &attributes));
        results
    }

    /// A constant; equal ones are kept once.
    pub(super) fn stored(&mut self, code: i64, sizes: &[usize], bytes: &[u8]) -> String {
        let (name, is_new) = self.ledger.constant(code, sizes, bytes);
        if is_new {
            let sizes: Vec<_> = sizes.iter().map(|&size| size as i64).collect();
            let tensor = Message::new().packed(1, &sizes).int(2, code).text(8, &name);
            self.initializers.push(Initializer::Constant(tensor.bytes(9, bytes)));
        }
        name
    }

    /// Integers of 64 bits, as shapes and axes are given.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.stored(INT64, &[values.len()], &bytes)
    }

    /// Whether another graph is the same, weights aside.
    pub(super) fn same(&self, other: &Self) -> bool {
        let bytes = |messages: &[Message]| -> Vec<Vec<u8>> {
            messages.iter().map(|message| message.as_bytes().to_vec()).collect()
        };
        let constants = |graph: &Self| -> Vec<Vec<u8>> {
            let constant = |initializer: &Initializer| match initializer {
                Initializer::Constant(tensor) => Some(tensor.as_bytes().to_vec()),
                Initializer::Weight(_) => None,
            };
            graph.initializers.iter().filter_map(constant).collect()
        };
        bytes(&self.nodes) == bytes(&other.nodes)
            && bytes(&self.inputs) == bytes(&other.inputs)
            && bytes(&self.outputs) == bytes(&other.outputs)
            && constants(self) == constants(other)
    }

    fn value_info(&self, name: &str, code: i64, r#type: &TensorType) -> Message {
        let dim = |dim: &Dim| match (self.sizes().meaning(*dim), dim) {
            (Some(size), _) => Message::new().text(2, Sizes::name(size)),
            (None, Dim::Fixed(size)) => Message::new().int(1, *size as i64),
            (None, Dim::Batch(1)) => Message::new().text(2, "batch"),
            (None, Dim::Batch(factor)) => Message::new().text(2, &format!("{factor}*batch")),
        };
        let dims: Vec<_> = r#type.shape.dims().iter().map(dim).collect();
        let shape = Message::new().messages(1, &dims);
        let tensor = Message::new().int(1, code).message(2, &shape);
        Message::new().text(1, name).message(2, &Message::new().message(1, &tensor))
    }
}

/// ONNX's number for an element type.
pub(super) const fn code(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => FLOAT,
        DType::I32 => 6,
        DType::Bool => 9,
    }
}

/// An attribute.
pub(super) fn int(name: &str, value: i64) -> Message {
    Message::new().text(1, name).int(3, value).int(20, 2)
}

pub(super) fn ints(name: &str, values: &[i64]) -> Message {
    let attribute = Message::new().text(1, name);
    values.iter().fold(attribute, |attribute, &value| attribute.int(8, value)).int(20, 7)
}

pub(super) fn float(name: &str, value: f64) -> Message {
    Message::new().text(1, name).float(2, value as f32).int(20, 1)
}

pub(super) fn text(name: &str, value: &str) -> Message {
    Message::new().text(1, name).text(4, value).int(20, 3)
}
