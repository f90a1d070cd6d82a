//! An ONNX graph under construction.

use std::collections::HashMap;

use vitral_model::vit_program::ImageDim;
use vitral_program::{DType, Dim, TensorType};

use crate::{
    graph::{Builder, Formula, Sizes, Value, Weight, Weights},
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
    /// Constants by their type and bytes.
    constants: HashMap<(i64, Vec<i64>, Vec<u8>), String>,
    used: HashMap<String, usize>,
    place: String,
    input: String,
    /// Sizes of the input along an axis, `[1]`, and what is computed of them, once they are needed.
    computed: HashMap<String, String>,
    sizes: Sizes,
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
        self.place = "normalize".to_owned();
        self.node("Cast", &[name], vec![int("to", FLOAT)])
    }

    fn parameter(&mut self, name: &str, r#type: &TensorType) -> String {
        let sizes = r#type.shape.sizes().unwrap_or_default();
        let width = if self.f16 { 2 } else { 4 };
        let bytes = (sizes.iter().product::<usize>() * width) as u64;
        self.initializers.push(Initializer::Weight(Weight { name: name.to_owned(), sizes, bytes }));
        if !self.f16 {
            return name.to_owned();
        }
        self.place = name.to_owned();
        self.node("Cast", &[name], vec![int("to", FLOAT)])
    }

    fn constant(&mut self, r#type: &TensorType, values: &[f64]) -> String {
        let bytes = match r#type.dtype {
            DType::F32 => values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
            DType::I32 => values.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect(),
            DType::Bool => values.iter().map(|&v| u8::from(v != 0.0)).collect(),
        };
        let sizes = r#type.shape.sizes().unwrap_or_default();
        let sizes = sizes.into_iter().map(|size| size as i64).collect();
        self.stored(code(r#type.dtype), sizes, bytes)
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

    fn set_place(&mut self, place: &str) {
        place.clone_into(&mut self.place);
    }

    fn sizes(&self) -> &Sizes {
        &self.sizes
    }
}

impl Onnx {
    pub(super) fn new(weights: &Weights, sizes: Sizes) -> Self {
        Self {
            nodes: Vec::new(),
            initializers: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            constants: HashMap::new(),
            used: HashMap::new(),
            place: String::new(),
            input: String::new(),
            computed: HashMap::new(),
            sizes,
            f16: weights.width() == 2,
        }
    }

    /// A name that nothing has yet.
    fn name(&mut self, kind: &str) -> String {
        let base = match self.place.as_str() {
            "" => kind.to_owned(),
            place => format!("{place}/{kind}"),
        };
        let used = self.used.entry(base.clone()).or_default();
        *used += 1;
        match *used {
            1 => base,
            count => format!("{base}_{}", count - 1),
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
        let name = self.name(kind);
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
    pub(super) fn stored(&mut self, code: i64, sizes: Vec<i64>, bytes: Vec<u8>) -> String {
        let key = (code, sizes, bytes);
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = format!("constant_{}", self.constants.len());
        let (code, sizes, bytes) = &key;
        let tensor = Message::new().packed(1, sizes).int(2, *code).text(8, &name).bytes(9, bytes);
        self.initializers.push(Initializer::Constant(tensor));
        self.constants.insert(key, name.clone());
        name
    }

    /// Integers of 64 bits, as shapes and axes are given.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.stored(INT64, vec![values.len() as i64], bytes)
    }

    /// What is computed once, under a name.
    pub(super) fn once(&mut self, name: &str, compute: impl FnOnce(&mut Self) -> String) -> String {
        if let Some(computed) = self.computed.get(name) {
            return computed.clone();
        }
        let place = std::mem::replace(&mut self.place, name.to_owned());
        let computed = compute(self);
        self.place = place;
        self.computed.insert(name.to_owned(), computed.clone());
        computed
    }

    /// The size of the input along an axis, `[1]`.
    fn input_size(&mut self, axis: usize) -> String {
        let input = self.input.clone();
        let axis = axis as i64;
        self.node("Shape", &[&input], vec![int("start", axis), int("end", axis + 1)])
    }

    /// The batch size, `[1]`.
    pub(super) fn batch(&mut self) -> String {
        self.once("batch", |graph| graph.input_size(0))
    }

    /// A size that follows from the images', `[1]`.
    pub(super) fn image_dim(&mut self, size: ImageDim) -> String {
        let formula = self.sizes.formula(size);
        self.once(Sizes::name(size), |graph| {
            let (kind, of, with) = match formula {
                Formula::Input(axis) => return graph.input_size(axis),
                Formula::Quotient(of, by) => ("Div", of, graph.ints(&[by as i64])),
                Formula::Product(of, with) => ("Mul", of, graph.image_dim(with)),
                Formula::Sum(of, with) => ("Add", of, graph.ints(&[with as i64])),
            };
            let of = graph.image_dim(of);
            graph.node(kind, &[&of, &with], Vec::new())
        })
    }

    /// A dimension, `[1]`.
    pub(super) fn dim(&mut self, dim: Dim) -> String {
        if let Some(size) = self.sizes.meaning(dim) {
            return self.image_dim(size);
        }
        match dim {
            Dim::Fixed(size) => self.ints(&[size as i64]),
            Dim::Batch(1) => self.batch(),
            Dim::Batch(factor) => {
                let (batch, factor) = (self.batch(), self.dim(Dim::Fixed(factor)));
                self.node("Mul", &[&batch, &factor], Vec::new())
            }
        }
    }

    /// Dimensions side by side.
    pub(super) fn shape(&mut self, dims: &[Dim]) -> String {
        let fixed: Option<Vec<_>> =
            dims.iter().map(|&dim| self.sizes.fixed(dim).map(|size| size as i64)).collect();
        if let Some(sizes) = fixed {
            return self.ints(&sizes);
        }
        let parts: Vec<_> = dims.iter().map(|&dim| self.dim(dim)).collect();
        self.beside(&parts)
    }

    /// Lists of integers as one.
    pub(super) fn beside(&mut self, parts: &[String]) -> String {
        match parts {
            [one] => one.clone(),
            parts => {
                let parts: Vec<_> = parts.iter().map(String::as_str).collect();
                self.node("Concat", &parts, vec![int("axis", 0)])
            }
        }
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
        let dim = |dim: &Dim| match (self.sizes.meaning(*dim), dim) {
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
