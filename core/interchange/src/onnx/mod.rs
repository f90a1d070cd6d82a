//! ONNX files: a model's graph with its weights, for onnxruntime and whatever else reads them.
//!
//! Opset 20, which has LayerNormalization and Gelu as ops of their own. The batch is dynamic; the image
//! size is the model's, or dynamic, too. Weights lie in the file itself, or beside it in `<file>.data` where they are more
//! than what one message of protocol buffers holds.

pub(crate) mod nodes;

use std::{collections::HashMap, path::Path};

use vitral_model::{ViT, vit_program::ImageDim};
use vitral_program::{DType, Dim, Op, Program, TensorType};

use crate::{
    InterchangeError,
    graph::{
        self, Form, GraphOptions, Progress, Sizes, Target, Value, Weight, Weights, Written,
        sizes::Formula, table,
    },
    output::Output,
    protobuf::Message,
};

/// The version of ONNX's set of ops that is used.
const OPSET: i64 = 20;
/// The version of the file format that goes with it.
const IR: i64 = 9;

/// Weights of more bytes than this lie in a file of their own: one message holds 2 GiB at most, and the
/// graph needs some room.
const EXTERNAL_ABOVE: u64 = (1 << 31) - (1 << 24);
/// Smaller weights stay in the graph.
const EXTERNAL_LEAST: u64 = 1024;
/// Where weights start in their file: at multiples of this, so that it can be mapped into memory.
const ALIGNMENT: u64 = 4096;

const INT64: i64 = 7;
const UINT8: i64 = 2;
const FLOAT: i64 = 1;
const FLOAT16: i64 = 10;

/// How an ONNX file is written.
#[derive(Clone, Debug, PartialEq)]
pub struct OnnxOptions {
    /// What every graph has.
    pub graph: GraphOptions,
    /// Weights of more bytes than this are written to `<file>.data`.
    pub external_above: u64,
}

impl From<GraphOptions> for OnnxOptions {
    fn from(graph: GraphOptions) -> Self {
        Self { graph, external_above: EXTERNAL_ABOVE }
    }
}

/// Writes a model as ONNX.
///
/// Its input is `images`, `[batch, height, width, channels]`: normalised `f32`, or `u8` where the graph
/// normalises. Its output is `logits` or `probabilities`, `[batch, classes]`. Class names are a JSON list
/// in the metadata `class_names`.
///
/// # Errors
/// What cannot be expressed, and files that cannot be written. Nothing is left behind then.
pub fn write_onnx(
    model: &ViT,
    path: &Path,
    options: &OnnxOptions,
    progress: Progress<'_>,
) -> Result<Written, InterchangeError> {
    let weights = Weights::of(model, options.graph.f16);
    let (target, program) =
        graph::graph_of(model, &options.graph, |sizes| Onnx::new(&weights, sizes), Onnx::same)?;
    target.write(&program, model, &weights, path, options, progress)
}

/// A tensor that the file holds.
enum Initializer {
    Constant(Message),
    Weight(Weight),
}

/// An ONNX graph under construction. Its values are known by name.
pub(crate) struct Onnx {
    nodes: Vec<Message>,
    initializers: Vec<Initializer>,
    inputs: Vec<Message>,
    outputs: Vec<Message>,
    /// Constants by their type and bytes.
    constants: HashMap<(i64, Vec<i64>, Vec<u8>), String>,
    used: HashMap<String, usize>,
    place: String,
    input: String,
    /// Sizes of the input along an axis, `[1]`, and what is computed of them, once they are needed.
    computed: HashMap<String, String>,
    sizes: Sizes,
    f16: bool,
}

impl Target for Onnx {
    const FORMAT: &'static str = "ONNX";

    fn form(op: &Op) -> Form<'_, Self> {
        table::entry(op).onnx
    }

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
    fn new(weights: &Weights, sizes: Sizes) -> Self {
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
    fn node(&mut self, kind: &str, inputs: &[&str], attributes: Vec<Message>) -> String {
        // There is one.
        self.nodes(kind, inputs, 1, attributes).remove(0)
    }

    fn nodes(
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
    fn stored(&mut self, code: i64, sizes: Vec<i64>, bytes: Vec<u8>) -> String {
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
    fn ints(&mut self, values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.stored(INT64, vec![values.len() as i64], bytes)
    }

    /// What is computed once, under a name.
    fn once(&mut self, name: &str, compute: impl FnOnce(&mut Self) -> String) -> String {
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
    fn batch(&mut self) -> String {
        self.once("batch", |graph| graph.input_size(0))
    }

    /// A size that follows from the images', `[1]`.
    fn image_dim(&mut self, size: ImageDim) -> String {
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
    fn dim(&mut self, dim: Dim) -> String {
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
    fn shape(&mut self, dims: &[Dim]) -> String {
        let fixed: Option<Vec<_>> =
            dims.iter().map(|&dim| self.sizes.fixed(dim).map(|size| size as i64)).collect();
        if let Some(sizes) = fixed {
            return self.ints(&sizes);
        }
        let parts: Vec<_> = dims.iter().map(|&dim| self.dim(dim)).collect();
        self.beside(&parts)
    }

    /// Lists of integers as one.
    fn beside(&mut self, parts: &[String]) -> String {
        match parts {
            [one] => one.clone(),
            parts => {
                let parts: Vec<_> = parts.iter().map(String::as_str).collect();
                self.node("Concat", &parts, vec![int("axis", 0)])
            }
        }
    }

    /// Whether another graph is the same, weights aside.
    fn same(&self, other: &Self) -> bool {
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

    /// Writes the file, and the weights beside it if they are too large for it.
    fn write(
        self,
        program: &Program,
        model: &ViT,
        weights: &Weights,
        path: &Path,
        options: &OnnxOptions,
        progress: Progress<'_>,
    ) -> Result<Written, InterchangeError> {
        let of_weights = |initializer: &Initializer| match initializer {
            Initializer::Weight(weight) => weight.bytes,
            Initializer::Constant(_) => 0,
        };
        let total: u64 = self.initializers.iter().map(of_weights).sum();
        let mut data = (total > options.external_above).then(|| External::new(path)).transpose()?;
        let mut done = 0;
        progress(done, total);

        // Weights beside the file go first, since their places are in the graph.
        let mut tensors = Vec::with_capacity(self.initializers.len());
        for initializer in self.initializers {
            tensors.push(match (initializer, &mut data) {
                (Initializer::Constant(tensor), _) => (tensor, None),
                (Initializer::Weight(weight), Some(data)) if weight.bytes >= EXTERNAL_LEAST => {
                    let tensor = data.add(&weight, &weights.bytes::<Self>(&weight)?, self.f16)?;
                    done += weight.bytes;
                    progress(done, total);
                    (tensor, None)
                }
                (Initializer::Weight(weight), _) => {
                    (tensor(&weight, self.f16).header(9, weight.bytes), Some(weight))
                }
            });
        }
        let length = |message: &Message, weight: &Option<Weight>| {
            message.as_bytes().len() as u64 + weight.as_ref().map_or(0, |weight| weight.bytes)
        };

        let start = Message::new()
            .messages(1, &self.nodes)
            .text(2, program.name())
            .messages(11, &self.inputs)
            .messages(12, &self.outputs);
        let fields = tensors.iter().map(|(message, weight)| {
            let length = length(message, weight);
            Message::new().header(5, length).as_bytes().len() as u64 + length
        });
        let graph_length = start.as_bytes().len() as u64 + fields.sum::<u64>();
        let opset = Message::new().text(1, "").int(2, OPSET);
        let head = Message::new()
            .int(1, IR)
            .text(2, "vitral")
            .text(3, env!("CARGO_PKG_VERSION"))
            .message(8, &opset)
            .messages(14, &metadata(model, &options.graph))
            .header(7, graph_length);

        let mut file = Output::create(path)?;
        file.write(head.as_bytes())?;
        file.write(start.as_bytes())?;
        for (message, weight) in &tensors {
            file.write(Message::new().header(5, length(message, weight)).as_bytes())?;
            file.write(message.as_bytes())?;
            if let Some(weight) = weight {
                file.write(&weights.bytes::<Self>(weight)?)?;
                done += weight.bytes;
                progress(done, total);
            }
        }
        // The graph comes last: one that is there has its weights.
        file.flush()?;
        let beside = data.map_or(Ok(0), |data| data.file.finish())?;
        Ok(Written { nodes: self.nodes.len(), bytes: file.finish()? + beside })
    }
}

/// Weights in a file beside the graph's.
struct External {
    file: Output,
    name: String,
}

impl External {
    fn new(path: &Path) -> Result<Self, InterchangeError> {
        let name = format!("{}.data", path.file_name().unwrap_or_default().display());
        Ok(Self { file: Output::create(&path.with_file_name(&name))?, name })
    }

    fn add(
        &mut self,
        weight: &Weight,
        bytes: &[u8],
        f16: bool,
    ) -> Result<Message, InterchangeError> {
        let padding = self.file.position().next_multiple_of(ALIGNMENT) - self.file.position();
        self.file.write(&vec![0; padding as usize])?;
        let offset = self.file.position();
        self.file.write(bytes)?;
        let entry = |key: &str, value: String| Message::new().text(1, key).text(2, &value);
        let place = [
            entry("location", self.name.clone()),
            entry("offset", offset.to_string()),
            entry("length", bytes.len().to_string()),
        ];
        Ok(tensor(weight, f16).messages(13, &place).int(14, 1))
    }
}

/// A weight's tensor without its values.
fn tensor(weight: &Weight, f16: bool) -> Message {
    let sizes: Vec<_> = weight.sizes.iter().map(|&size| size as i64).collect();
    let code = if f16 { FLOAT16 } else { FLOAT };
    Message::new().packed(1, &sizes).int(2, code).text(8, &weight.name)
}

fn metadata(model: &ViT, options: &GraphOptions) -> Vec<Message> {
    let entry = |key: &str, value: String| Message::new().text(1, key).text(2, &value);
    let config = model.config();
    let mut entries = vec![entry("image_size", config.image_size.to_string())];
    if options.any_image_size {
        entries.push(entry("image_size_multiple", config.patch_size().to_string()));
    }
    if !options.class_names.is_empty() {
        let names = serde_json::Value::from(options.class_names.clone());
        entries.push(entry("class_names", names.to_string()));
    }
    entries
}

/// ONNX's number for an element type.
const fn code(dtype: DType) -> i64 {
    match dtype {
        DType::F32 => FLOAT,
        DType::I32 => 6,
        DType::Bool => 9,
    }
}

/// An attribute.
fn int(name: &str, value: i64) -> Message {
    Message::new().text(1, name).int(3, value).int(20, 2)
}

fn ints(name: &str, values: &[i64]) -> Message {
    let attribute = Message::new().text(1, name);
    values.iter().fold(attribute, |attribute, &value| attribute.int(8, value)).int(20, 7)
}

fn float(name: &str, value: f64) -> Message {
    Message::new().text(1, name).float(2, value as f32).int(20, 1)
}

fn text(name: &str, value: &str) -> Message {
    Message::new().text(1, name).text(4, value).int(20, 3)
}
