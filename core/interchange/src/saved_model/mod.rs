//! TensorFlow SavedModels: a folder with a model's graph, its weights as variables, and its class names.
//!
//! The graph is of TensorFlow 1's kind, with resource variables and a serving signature, which every
//! TensorFlow since loads (`tf.saved_model.load`, TensorFlow Serving, Keras' `TFSMLayer`, the C API).
//! The batch is dynamic; the image size is the model's, or dynamic, too.

mod bundle;
mod graph;
mod meta_graph;
pub(crate) mod nodes;

use std::{fs, path::Path};

use vitral_files::NewFolder;
use vitral_model::ViT;

pub(crate) use self::graph::TensorFlow;
use self::meta_graph::CLASSES;
use crate::{
    InterchangeError,
    graph::{GraphOptions, Progress, Weights, Written, graph_of},
    output::Output,
};

/// Writes a model as a SavedModel, a new folder.
///
/// Its signature `serving_default` takes `images`, `[batch, height, width, channels]`: normalised `f32`,
/// or `uint8` where the graph normalises. It gives `logits` or `probabilities`, `[batch, classes]`. Class
/// names are the asset `classes.txt`, one a line.
///
/// # Errors
/// What cannot be expressed, a folder that is there already, and files that cannot be written. Nothing is
/// left behind then.
pub fn write_saved_model(
    model: &ViT,
    folder: &Path,
    options: &GraphOptions,
    progress: Progress<'_>,
) -> Result<Written, InterchangeError> {
    let weights = Weights::of(model, options.f16);
    let new = |sizes| TensorFlow::new(options.f16, sizes);
    let (target, _) = graph_of(model, options, new, TensorFlow::same)?;
    let nodes = target.nodes.len();
    let parts = NewFolder::create(folder).map_err(InterchangeError::io(folder))?;
    for part in ["variables", "assets"] {
        fs::create_dir(parts.path().join(part)).map_err(InterchangeError::io(folder))?;
    }
    let in_place = |error: InterchangeError| error.in_place_of(parts.path(), folder);
    let variables = parts.path().join("variables");
    let mut bytes =
        bundle::write(&variables, &target.variables, &weights, progress).map_err(in_place)?;
    let mut put = |name: &str, content: &[u8]| {
        let mut file = Output::create(&parts.path().join(name))?;
        file.write(content)?;
        bytes += file.finish()?;
        Ok(())
    };
    if !options.class_names.is_empty() {
        let lines: String = options.class_names.iter().map(|name| format!("{name}\n")).collect();
        put(&format!("assets/{CLASSES}"), lines.as_bytes()).map_err(in_place)?;
    }
    let saved = target.finish(!options.class_names.is_empty());
    put("saved_model.pb", saved.as_bytes()).map_err(in_place)?;
    parts.finish().map_err(InterchangeError::io(folder))?;
    Ok(Written { nodes, bytes })
}
