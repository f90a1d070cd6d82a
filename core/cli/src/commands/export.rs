//! `vitral export`.

use std::{fs, path::Path, process::ExitCode};

use vitral_interchange::{
    GraphFormat, GraphOptions, InterchangeError, verify, write_onnx, write_published,
    write_saved_model, write_timm,
};
use vitral_train::{
    Error, TrainedModel,
    checkpoint::{self, Checkpoint},
};

use crate::{
    args::{ExportArguments, ExportFormat, GraphImageSize},
    experiment::open_device,
    failure::Failure,
    progress::{counting, note, working},
};

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
        let problem = format!("{options} go with {formats} only");
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
        Some(_) => format!("the last checkpoint, of step {step}, which is the best, too"),
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
    let said = format!("differs from the model by {difference:.1e} at most, of {largest:.3}");
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
