//! `vitral average`: one model of the mean weights of several.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use vitral_train::{
    Error, EvaluateOptions, Evaluation, Soup, TrainedModel,
    checkpoint::{self, Checkpoint},
    experiment::Metric,
};

use super::eval::{evaluated, validation};
use crate::{
    experiment::open_device,
    failure::Failure,
    words::{columns, padded},
};

#[derive(Debug, Args)]
pub struct AverageArguments {
    /// Runs' folders, their `best` or `last`, or checkpoints, all of the same kind of model. If a
    /// run keeps a moving average, that is used.
    #[arg(required = true, num_args = 2..)]
    pub checkpoints: Vec<PathBuf>,
    /// The folder to write the model to; `eval`, `predict`, `export` and `train --init` open it.
    #[arg(long, value_name = "FOLDER")]
    pub output: PathBuf,
    /// Evaluate each alone, then add them to the mean, best first, leaving out those that make it
    /// worse (greedy soup, Wortsman et al. 2022). By default all are averaged.
    #[arg(long)]
    pub greedy: bool,
    /// Evaluate on these images, as `eval --data` takes them; by default the first one's validation images.
    #[arg(long, value_name = "FOLDER_OR_FILE", requires = "greedy")]
    pub data: Option<PathBuf>,
    /// Where to evaluate: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long, requires = "greedy")]
    pub device: Option<String>,
}

pub fn run(arguments: &AverageArguments) -> Result<ExitCode, Failure> {
    let out = &arguments.output;
    vitral_files::check_new(out)
        .map_err(|error| Failure::Other(format!("{}: {error}", out.display())))?;
    let mut paths = Vec::new();
    for given in &arguments.checkpoints {
        let path = checkpoint::find(given).map_err(Error::from)?;
        if paths.contains(&path) {
            let twice = format!("{} is given twice: it would count twice", path.display());
            return Err(Failure::Usage(twice));
        }
        paths.push(path);
    }
    let model = match arguments.greedy {
        true => greedy(arguments, &paths)?,
        false => uniform(&paths)?,
    };
    model.write_model(out).map_err(Error::from)?;
    println!("wrote {}", out.display());
    Ok(ExitCode::SUCCESS)
}

fn load(path: &Path) -> Result<Checkpoint, Failure> {
    Ok(Checkpoint::load(path).map_err(Error::from)?)
}

/// The mean of all.
fn uniform(paths: &[PathBuf]) -> Result<Checkpoint, Failure> {
    let first = load(&paths[0])?;
    let mut soup = Soup::of(&first);
    for path in &paths[1..] {
        soup = with(soup, &first, &load(path)?)?;
    }
    println!("the mean of {} checkpoints", paths.len());
    Ok(soup.model(&first))
}

fn with(soup: Soup, first: &Checkpoint, other: &Checkpoint) -> Result<Soup, Failure> {
    soup.with(first, other).map_err(|problem| {
        let (other, first) = (other.path.display(), first.path.display());
        Failure::Other(format!("{other} cannot be averaged with {first}: {problem}"))
    })
}

/// The mean of those with which it evaluates no worse than without.
fn greedy(arguments: &AverageArguments, paths: &[PathBuf]) -> Result<Checkpoint, Failure> {
    let first = load(&paths[0])?;
    let images = match &arguments.data {
        Some(images) => validation(images)?,
        None => first.experiment.data.validation(),
    };
    let metric = first.experiment.checkpoints.best;
    let device = open_device(arguments.device.as_deref(), &first.experiment)?;
    let evaluate = |mut model: Checkpoint| -> Result<Evaluation, Failure> {
        model.experiment.data.val = images.clone();
        let model = TrainedModel::new(model, &device)?;
        Ok(evaluated(&model, &EvaluateOptions::default())?.evaluation)
    };
    let width = paths.iter().map(|path| columns(&path.display().to_string())).max().unwrap_or(0);
    let name = |path: &Path| padded(&path.display().to_string(), width);
    let mut scores = Vec::new();
    for path in paths {
        let checkpoint = load(path)?;
        // What does not go with the first is refused before anything else is evaluated.
        let _ = with(Soup::of(&first), &first, &checkpoint)?;
        let found = evaluate(checkpoint)?;
        println!("{}  {}", name(path), told(metric, &found));
        scores.push((metric.score(&found), path));
    }
    // Of equal ones, the first given.
    scores.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    let (mut best, start) = scores[0];
    let mut soup = Soup::of(&load(start)?);
    println!("best first:");
    println!("{}  taken", name(start));
    let mut taken = 1;
    for (_, path) in &scores[1..] {
        let trial = with(soup.clone(), &first, &load(path)?)?;
        let found = evaluate(trial.model(&first))?;
        let score = metric.score(&found);
        let is_taken = score >= best;
        let decision = if is_taken { "taken" } else { "left out" };
        println!("{}  {decision}: {} with it", name(path), told(metric, &found));
        if is_taken {
            (soup, best) = (trial, score);
            taken += 1;
        }
    }
    println!("the mean of {taken} of {} checkpoints", paths.len());
    Ok(soup.model(&first))
}

fn told(metric: Metric, found: &Evaluation) -> String {
    match metric {
        Metric::Top1 => format!("top-1 {:.2}%", found.top1 * 100.0),
        Metric::Top5 => format!("top-5 {:.2}%", found.top5 * 100.0),
        Metric::Loss => format!("loss {:.4}", found.loss),
    }
}
