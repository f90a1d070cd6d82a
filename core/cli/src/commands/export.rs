//! `vitral export`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use vitral_interchange::{
    GraphFormat, GraphOptions, InterchangeError, verify, write_onnx, write_published,
    write_saved_model, write_timm,
};
use vitral_train::{
    Error, TrainedModel,
    checkpoint::{self, Checkpoint},
};

use crate::{
    experiment::open_device,
    failure::Failure,
    progress::{counting, note, working},
};

#[derive(Debug, Args)]
pub struct ExportArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint.
    pub checkpoint: PathBuf,
    /// The format to write.
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// Where to write: a file for npz and onnx, a folder for the others.
    #[arg(long)]
    pub out: PathBuf,
    #[command(flatten)]
    pub graph: GraphArguments,
}

/// Options of the formats that contain the model's graph: onnx and saved-model.
#[derive(Debug, Args)]
pub struct GraphArguments {
    /// Store weights in 16 bits; computation stays in 32 (onnx, saved-model).
    #[arg(long)]
    pub f16: bool,
    /// Take u8 pixels and give probabilities, rather than normalised images and logits (onnx,
    /// saved-model).
    #[arg(long)]
    pub preprocessing: bool,
    /// The image size that the graph takes: the model's, or any whose sides are multiples of the
    /// patch size, with positions resized in the graph (onnx, saved-model).
    #[arg(long, value_enum, default_value_t = GraphImageSize::Fixed)]
    pub image_size: GraphImageSize,
    /// Run what was written with onnxruntime or TensorFlow in Python, and compare it with the model.
    #[arg(long)]
    pub verify: bool,
    /// The Python interpreter that `--verify` runs.
    #[arg(long, default_value = "python3", value_name = "PROGRAM")]
    pub python: PathBuf,
}

/// The size of the images that a graph takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphImageSize {
    /// The model's.
    Fixed,
    /// Any height and width.
    Dynamic,
}

/// A format that models are exported in.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExportFormat {
    /// Vitral's own: safetensors and RON, which `predict`, `eval` and `train --init` open.
    Native,
    /// A NumPy archive with the names of google-research/vision_transformer's checkpoints.
    Npz,
    /// safetensors and config.json, which `timm.create_model("local-dir:...")` opens.
    Timm,
    /// An ONNX file, opset 20, with the model's graph; weights of more than 2 GB lie beside it.
    Onnx,
    /// A TensorFlow SavedModel with the signature `serving_default`.
    SavedModel,
}

pub fn run(arguments: &ExportArguments) -> Result<ExitCode, Failure> {
    let graph = &arguments.graph;
    let format = match arguments.format {
        ExportFormat::Onnx => Some(GraphFormat::Onnx),
        ExportFormat::SavedModel => Some(GraphFormat::SavedModel),
        ExportFormat::Native | ExportFormat::Npz | ExportFormat::Timm => None,
    };
    let any_image_size = graph.image_size == GraphImageSize::Dynamic;
    if format.is_none() && (graph.f16 || graph.preprocessing || graph.verify || any_image_size) {
        let formats = "--format onnx or saved-model";
        let options = "--f16, --preprocessing, --image-size dynamic and --verify";
        let problem = format!("{options} need {formats}");
        return Err(Failure::Other(problem));
    }
    let path = checkpoint::find(&arguments.checkpoint).map_err(Error::from)?;
    make_way(&arguments.out)?;
    let spinner = working("exporting the model");
    let checkpoint = Checkpoint::load(&path).map_err(Error::from)?;
    let which = which(&checkpoint, &arguments.checkpoint);
    if let Some(format) = format {
        spinner.finish_and_clear();
        let code = write_graph(format, checkpoint, arguments)?;
        which.iter().for_each(|which| println!("  {which}"));
        return Ok(code);
    }
    let out = &arguments.out;
    let notes = write_weights(checkpoint, arguments);
    spinner.finish_and_clear();
    let notes = notes?;
    println!("wrote {}", out.display());
    for note in which.into_iter().chain(notes) {
        println!("  {note}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Which of a run's checkpoints was taken, where a run's folder leaves that open.
fn which(checkpoint: &Checkpoint, given: &Path) -> Option<String> {
    let state = &checkpoint.state;
    if !given.is_dir() || checkpoint.path == given {
        return None;
    }
    let step = state.step;
    Some(match state.best {
        Some((_, best)) if best != step => format!(
            "the last checkpoint, of step {step}; the best is of step {best}: {}",
            given.join("best").display()
        ),
        Some(_) => format!("the last checkpoint, of step {step}, which is also the best"),
        None => format!("the last checkpoint, of step {step}"),
    })
}

/// Writes a model's weights, and returns what is different where they go, in sentences.
fn write_weights(
    checkpoint: Checkpoint,
    arguments: &ExportArguments,
) -> Result<Vec<String>, Error> {
    let out = &arguments.out;
    Ok(match arguments.format {
        ExportFormat::Npz => write_published(&checkpoint.into_pretrained(), out)?,
        ExportFormat::Timm => write_timm(&checkpoint.into_pretrained(), out)?,
        ExportFormat::Native | ExportFormat::Onnx | ExportFormat::SavedModel => {
            checkpoint.write_model(out)?;
            Vec::new()
        }
    })
}

/// Writes a model with its graph and, if it shall be, compares what was written with the model.
fn write_graph(
    format: GraphFormat,
    checkpoint: Checkpoint,
    arguments: &ExportArguments,
) -> Result<ExitCode, Failure> {
    let (out, graph) = (&arguments.out, &arguments.graph);
    let device = open_device(Some("cpu"), &checkpoint.experiment)?;
    let model = TrainedModel::new(checkpoint, &device)?;
    let options = GraphOptions {
        interface: if graph.preprocessing { model.pixel_interface()? } else { Default::default() },
        class_names: model.class_names(),
        f16: graph.f16,
        any_image_size: graph.image_size == GraphImageSize::Dynamic,
    };
    let bar = counting("writing");
    let mut progress = |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    };
    let written = match format {
        GraphFormat::Onnx => write_onnx(model.vit(), out, &options.clone().into(), &mut progress),
        GraphFormat::SavedModel => write_saved_model(model.vit(), out, &options, &mut progress),
    };
    bar.finish_and_clear();
    let written = written.map_err(Error::from)?;
    println!("wrote {}: {} ops, {} bytes", out.display(), written.nodes, written.bytes);
    if !graph.verify {
        return Ok(ExitCode::SUCCESS);
    }
    note(&format!("running it with {}", graph.python.display()));
    let verified =
        verify(model.vit(), out, format, &options, &graph.python).map_err(Error::from)?;
    let (difference, largest) = (verified.difference, verified.largest);
    let said =
        format!("differs from the model by at most {difference:.1e} (largest value {largest:.3})");
    if !verified.is_close() {
        return Err(Failure::Other(format!("{} {said}", out.display())));
    }
    println!("verified: it {said}");
    Ok(ExitCode::SUCCESS)
}

/// Makes the folder that what is exported goes to, of which nothing may be there yet.
fn make_way(out: &Path) -> Result<(), Failure> {
    let free = vitral_files::check_new(out);
    free.map_err(|error| Error::from(InterchangeError::io(out)(error)))?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        let made = fs::create_dir_all(parent);
        made.map_err(|error| Error::from(InterchangeError::io(parent)(error)))?;
    }
    Ok(())
}
