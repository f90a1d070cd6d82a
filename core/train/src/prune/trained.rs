//! A trained model, pruned at once.

use std::sync::Arc;

use vitral_data::{ClassList, Loader, LoaderOptions, Shard};
use vitral_model::{ConfigProblem, Costs, ViT, ViTConfig, device::Device};
use vitral_seed::Seed;

use super::{Bounds, BranchCosts, Importance, Pruned, Target, cut, select};
use crate::{
    Error, Learner,
    batch::images_to_device,
    batch_size::BatchSize,
    checkpoint::{Checkpoint, CheckpointError, Tensors},
    class_weights::ImageWeights,
    experiment::{Experiment, TrainConfig},
    loss::targets,
    optimizer::Optimizer,
    plugins::Programs,
    schedule::Schedule,
};

/// Most images of a batch by whose gradients heads and neurons are ranked.
const MOST_IMAGES: usize = 128;

/// How a trained model is pruned. Shares are of what it has.
#[derive(Clone, Copy, Debug)]
pub struct PruneOptions {
    /// Share of its attention heads that goes.
    pub heads: f64,
    /// Share of its hidden neurons that goes.
    pub neurons: f64,
    /// In place of both: share of its operations that is left.
    pub flops: Option<f64>,
    /// What heads and neurons are ranked by.
    pub importance: Importance,
    /// Least share of its heads, and of its hidden neurons, that each whole layer keeps.
    pub keep: f64,
    /// Hidden neurons go in groups, so that a multiple of so many is left.
    pub round_to: usize,
    /// Batches of training images, by whose gradients they are ranked.
    pub batches: u64,
}

/// Prunes the model of a checkpoint: its moving average where there is one. `seen` is told how many batches are
/// done.
///
/// # Errors
/// Its data cannot be read, or so much cannot be removed.
pub fn prune(
    mut checkpoint: Checkpoint,
    options: &PruneOptions,
    device: &Device,
    seen: &mut dyn FnMut(u64),
) -> Result<(Checkpoint, Pruned), Error> {
    let config = checkpoint.experiment.model.resolved();
    if config.is_mixer() {
        return Err(Error::Experiment(ConfigProblem {
            field: "model.token_mixing".into(),
            message: "an MLP-Mixer cannot be pruned: its layers have no heads, and are all alike"
                .into(),
            help: "Vision Transformers and hybrids can".into(),
        }));
    }
    checkpoint.tensors.model = match checkpoint.tensors.ema.take() {
        Some(average) => average,
        None => std::mem::take(&mut checkpoint.tensors.model),
    };
    let mut learner = learner(&checkpoint, &config, options.batches, device)?;
    if options.importance == Importance::Taylor {
        see(&checkpoint, &mut learner, options.batches, device, seen)?;
    }
    let costs = BranchCosts::of(learner.model(), device);
    let target = match options.flops {
        Some(left) => Target::Flops(left * costs.all),
        None => Target::without(options.heads, options.neurons, &config),
    };
    let scores = learner.importance(options.importance)?;
    let bounds = Bounds { keep: options.keep, round_to: options.round_to };
    let kept = select(&config, &costs, &scores, target, bounds).map_err(|least| {
        Error::Experiment(ConfigProblem {
            field: "--flops".into(),
            message: format!(
                "{:.3} of the model's operations are left even without all heads and neurons that \
                 may go",
                least / costs.all
            ),
            help: "keep more, or let layers keep less (`--keep`)".into(),
        })
    })?;
    let tensors = std::mem::take(&mut checkpoint.tensors.model);
    let tensors = cut(tensors, &config, &kept);
    checkpoint.tensors =
        Tensors { model: tensors, ema: None, optimizer: Vec::new(), importance: None };
    checkpoint.experiment.model = ViTConfig { layers: kept.sizes(), ..config.clone() };
    let build = |model: &ViTConfig| {
        ViT::with_programs(model, &checkpoint.programs.attention, Seed::new(0), device)
    };
    let pruned = build(&checkpoint.experiment.model)?;
    let whole = build(&config.whole())?;
    let flops = |model: &ViT| Costs::of(model, device).forward_flops;
    let count = vitral_model::parameters::count;
    let report = Pruned {
        before: config.layer_sizes(),
        after: kept.sizes(),
        forward_flops: [costs.all, flops(&pruned), flops(&whole)],
        parameters: [count(learner.model()), count(&pruned)],
    };
    Ok((checkpoint, report))
}

/// The model as it was trained, without noise and about to see batches.
fn learner(
    checkpoint: &Checkpoint,
    config: &ViTConfig,
    batches: u64,
    device: &Device,
) -> Result<Learner, Error> {
    let model = ViTConfig {
        drop_path: 0.0,
        dropout: 0.0,
        attention_dropout: 0.0,
        patch_dropout: 0.0,
        ..config.clone()
    };
    let of_run = &checkpoint.experiment.train;
    let train = TrainConfig {
        loss: of_run.loss,
        activation_checkpointing: of_run.activation_checkpointing,
        batch: BatchSize::Fixed(of_run.batch.effective().min(MOST_IMAGES)),
        optimizer: Optimizer::Sgd { momentum: 0.0, nesterov: false },
        ..TrainConfig::default()
    };
    let programs = Programs { batch: Vec::new(), ..checkpoint.programs.clone() };
    let schedule = Schedule { total: batches.max(1), ..Schedule::default() };
    let seed = Seed::new(checkpoint.experiment.seed);
    let mut learner = Learner::with_programs(&model, &train, &programs, schedule, seed, device)?;
    let path = &checkpoint.path;
    let mismatch = |problem| CheckpointError::Mismatch { path: path.clone(), problem };
    learner.start_from(&checkpoint.tensors.model, device).map_err(mismatch)?;
    learner.track_importance();
    Ok(learner)
}

/// Has a learner see the gradients of training images as evaluations take them, of any place in the data.
fn see(
    checkpoint: &Checkpoint,
    learner: &mut Learner,
    batches: u64,
    device: &Device,
    seen: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    let Experiment { data, model, train, .. } = &checkpoint.experiment;
    let mut datasets = data.open()?;
    if !checkpoint.state.class_names.is_empty() {
        let names = checkpoint.state.class_names.clone();
        let classes = ClassList { owner: "the model", names, numbered: false };
        datasets = datasets.in_order_of(&classes)?;
    }
    let weights = ImageWeights::open(&checkpoint.experiment, &*datasets.train, device)?;
    learner.set_class_weights(weights);
    let (channels, size) = checkpoint.experiment.input()?;
    let options = LoaderOptions {
        batch: train.batch.effective().min(MOST_IMAGES),
        repeats: 1,
        workers: data.workers,
        prefetch: data.prefetch,
        on_error: data.on_error,
        seed: Seed::new(checkpoint.experiment.seed).named("prune"),
        shard: Shard::default(),
    };
    let pipeline = Arc::new(data.eval_pipeline(channels, size)?);
    let loader = Loader::train(datasets.train, pipeline, options, 0..batches)?;
    for (step, batch) in (0_u64..).zip(loader) {
        let batch = batch?;
        let pixels = images_to_device(&batch, &data.normalize, device)?;
        let targets = targets(&batch.labels, model.classes, train.label_smoothing, device);
        let gradients = learner.gradients(step, pixels, targets);
        learner.see_importance(&gradients)?;
        seen(step + 1);
    }
    Ok(())
}
