//! `vitral prune`: a trained model without the attention heads and hidden neurons that matter least.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use indicatif::HumanCount;
use vitral_train::{
    Error,
    checkpoint::{self, Checkpoint},
    prune::{Importance, PruneOptions, Pruned, prune},
};

use crate::{experiment::open_device, failure::Failure, progress::counting, words::aligned};

#[derive(Debug, Args)]
#[command(group(clap::ArgGroup::new("amount").required(true).multiple(true)))]
pub struct PruneArguments {
    /// A run's folder, its `best` or `last`, a checkpoint, or what `import` wrote. If a run keeps a moving
    /// average, that is pruned.
    pub model: PathBuf,
    /// Share of the model's floating-point operations to keep, such as 0.6; the heads and neurons that matter
    /// least go.
    #[arg(long, value_name = "SHARE", group = "amount", value_parser = share, conflicts_with_all = ["heads", "neurons"])]
    pub flops: Option<f64>,
    /// Share of its attention heads to remove, instead of `--flops`.
    #[arg(long, value_name = "SHARE", group = "amount", value_parser = share)]
    pub heads: Option<f64>,
    /// Share of the hidden neurons of its MLPs to remove, instead of `--flops`.
    #[arg(long, value_name = "SHARE", group = "amount", value_parser = share)]
    pub neurons: Option<f64>,
    /// Smallest share of its heads, and of its hidden neurons, that each layer keeps. A layer that loses all of
    /// them loses its attention or its MLP.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share_or_all)]
    pub keep: f64,
    /// Keep a multiple of this many hidden neurons in each layer, such as 8, which kernels like. Layers of fewer
    /// than eight times as many lose them one by one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub round_to: u32,
    /// How heads and neurons are ranked.
    #[arg(long, value_enum, default_value_t = ImportanceName::Taylor)]
    pub importance: ImportanceName,
    /// Batches of training images for the gradients that `taylor` ranks by.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub batches: u32,
    /// The folder to write the model to; `eval`, `predict`, `export` and `train --init` open it.
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
}

/// What heads and neurons are ranked by.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ImportanceName {
    /// How much the loss would change without each, to first order (Molchanov et al. 2019)
    Taylor,
    /// The magnitude of its weights, which needs no data
    Magnitude,
}

fn share(text: &str) -> Result<f64, String> {
    within(text, |share| share > 0.0 && share < 1.0, "a share between 0 and 1, such as 0.6")
}

fn share_or_all(text: &str) -> Result<f64, String> {
    within(text, |share| (0.0..=1.0).contains(&share), "a share from 0 to 1, such as 0.2")
}

fn within(text: &str, is_right: impl Fn(f64) -> bool, right: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|&share| is_right(share));
    share.ok_or_else(|| format!("it must be {right}"))
}

pub fn run(arguments: &PruneArguments) -> Result<ExitCode, Failure> {
    let out = &arguments.out;
    vitral_files::check_new(out)
        .map_err(|error| Failure::Other(format!("{}: {error}", out.display())))?;
    let path = checkpoint::find(&arguments.model).map_err(Error::from)?;
    let checkpoint = Checkpoint::load(&path).map_err(Error::from)?;
    let device = open_device(arguments.device.as_deref(), &checkpoint.experiment)?;
    let options = PruneOptions {
        heads: arguments.heads.unwrap_or_default(),
        neurons: arguments.neurons.unwrap_or_default(),
        flops: arguments.flops,
        importance: match arguments.importance {
            ImportanceName::Taylor => Importance::Taylor,
            ImportanceName::Magnitude => Importance::Magnitude,
        },
        keep: arguments.keep,
        round_to: arguments.round_to as usize,
        batches: arguments.batches.into(),
    };
    let bar = counting("ranking");
    bar.set_length(options.batches);
    let pruned = prune(checkpoint, &options, &device, &mut |done| bar.set_position(done));
    bar.finish_and_clear();
    let (model, pruned) = pruned?;
    model.write_model(out).map_err(Error::from)?;
    print(&pruned);
    println!("wrote {}", out.display());
    Ok(ExitCode::SUCCESS)
}

/// What each layer has lost.
fn print(pruned: &Pruned) {
    let mut rows = vec![["layer", "heads", "", "hidden", ""].map(str::to_owned)];
    let share = |before: usize, after: usize| match before {
        0 => String::new(),
        _ => format!("{:.0}%", 100.0 * after as f64 / before as f64),
    };
    let mut row = |name: String, before: (usize, usize), after: (usize, usize)| {
        rows.push([
            name,
            format!("{} of {}", after.0, before.0),
            share(before.0, after.0),
            format!("{} of {}", after.1, before.1),
            share(before.1, after.1),
        ]);
    };
    for (layer, (before, after)) in pruned.before.iter().zip(&pruned.after).enumerate() {
        row(layer.to_string(), (before.heads, before.hidden), (after.heads, after.hidden));
    }
    row("all".into(), Pruned::totals(&pruned.before), Pruned::totals(&pruned.after));
    for row in aligned(&rows) {
        println!("  {row}");
    }
    let [before, after, _] = pruned.forward_flops;
    println!(
        "  {:.1} of {:.1} MFLOPs of an image's forward pass are left ({:.1}%), and {} of {} parameters",
        after / 1e6,
        before / 1e6,
        100.0 * after / before,
        HumanCount(pruned.parameters[1] as u64),
        HumanCount(pruned.parameters[0] as u64)
    );
}
