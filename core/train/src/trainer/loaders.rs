//! The images that a run trains on and is evaluated on, as batches.

use std::sync::Arc;

use vitral_data::{Datasets, Decoder, Loader, LoaderOptions, Shard};
use vitral_seed::Seed;

use super::{Trainer, feed::DeviceBatch};
use crate::{Error, Event, Observer, experiment::Experiment, micro_batch::MicroBatch};

impl Trainer {
    pub(super) fn train_loader(&self) -> Result<Loader, Error> {
        self.train_loader_with(self.decoder(), loader_options(&self.experiment))
    }

    /// Training batches from the present step on, with a decoder and other options.
    pub(super) fn train_loader_with(
        &self,
        decoder: Decoder,
        options: LoaderOptions,
    ) -> Result<Loader, Error> {
        let (channels, size) = self.experiment.input()?;
        let data = &self.experiment.data;
        let mut pipeline = data
            .train_pipeline(channels, size, self.stages.clone())?
            .with_image_sizes(self.experiment.train.image_size.clone())?;
        if decoder == Decoder::Hybrid {
            pipeline = pipeline.with_hybrid_decoder()?;
        }
        let batches = self.state.step..self.plan.total();
        Ok(Loader::train(Arc::clone(&self.datasets.train), Arc::new(pipeline), options, batches)?)
    }

    pub(super) fn report_skipped(
        &mut self,
        batch: &DeviceBatch,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        for reason in &batch.disabled {
            if !self.disabled.contains(reason) {
                self.disabled.push(reason.clone());
                let message = format!("{reason}; the run goes on without it");
                self.notice("data", message, observer)?;
            }
        }
        self.state.skipped += batch.skipped.len() as u64;
        for skipped in &batch.skipped {
            observer.on_event(&Event::Skipped {
                name: skipped.name.clone(),
                reason: skipped.reason.clone(),
            });
        }
        Ok(())
    }
}

/// Images that are evaluated at once where `batch: Auto` has found no micro-batch yet.
const EVALUATED_AT_ONCE: usize = 16;

/// The validation images of an experiment, each once and in order; as many at once as in a step or,
/// where that is left open, in a micro-batch.
///
/// # Errors
/// The data's settings do not fit the model.
pub fn eval_loader(
    experiment: &Experiment,
    datasets: &Datasets,
    micro_batch: Option<&MicroBatch>,
) -> Result<Loader, Error> {
    let mut options = loader_options(experiment);
    if experiment.train.batch.is_auto() {
        let at_once = micro_batch.map_or(EVALUATED_AT_ONCE, MicroBatch::size);
        options.batch = options.batch.min(at_once);
    }
    let (channels, size) = experiment.input()?;
    let pipeline = experiment.data.eval_pipeline(channels, size)?;
    Ok(Loader::eval(Arc::clone(&datasets.val), Arc::new(pipeline), options)?)
}

/// How an experiment's batches are made.
pub(super) fn loader_options(experiment: &Experiment) -> LoaderOptions {
    LoaderOptions {
        batch: experiment.train.batch.effective(),
        workers: experiment.data.workers,
        prefetch: experiment.data.prefetch,
        on_error: experiment.data.on_error,
        seed: Seed::new(experiment.seed),
        shard: Shard::default(),
    }
}
