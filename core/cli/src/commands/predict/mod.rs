//! `vitral predict`: classifies images, and writes what they are.

mod answer;
mod attention;
mod embeddings;
mod file_names;
mod inputs;
mod ranking;
mod sorted;
mod table;
mod table_parquet;

use std::{
    io::IsTerminal as _,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Args;
use indicatif::{HumanCount, ProgressBar};
use vitral_data::Skipped;
use vitral_train::{
    Error, PredictOptions, Predicted, TrainedModel,
    checkpoint::{self, Checkpoint},
};

use self::{
    answer::Answer, attention::AttentionFolder, embeddings::Embeddings, inputs::Input,
    ranking::Ranking, sorted::Sorted, table::Table,
};
use crate::{
    experiment::open_device,
    failure::Failure,
    fewer_tokens::FewerTokens,
    json,
    precision::{PrecisionName, compute_in},
    print::is_unread,
    progress::{counting, note},
    words::counted,
};

#[derive(Debug, Args)]
pub struct PredictArguments {
    /// A run's folder, its `best` or `last`, or a checkpoint.
    pub checkpoint: PathBuf,
    /// Images (JPEG, PNG or WebP): files, folders and everything below them, patterns such as
    /// 'photos/**/*.jpg', shards (.tar), files (.parquet), a cache (.vcache), the validation images of an
    /// experiment (.ron), `@FILE` for a list of paths, or `-` for such a list, or an image, on standard input.
    #[arg(required_unless_present = "list")]
    pub images: Vec<PathBuf>,
    /// A file that lists images, one path per line, relative to the current folder. Can be given several
    /// times.
    #[arg(long, value_name = "FILE")]
    pub list: Vec<PathBuf>,
    /// How many classes to show for each image.
    #[arg(long, short = 'k', default_value = "5")]
    pub top: NonZeroUsize,
    /// Show only classes of at least this probability, which may be none.
    #[arg(long, value_name = "PROBABILITY", value_parser = probability)]
    pub threshold: Option<f32>,
    /// Write a table with one row per image instead of printing: .csv, .jsonl or .parquet.
    #[arg(long, short, value_name = "FILE", conflicts_with = "json")]
    pub output: Option<PathBuf>,
    /// Copy each image into this new folder, below a folder named after its most probable class.
    #[arg(long, value_name = "FOLDER")]
    pub sort_into: Option<PathBuf>,
    /// Write the features that the head sees, one row per row of the table: .npy or .safetensors.
    #[arg(long, value_name = "FILE")]
    pub embeddings: Option<PathBuf>,
    /// Draw attention maps into a new folder, over each image as the model sees it: attention
    /// rollout (NAME.rollout.png), and what the class token, or else the mean of the patches,
    /// attends to in each head (NAME.heads.png: one row per layer, one column per head). Brighter
    /// means more attention.
    #[arg(long, value_name = "FOLDER")]
    pub attention_maps: Option<PathBuf>,
    /// Images that go through the model at once; by default as many as in the run's evaluations, but at
    /// most 64.
    #[arg(long)]
    pub batch: Option<NonZeroUsize>,
    /// Exit with code 0 even if some images could not be read; they are still named and counted.
    #[arg(long)]
    pub allow_damaged: bool,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// The type to compute in: f32, bf16 or f16; by default the one that the run was trained in.
    #[arg(long)]
    pub precision: Option<PrecisionName>,
    #[command(flatten)]
    pub tokens: FewerTokens,
    /// Print one JSON object for each image.
    #[arg(long)]
    pub json: bool,
}

fn probability(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err("a probability is from 0 to 1".into()),
    }
}

pub fn run(arguments: &PredictArguments) -> Result<ExitCode, Failure> {
    let path = checkpoint::find(&arguments.checkpoint).map_err(Error::from)?;
    let mut checkpoint = Checkpoint::load(&path).map_err(Error::from)?;
    arguments.tokens.change(&mut checkpoint.experiment)?;
    let device = open_device(arguments.device.as_deref(), &checkpoint.experiment)?;
    compute_in(&mut checkpoint, arguments.precision, &device)?;
    let model = TrainedModel::new(checkpoint, &device)?;
    let inputs = inputs::open(&arguments.images, &arguments.list)?;
    let mut results = Results::open(arguments, &model)?;
    let total: usize = inputs.iter().map(|input| input.source.len()).sum();
    results.bar.set_length(total as u64);
    let start = Instant::now();
    let predicted =
        inputs.iter().try_for_each(|input| predict(arguments, &model, input, &mut results));
    results.bar.finish_and_clear();
    predicted?;
    results.finish(total, start.elapsed().as_secs_f64())?;
    let is_whole = results.damaged == 0 && !results.has_damaged_parts;
    Ok(if is_whole || arguments.allow_damaged { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn predict(
    arguments: &PredictArguments,
    model: &TrainedModel,
    input: &Input,
    results: &mut Results,
) -> Result<(), Failure> {
    for note in input.source.notes() {
        results.bar.suspend(|| eprintln!("note: {note}"));
    }
    for part in input.source.damaged() {
        results.bar.suspend(|| eprintln!("error: left out {part}"));
        results.has_damaged_parts = true;
    }
    let options = PredictOptions {
        batch: arguments.batch.map(NonZeroUsize::get),
        features: arguments.embeddings.is_some(),
        attention: arguments.attention_maps.is_some(),
    };
    for batch in model.predict(&input.source, options)? {
        results.add(input, &batch?)?;
        if is_unread() && !results.has_files() {
            break;
        }
    }
    Ok(())
}

/// Where the classes of the images go.
struct Results {
    ranking: Ranking,
    table: Option<Table>,
    sorted: Option<Sorted>,
    embeddings: Option<Embeddings>,
    attention: Option<AttentionFolder>,
    json: bool,
    bar: ProgressBar,
    images: usize,
    damaged: usize,
    /// Whether shards or row groups were left out, of which nobody knows how many images they have.
    has_damaged_parts: bool,
    /// Images without a class of enough probability.
    unsure: usize,
}

impl Results {
    fn open(arguments: &PredictArguments, model: &TrainedModel) -> Result<Self, Failure> {
        let ranking = Ranking::new(
            model.class_names(),
            model.vit().config().classes,
            arguments.top.get(),
            arguments.threshold.unwrap_or(0.0),
        );
        let output = arguments.output.as_deref();
        let table = output.map(|path| Table::create(path, ranking.shown())).transpose()?;
        let sorted = arguments.sort_into.as_deref();
        let sorted = sorted.map(|folder| Sorted::create(folder, ranking.names())).transpose()?;
        let embeddings = arguments.embeddings.as_deref();
        let embeddings =
            embeddings.map(|path| Embeddings::create(path, model.feature_width())).transpose()?;
        let attention = arguments.attention_maps.as_deref();
        if attention.is_some() {
            model.vit().config().check_attention_maps().map_err(Error::from)?;
        }
        let attention = attention.map(AttentionFolder::create).transpose()?;
        // A bar between lines at the same terminal would be in their way.
        let prints = table.is_none() && std::io::stdout().is_terminal();
        let bar = if prints { ProgressBar::hidden() } else { counting("predicting") };
        Ok(Self {
            ranking,
            table,
            sorted,
            embeddings,
            attention,
            json: arguments.json,
            bar,
            images: 0,
            damaged: 0,
            has_damaged_parts: false,
            unsure: 0,
        })
    }

    fn has_files(&self) -> bool {
        self.table.is_some()
            || self.sorted.is_some()
            || self.embeddings.is_some()
            || self.attention.is_some()
    }

    fn add(&mut self, input: &Input, batch: &Predicted) -> Result<(), Failure> {
        for Skipped { name, reason } in &batch.skipped {
            self.bar.suspend(|| eprintln!("error: {name}: {reason}"));
        }
        self.damaged += batch.skipped.len();
        if let (Some(embeddings), Some(features)) = (&mut self.embeddings, &batch.features) {
            embeddings.add(features)?;
        }
        if let (Some(folder), Some(attended)) = (&mut self.attention, &batch.attention) {
            for (&sample, attended) in batch.samples.iter().zip(attended) {
                folder.add(&input.source.name(sample as usize), attended)?;
            }
        }
        let classes = self.ranking.classes();
        for (&sample, row) in batch.samples.iter().zip(batch.probabilities.chunks_exact(classes)) {
            let index = sample as usize;
            let ranked = self.ranking.of(row);
            self.unsure += usize::from(ranked.is_empty());
            let answer = Answer {
                image: &input.source.name(index),
                file: input.files.as_ref().and_then(|files| files.path(index)),
                classes: &ranked,
            };
            if let (Some(sorted), Some(first)) = (&mut self.sorted, ranked.first()) {
                sorted.add(&*input.source, index, first.index)?;
            }
            match &mut self.table {
                Some(table) => table.add(&answer)?,
                None if self.json => json::print(&answer.to_json())?,
                None => answer.print(),
            }
        }
        self.images += batch.samples.len();
        self.bar.inc((batch.samples.len() + batch.skipped.len()) as u64);
        Ok(())
    }

    /// Has all files appear, and tells what was left out.
    fn finish(&mut self, total: usize, seconds: f64) -> Result<(), Failure> {
        let has_files = self.has_files();
        let written = |path: &Path| println!("{}", path.display());
        if let Some(table) = self.table.take() {
            written(&table.finish()?);
        }
        if let Some(embeddings) = self.embeddings.take() {
            written(&embeddings.finish()?);
        }
        if let Some(attention) = self.attention.take() {
            written(&attention.finish()?);
        }
        if let Some(sorted) = self.sorted.take() {
            sorted.renamed().iter().for_each(|renamed| note(renamed));
            written(&sorted.finish()?);
            if self.unsure > 0 {
                let images = counted(self.unsure, "image is", "images are");
                eprintln!("{images} below the threshold in every class, and not copied");
            }
        }
        if self.damaged > 0 {
            let total = HumanCount(total as u64);
            eprintln!("left out {} of {total} images, which cannot be read", self.damaged);
        }
        if has_files {
            let images = counted(HumanCount(self.images as u64), "image", "images");
            let speed = self.images as f64 / seconds.max(1e-9);
            note(&format!("classified {images} in {seconds:.1} s, {speed:.0} a second"));
        }
        Ok(())
    }
}
