//! `vitral inspect`: what a model is made of and what it costs, layer by layer.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use indicatif::HumanCount;
use serde::Serialize;
use vitral_interchange::Hints;
use vitral_model::{
    AttentionPrograms, ViT, ViTConfig,
    device::{Device, describe},
    summary::{Layer, layers},
};
use vitral_seed::Seed;
use vitral_train::{
    Error, Experiment, TrainingMemory, check_parameters,
    checkpoint::{self, Checkpoint},
    open_pretrained,
    plugins::Programs,
};

use super::config::SMALLEST;
use crate::{
    consent::Allowed,
    experiment::{Loaded, open_device},
    failure::Failure,
    json,
    overrides::Overrides,
    plugins::registry,
    words::{aligned, counted},
};

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// An experiment (a RON file), a run's folder, a checkpoint, or a model's weights: .npz, .safetensors, .pth
    /// or .bin, or its folder.
    pub model: PathBuf,
    /// Images in a training step; by default as many as the experiment says.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    /// Number of classes, if the experiment leaves it to its data.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub classes: Option<u32>,
    /// Where it would compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// Print one JSON object, with the parts of each block.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

pub fn run(arguments: &InspectArguments) -> Result<ExitCode, Failure> {
    let subject = Subject::read(arguments)?;
    let device = open_device(arguments.device.as_deref(), &subject.experiment)?;
    let summary = Summary::of(&subject, arguments.batch.map(|batch| batch as usize), &device)?;
    match arguments.json {
        true => json::print(&summary)?,
        false => summary.print(),
    }
    Ok(ExitCode::SUCCESS)
}

/// What is inspected.
struct Subject {
    name: String,
    /// With every size written out.
    experiment: Experiment,
    programs: AttentionPrograms,
}

impl Subject {
    fn read(arguments: &InspectArguments) -> Result<Self, Failure> {
        let (path, set) = (&arguments.model, &arguments.overrides.set);
        let is_experiment = path.extension().is_some_and(|extension| extension == "ron");
        if is_experiment {
            return Self::of_experiment(arguments, Loaded::read_to_look(path, set)?);
        }
        if arguments.classes.is_some() {
            let problem = format!(
                "{} already has its classes: `--classes` is only for experiments",
                path.display()
            );
            return Err(Failure::Usage(problem));
        }
        match checkpoint::find(path) {
            Ok(found) => Self::of_checkpoint(&found, set),
            Err(_) => Self::of_weights(path, set),
        }
    }

    /// Its data is opened only where nothing else says how many classes there are, and plugins only if they
    /// may.
    fn of_experiment(arguments: &InspectArguments, loaded: Loaded) -> Result<Self, Failure> {
        let classes = match (arguments.classes, loaded.experiment.model.classes) {
            (Some(classes), _) => classes as usize,
            (None, 0) => {
                let data = loaded.experiment.data.open().map_err(|error| {
                    Failure::Other(format!(
                        "cannot take the number of classes from the data: {error}; `--classes` \
                         sets it as well"
                    ))
                })?;
                data.train.class_names().len()
            }
            (None, classes) => classes,
        };
        let experiment = loaded.experiment.resolved(classes);
        let programs = Programs::trace(&experiment, &registry(&arguments.allowed.allow)?)
            .map_err(|error| loaded.locate(error))?;
        let name = arguments.model.display().to_string();
        Ok(Self { name, experiment, programs: programs.attention })
    }

    fn of_checkpoint(path: &Path, set: &[String]) -> Result<Self, Failure> {
        let mut checkpoint = Checkpoint::load(path).map_err(Error::from)?;
        if !set.is_empty() {
            checkpoint.experiment = Loaded::of_checkpoint(&checkpoint, set)?.experiment;
        }
        Ok(Self {
            name: path.display().to_string(),
            experiment: checkpoint.experiment,
            programs: checkpoint.programs.attention,
        })
    }

    fn of_weights(path: &Path, set: &[String]) -> Result<Self, Failure> {
        let found = open_pretrained(path, &Hints::default())?;
        // What is trained by default, as a file of weights says nothing of training.
        let document = vitral_config::Document::new("defaults", SMALLEST);
        let loaded = Loaded::parse(document, set, Path::new("."))?;
        if loaded.document().assigned().any(|field| field.starts_with("model")) {
            let problem = "the model is that of the file: `--set` can only change `train`";
            return Err(Failure::Usage(problem.into()));
        }
        // A backbone has no head.
        let model = ViTConfig { classes: found.config.classes.max(1), ..found.config };
        Ok(Self {
            name: path.display().to_string(),
            experiment: Experiment { model, ..loaded.experiment },
            programs: AttentionPrograms::new(),
        })
    }
}

/// What is told of a model.
#[derive(Serialize)]
struct Summary {
    model: String,
    image_size: usize,
    classes: usize,
    /// Where memory is counted for.
    device: String,
    parameters: usize,
    /// Of an image: two for each multiplication and addition.
    forward_flops: f64,
    layers: Vec<Layer>,
    training_memory: TrainingMemory,
    training_memory_bytes: f64,
}

impl Summary {
    fn of(subject: &Subject, batch: Option<usize>, device: &Device) -> Result<Self, Failure> {
        let experiment = &subject.experiment;
        let config = &experiment.model;
        // Nothing is computed with the weights, so that they are never made; a size beyond all memory is
        // refused all the same, before tables of positions are.
        check_parameters(config)?;
        let seed = Seed::new(experiment.seed);
        let model = ViT::with_programs(config, &subject.programs, seed, device);
        let model = model.map_err(Error::from)?;
        let layers = layers(&model, device);
        let training_memory = TrainingMemory::of(experiment, &model, batch, device);
        Ok(Self {
            model: subject.name.clone(),
            image_size: config.image_size,
            classes: config.classes,
            device: describe(device),
            parameters: layers.iter().map(|layer| layer.parameters).sum(),
            forward_flops: layers.iter().map(|layer| layer.forward_flops).sum(),
            layers,
            training_memory_bytes: training_memory.total(),
            training_memory,
        })
    }

    fn print(&self) {
        println!("{}", self.model);
        println!(
            "  images of {} px, {}",
            self.image_size,
            counted(HumanCount(self.classes as u64), "class", "classes")
        );
        let header = ["layer", "output", "parameters", "MFLOPs", "kept KiB"].map(str::to_owned);
        let mut rows = vec![header];
        rows.extend(folded(&self.layers));
        rows.push([
            "all".into(),
            String::new(),
            HumanCount(self.parameters as u64).to_string(),
            mega(self.forward_flops),
            kibi(self.layers.iter().filter_map(|layer| layer.kept_bytes).sum()),
        ]);
        for row in aligned(&rows) {
            println!("  {row}");
        }
        println!(
            "  MFLOPs of one image's forward pass, counting a multiply-add as two; a training step \
             takes three times as many"
        );
        println!("  kept KiB: what blocks keep per image for the backward pass on {}", self.device);
        let memory = &self.training_memory;
        println!(
            "training with {} at once takes about {}",
            counted(memory.micro_batch, "image", "images"),
            size(self.training_memory_bytes)
        );
        for (what, bytes) in [
            ("weights", memory.weights),
            ("gradients", memory.gradients),
            ("optimizer's averages", memory.optimizer),
            ("moving average", memory.average),
            ("kept for backward", memory.activations),
            ("images", memory.images),
        ] {
            if bytes > 0.0 {
                println!("  {what:<22}{:>12}", size(bytes));
            }
        }
    }
}

/// A row for each layer; blocks that follow each other and are alike have one, with what each of them has.
fn folded(layers: &[Layer]) -> Vec<[String; 5]> {
    let mut rows: Vec<[String; 5]> = Vec::new();
    let mut at = 0;
    while let Some(layer) = layers.get(at) {
        let alike = |other: &&Layer| {
            Layer { name: String::new(), ..(*other).clone() }
                == Layer { name: String::new(), ..layer.clone() }
        };
        let count = layers[at..].iter().take_while(alike).count();
        let last = layers[at + count - 1].name.rsplit('.').next().unwrap_or_default();
        let name = match count {
            1 => layer.name.clone(),
            _ => format!("{} to {last}, each", layer.name),
        };
        let output: Vec<String> = layer.output.iter().map(ToString::to_string).collect();
        rows.push([
            name,
            output.join(" x "),
            HumanCount(layer.parameters as u64).to_string(),
            mega(layer.forward_flops),
            layer.kept_bytes.map(kibi).unwrap_or_default(),
        ]);
        for part in &layer.parts {
            rows.push([
                format!("  {}", part.name),
                String::new(),
                HumanCount(part.parameters as u64).to_string(),
                mega(part.forward_flops),
                String::new(),
            ]);
        }
        at += count;
    }
    rows
}

fn mega(flops: f64) -> String {
    format!("{:.1}", flops / 1e6)
}

fn kibi(bytes: f64) -> String {
    format!("{:.0}", bytes / 1024.0)
}

fn size(bytes: f64) -> String {
    let (mib, gib) = (f64::from(1 << 20), f64::from(1 << 30));
    if bytes < gib { format!("{:.1} MiB", bytes / mib) } else { format!("{:.2} GiB", bytes / gib) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_that_are_alike_have_one_row() {
        let layer = |name: &str, parameters| Layer {
            name: name.into(),
            output: vec![4, 8],
            parameters,
            forward_flops: 2e6,
            kept_bytes: Some(2048.0),
            parts: Vec::new(),
        };
        let layers =
            [layer("blocks.0", 5), layer("blocks.1", 5), layer("blocks.2", 1), layer("head", 7)];
        let names: Vec<String> = folded(&layers).into_iter().map(|row| row[0].clone()).collect();
        assert_eq!(names, ["blocks.0 to 1, each", "blocks.2", "head"]);
        assert_eq!(folded(&layers)[0][1..], ["4 x 8", "5", "2.0", "2"]);
    }
}
