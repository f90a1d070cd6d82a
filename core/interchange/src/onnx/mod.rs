//! ONNX files: a model's graph with its weights, for onnxruntime and whatever else reads them.
//!
//! Opset 20, which has LayerNormalization and Gelu as ops of their own. The batch is dynamic; the image
//! size is the model's, or dynamic, too. Weights lie in the file itself, or beside it in `<file>.data` where they are more
//! than what one message of protocol buffers holds.

mod graph;
pub(crate) mod nodes;

use std::path::Path;

use vitral_model::ViT;
use vitral_program::Program;

pub(crate) use self::graph::Onnx;
use self::graph::{FLOAT, FLOAT16, Initializer};
use crate::{
    InterchangeError,
    graph::{GraphOptions, Progress, Weight, Weights, Written, graph_of},
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
        graph_of(model, &options.graph, |sizes| Onnx::new(&weights, sizes), Onnx::same)?;
    target.write(&program, model, &weights, path, options, progress)
}

impl Onnx {
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
