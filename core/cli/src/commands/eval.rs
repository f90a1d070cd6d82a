//! `vitral eval`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use vitral_data::{Skipped, SourceConfig};
use vitral_train::{
    Error, Evaluation, Event, TrainedModel,
    checkpoint::{self, Checkpoint},
};

use super::data;
use crate::{
    experiment::{Loaded, merge_tokens, open_device},
    failure::Failure,
    json,
    overrides::{self, Overrides},
    precision::{PrecisionName, compute_in},
    progress::counting,
    words::{columns, padded},
};

/// Images left out that are named.
const NAMED: usize = 10;

#[derive(Debug, Args)]
pub struct EvalArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint.
    pub checkpoint: PathBuf,
    /// Evaluate on these images: a folder of class folders, a cache (.vcache), shards (.tar), files
    /// (.parquet), a pattern of either, the validation images of an experiment (.ron), or a source
    /// as written in an experiment. By default the experiment's validation images.
    #[arg(long, value_name = "FOLDER_OR_FILE")]
    pub data: Option<PathBuf>,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// The type to compute in: f32, bf16 or f16; by default the one that the run was trained in.
    #[arg(long)]
    pub precision: Option<PrecisionName>,
    /// Merge this many tokens away in each layer (ToMe), without training again: faster, and
    /// usually a little less accurate. 0 merges none, even if the model was trained to merge.
    #[arg(long, value_name = "R")]
    pub token_merging: Option<usize>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
}

pub fn run(arguments: &EvalArguments) -> Result<ExitCode, Failure> {
    let path = checkpoint::find(&arguments.checkpoint).map_err(Error::from)?;
    let mut checkpoint = Checkpoint::load(&path).map_err(Error::from)?;
    for note in &checkpoint.notes {
        eprintln!("{note}");
    }
    let set = &arguments.overrides.set;
    if !set.is_empty() {
        let changed = Loaded::of_checkpoint(&checkpoint, set)?;
        overrides::check_eval(changed.document())?;
        if arguments.data.is_some() && changed.document().is_assigned("data.val") {
            return Err(Failure::Other(
                "`--data` and `--set data.val` both choose the images: give only one".into(),
            ));
        }
        if arguments.precision.is_some() && changed.document().is_assigned("train.precision") {
            return Err(Failure::Other(
                "`--precision` and `--set train.precision` both choose the type: give only one"
                    .into(),
            ));
        }
        checkpoint.experiment = changed.experiment;
    }
    if let Some(images) = &arguments.data {
        checkpoint.experiment.data.val = validation(images)?;
    }
    merge_tokens(&mut checkpoint.experiment, arguments.token_merging)?;
    let device = open_device(arguments.device.as_deref(), &checkpoint.experiment)?;
    compute_in(&mut checkpoint, arguments.precision, &device)?;
    let model = TrainedModel::new(checkpoint, &device)?;
    let bar = counting("evaluating");
    let evaluation = model.evaluate(&mut |event: &Event| match event {
        Event::Evaluating { done, total } => {
            bar.set_length(*total);
            bar.set_position(*done);
        }
        event => {
            if let Some((from, message)) = event.words() {
                bar.suspend(|| eprintln!("{from}: {message}"));
            }
        }
    });
    bar.finish_and_clear();
    let evaluation = evaluation?;
    if arguments.json {
        json::print(&evaluation)?;
    } else {
        println!("{} (step {})", path.display(), model.state.step);
        print_table(&evaluation);
    }
    Ok(ExitCode::SUCCESS)
}

/// The images that a path, a pattern or RON stands for; of an experiment, those for validation.
fn validation(images: &Path) -> Result<SourceConfig, Failure> {
    match data::is_experiment(images) {
        true => Ok(Loaded::read(images, &[])?.experiment.data.val),
        false => data::source(images),
    }
}

fn print_table(evaluation: &Evaluation) {
    println!("  images  {}", evaluation.images);
    if evaluation.skipped > 0 {
        println!("  left out (unreadable)  {}", evaluation.skipped);
        for Skipped { name, reason } in evaluation.left_out.iter().take(NAMED) {
            println!("    {name}: {reason}");
        }
        if evaluation.left_out.len() > NAMED {
            println!("    and {} more (`--json` names all)", evaluation.left_out.len() - NAMED);
        }
    }
    evaluation.notes.iter().for_each(|note| println!("  note    {note}"));
    println!("  loss    {:.4}", evaluation.loss);
    println!("  top-1   {:.2}%", evaluation.top1 * 100.0);
    println!("  top-5   {:.2}%", evaluation.top5 * 100.0);
    let width = evaluation.classes.iter().map(|class| columns(&class.name)).max().unwrap_or(0);
    println!("accuracy of each class");
    for class in &evaluation.classes {
        let name = padded(&class.name, width);
        match class.accuracy() {
            Some(accuracy) => println!(
                "  {name}  {:6.2}%  ({} of {})",
                accuracy * 100.0,
                class.correct,
                class.images
            ),
            None => println!("  {name}  no images"),
        }
    }
}
