//! `vitral eval`.

mod page;
mod pictures;
mod text;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;
use vitral_data::SourceConfig;
use vitral_model::device::Device;
use vitral_train::{
    Error, EvaluateOptions, Evaluated, Evaluation, Event, TrainedModel,
    checkpoint::{self, Checkpoint},
    figures::Figures,
};

pub use self::pictures::{PICTURES, pictures};

use super::data;
use crate::{
    experiment::{Loaded, open_device},
    failure::Failure,
    fewer_tokens::FewerTokens,
    files::write,
    json,
    overrides::{self, Overrides},
    page::Pictures,
    precision::{PrecisionName, compute_in},
    progress::counting,
};

#[derive(Debug, Args)]
pub struct EvalArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint; several share one table.
    #[arg(required = true)]
    pub checkpoints: Vec<PathBuf>,
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
    #[command(flatten)]
    pub tokens: FewerTokens,
    /// Also count images whose class is among the K highest logits: `--top-k 3,10`.
    #[arg(long, value_name = "K", value_delimiter = ',')]
    pub top_k: Vec<NonZeroUsize>,
    /// Average the logits of each image and its mirror image; takes twice the time.
    #[arg(long)]
    pub flips: bool,
    /// Show the confusion matrix.
    #[arg(long)]
    pub confusion: bool,
    /// Write all figures as one self-contained HTML page.
    #[arg(long, value_name = "FILE.html")]
    pub html: Option<PathBuf>,
    /// Print one JSON object for each checkpoint, with all figures, instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
}

/// What was found of a checkpoint.
#[derive(Serialize)]
pub struct Found {
    /// Where it is.
    pub checkpoint: String,
    pub step: u64,
    /// Whether logits are means over mirror images, too.
    pub flips: bool,
    #[serde(flatten)]
    pub evaluation: Evaluation,
    /// With classes that tell more than those of the evaluation, which is why they are last.
    #[serde(flatten)]
    pub figures: Figures,
}

pub fn run(arguments: &EvalArguments) -> Result<ExitCode, Failure> {
    let given = arguments.data.as_deref().map(validation).transpose()?;
    let (mut all, mut all_pictures) = (Vec::new(), Vec::new());
    for checkpoint in &arguments.checkpoints {
        let (found, pictures) = evaluate(arguments, checkpoint, given.clone())?;
        if arguments.json {
            json::print(&found.to_json()?)?;
        } else if arguments.checkpoints.len() == 1 {
            text::print(&found, arguments.confusion);
        }
        all.push(found);
        all_pictures.push(pictures);
    }
    if !arguments.json && all.len() > 1 {
        text::print_table(&all);
        if arguments.confusion {
            all.iter().for_each(text::print_confusion);
        }
    }
    if let Some(path) = &arguments.html {
        write(path, page::page(&all, &all_pictures).map_err(Failure::Other)?)?;
        if !arguments.json {
            println!("{}", path.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn evaluate(
    arguments: &EvalArguments,
    checkpoint: &Path,
    given: Option<SourceConfig>,
) -> Result<(Found, Pictures), Failure> {
    let path = checkpoint::find(checkpoint).map_err(Error::from)?;
    let mut checkpoint = Checkpoint::load(&path).map_err(Error::from)?;
    for note in &checkpoint.notes {
        eprintln!("{note}");
    }
    let device = prepare(arguments, &mut checkpoint, given)?;
    let model = TrainedModel::new(checkpoint, &device)?;
    let options = EvaluateOptions {
        flips: arguments.flips,
        top_k: arguments.top_k.iter().map(|k| k.get()).collect(),
        noted: if arguments.html.is_some() { PICTURES } else { 0 },
    };
    let all = evaluated(&model, &options)?;
    let pictures = pictures(&model, &all)?;
    let Evaluated { evaluation, figures, .. } = all;
    let checkpoint = path.display().to_string();
    let (step, flips) = (model.state.step, arguments.flips);
    Ok((Found { checkpoint, step, flips, evaluation, figures }, pictures))
}

/// Evaluates a model, with its progress.
pub fn evaluated(model: &TrainedModel, options: &EvaluateOptions) -> Result<Evaluated, Error> {
    let bar = counting("evaluating");
    let found = model.evaluate_in_detail(options, &mut |event: &Event| match event {
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
    found
}

/// Changes a checkpoint as the command line says, and opens the device for it.
fn prepare(
    arguments: &EvalArguments,
    checkpoint: &mut Checkpoint,
    given: Option<SourceConfig>,
) -> Result<Device, Failure> {
    let set = &arguments.overrides.set;
    if !set.is_empty() {
        let changed = Loaded::of_checkpoint(checkpoint, set)?;
        overrides::check_eval(changed.document())?;
        if given.is_some() && changed.document().is_assigned("data.val") {
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
    if let Some(images) = given {
        checkpoint.experiment.data.val = images;
    }
    arguments.tokens.change(&mut checkpoint.experiment)?;
    let device = open_device(arguments.device.as_deref(), &checkpoint.experiment)?;
    compute_in(checkpoint, arguments.precision, &device)?;
    Ok(device)
}

impl Found {
    /// All of it; of what both parts have, what tells more.
    fn to_json(&self) -> Result<serde_json::Value, Failure> {
        serde_json::to_value(self).map_err(|error| {
            Failure::Other(format!("the figures cannot be written as JSON: {error}"))
        })
    }
}

/// The images that a path, a pattern or RON stands for; of an experiment, those for validation.
pub fn validation(images: &Path) -> Result<SourceConfig, Failure> {
    match data::is_experiment(images) {
        true => Ok(Loaded::read(images, &[])?.experiment.data.validation()),
        false => data::source(images),
    }
}
