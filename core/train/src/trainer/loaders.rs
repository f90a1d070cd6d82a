//! The images that a run trains on and is evaluated on, as batches.

use std::{ops::Range, sync::Arc};

use vitral_data::{
    DataConfig, Datasets, Decoder, Loader, LoaderOptions, Pipeline, Shard, Source, Stage,
};
use vitral_seed::Seed;

use super::{Trainer, feed::DeviceBatch};
use crate::{
    Error, Event, Observer,
    batch_size::BatchSize,
    experiment::Experiment,
    metrics_line::{TRAIN, VAL},
    micro_batch::MicroBatch,
};

impl Trainer {
    pub(super) fn train_loader(&self) -> Result<Loader, Error> {
        self.train_loader_with(DataConfig {
            decoder: self.decoder(),
            ..self.experiment.data.clone()
        })
    }

    /// Training batches from the present step on, with other settings of the data.
    pub(super) fn train_loader_with(&self, data: DataConfig) -> Result<Loader, Error> {
        let experiment = Experiment { data, ..self.experiment.clone() };
        let batches = self.plan.batch(self.state.step)..self.plan.batch(self.plan.total);
        let shard = self.train_shard()?;
        let stages = self.stages.clone();
        train_loader_of(shard, &experiment, &self.datasets.train, stages, batches)
    }

    /// This rank's part of each batch. Where a batch is mixed as a whole, images are with those that they are mixed
    /// with.
    pub(super) fn train_shard(&self) -> Result<Shard, Error> {
        let (train, shard) = (&self.experiment.train, self.ranks.shard()?);
        let is_paired = train.batch.is_auto() && train.mix.is_on() && self.ranks.size() > 1;
        Ok(if is_paired { shard.paired() } else { shard })
    }

    /// Tells what the data sets have found and do not read.
    pub(super) fn tell_of_unread_files(
        &mut self,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let Datasets { train, val } = self.datasets.clone();
        for (from, source) in [(TRAIN, train), (VAL, val)] {
            let damaged = source.damaged().iter().map(|part| format!("left out {part}"));
            for note in damaged.chain(source.notes().iter().cloned()) {
                // A run that goes on has noted it before.
                let is_kept = self.state.step == 0;
                let notice = Event::Notice { from: from.into(), message: note, is_kept };
                self.emit(notice, observer)?;
            }
        }
        Ok(())
    }

    /// Tells what is left out of a batch, and of the data path from now on.
    pub(super) fn report_skipped(
        &mut self,
        batch: &DeviceBatch,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        for reason in &batch.disabled {
            if !self.disabled.contains(reason) {
                self.disabled.push(reason.clone());
                self.emit(Event::PluginDisabled { reason: reason.clone() }, observer)?;
            }
        }
        self.state.skipped += batch.skipped.len() as u64;
        let step = self.state.step + 1;
        batch.skipped.iter().try_for_each(|image| {
            self.emit(Event::Skipped { step, image: image.clone() }, observer)
        })
    }
}

/// The training batches of an experiment with these numbers, from the start of a run, with the
/// [opened stages](crate::plugins::open_stages) of `augment`. With `decoder: Auto`, the processor decodes them.
///
/// # Errors
/// The data's settings do not fit the model.
pub fn train_loader(
    experiment: &Experiment,
    images: &Arc<dyn Source>,
    stages: Vec<Stage>,
    batches: Range<u64>,
) -> Result<Loader, Error> {
    train_loader_of(Shard::default(), experiment, images, stages, batches)
}

/// The same for one process of several.
fn train_loader_of(
    shard: Shard,
    experiment: &Experiment,
    images: &Arc<dyn Source>,
    stages: Vec<Stage>,
    batches: Range<u64>,
) -> Result<Loader, Error> {
    let (channels, size) = experiment.input()?;
    let mut pipeline = Pipeline::new(channels, size, stages)?
        .with_image_sizes(experiment.train.image_size.clone())?;
    if experiment.data.decoder == Decoder::Hybrid {
        pipeline = pipeline.with_hybrid_decoder()?;
    }
    let options = LoaderOptions { shard, ..loader_options(experiment) };
    let (sampling, images) = (experiment.data.sampling, Arc::clone(images));
    Ok(Loader::train_sampled(sampling, images, Arc::new(pipeline), options, batches)?)
}

/// Images that are evaluated at once where `batch: Auto` has found no micro-batch yet.
const EVALUATED_AT_ONCE: usize = 16;

/// How many images are evaluated at once: as many as in a step or, where that is left open, in a
/// micro-batch.
pub(crate) fn evaluated_at_once(
    experiment: &Experiment,
    micro_batch: Option<&MicroBatch>,
) -> usize {
    let BatchSize::Auto { effective, .. } = experiment.train.batch else {
        return experiment.train.batch.effective();
    };
    effective.min(micro_batch.map_or(EVALUATED_AT_ONCE, MicroBatch::size))
}

/// The validation images of an experiment, each once and in order; as many at once as in a step or,
/// where that is left open, in a micro-batch.
///
/// # Errors
/// The data's settings do not fit the model.
pub fn eval_loader(
    experiment: &Experiment,
    images: &Arc<dyn Source>,
    micro_batch: Option<&MicroBatch>,
) -> Result<Loader, Error> {
    eval_loader_of(Shard::default(), experiment, images, micro_batch)
}

/// The same for one process of several, each of which has a part of the images.
pub(super) fn eval_loader_of(
    shard: Shard,
    experiment: &Experiment,
    images: &Arc<dyn Source>,
    micro_batch: Option<&MicroBatch>,
) -> Result<Loader, Error> {
    let batch = evaluated_at_once(experiment, micro_batch);
    let options = LoaderOptions { batch, shard, ..loader_options(experiment) };
    let (channels, size) = experiment.input()?;
    let pipeline = experiment.data.eval_pipeline(channels, size)?;
    Ok(Loader::eval(Arc::clone(images), Arc::new(pipeline), options)?)
}

/// All images of a source, each once and in order, prepared as those of evaluations; what cannot be read is
/// left out.
///
/// # Errors
/// The data's settings do not fit the model.
pub(crate) fn each_loader(
    experiment: &Experiment,
    images: &Arc<dyn Source>,
    batch: usize,
) -> Result<Loader, Error> {
    let options = LoaderOptions { batch, ..loader_options(experiment) };
    let (channels, size) = experiment.input()?;
    let pipeline = experiment.data.eval_pipeline(channels, size)?;
    Ok(Loader::each(Arc::clone(images), Arc::new(pipeline), options)?)
}

/// The training images of an experiment that draws nothing, each once and in order, as they are trained on.
///
/// # Errors
/// The data's settings do not fit the model.
pub(crate) fn unaugmented_loader(
    experiment: &Experiment,
    images: &Arc<dyn Source>,
    stages: Vec<Stage>,
) -> Result<Loader, Error> {
    let batch = evaluated_at_once(experiment, None);
    let options = LoaderOptions { batch, ..loader_options(experiment) };
    let (channels, size) = experiment.input()?;
    let pipeline = Pipeline::new(channels, size, stages)?;
    Ok(Loader::eval(Arc::clone(images), Arc::new(pipeline), options)?)
}

fn loader_options(experiment: &Experiment) -> LoaderOptions {
    LoaderOptions {
        batch: experiment.train.batch.effective(),
        repeats: experiment.data.repeated_augmentation,
        workers: experiment.data.workers,
        prefetch: experiment.data.prefetch,
        on_error: experiment.data.on_error,
        seed: Seed::new(experiment.seed),
        shard: Shard::default(),
    }
}
