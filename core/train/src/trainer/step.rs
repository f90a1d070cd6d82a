//! One step, and what is reported of it.

use std::time::Instant;

use vitral_host::LayerReport;

use super::{
    Trainer,
    decide::has_diverged,
    feed::{DeviceBatch, Feed},
    step_times::Kind,
};
use crate::{
    BatchGradients, Error, Event, Learned, Observer, ScalingReport, StepFigures, StepReport,
    micro_batch::MicroBatch, read_back::scalars,
};

impl Trainer {
    /// Makes one step and tells of it. Its figures are read back where they are logged; the next batch goes
    /// to the device before that, where it can meanwhile.
    pub(super) fn step(
        &mut self,
        batch: DeviceBatch,
        feed: &mut Feed,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let (step, train) = (self.state.step, &self.experiment.train);
        let prune = train.prune;
        let DeviceBatch { images, targets, count, share, .. } = batch;
        let is_logged = (step + 1).is_multiple_of(train.log_every) || step + 1 == self.plan.total;
        let computing = Instant::now();
        let patch_dropout = self.experiment.patch_dropout_at(self.epoch());
        self.learner.set_patch_dropout(patch_dropout);
        let (images_of_rank, parameters) = (images.dims(), self.parameters());
        let kind = Kind { images: images_of_rank, patch_dropout, parameters };
        let within = self.step_times.within(kind);
        self.ranks.begin(format_args!("computing the gradients of step {}", step + 1), within);
        let (gradients, communication) = match share {
            Some(share) => self.shared_gradients(step, &share, images, targets, observer)?,
            None => (self.gradients(step, images, targets, observer)?, None),
        };
        let gradients_time = computing.elapsed();
        if let Some(message) = self.learner.obstacle_to_recording() {
            self.notice("record_steps", message, observer)?;
        }
        let skipped = self.learner.overflowed(&gradients)?;
        if self.wants_layers && !skipped {
            let statistics = || self.learner.statistics(&gradients);
            let parameters = tracing::trace_span!("statistics").in_scope(statistics)?;
            let epoch = self.plan.epoch(step + 1);
            self.begin("telling of layers");
            let report = LayerReport { step: step + 1, epoch, parameters };
            self.emit(Event::Statistics(report), observer)?;
        }
        let updating = Instant::now();
        self.ranks.begin(format_args!("updating the weights in step {}", step + 1), within);
        let is_pruned_further = prune.is_some_and(|prune| !prune.is_over(self.plan.epoch(step)));
        if is_pruned_further && !skipped {
            self.learner.see_importance(&gradients)?;
        }
        let learning_rate = self.plan.schedule.learning_rate(step) * self.state.rate_scale;
        let update = tracing::trace_span!("update").entered();
        let learned = if skipped {
            self.skip(gradients)?
        } else {
            self.learner.apply(step, gradients, self.state.rate_scale)?
        };
        drop(update);
        let update_time = updating.elapsed();
        let waited = communication.unwrap_or_default().waited;
        self.step_times.add(gradients_time.saturating_sub(waited) + update_time);
        self.begin("getting images and telling of what was done");
        feed.fetch_ahead();
        // One rank judges and tells.
        let is_told = is_logged && self.ranks.is_first();
        let figures = || self.figures(learned, count, skipped);
        let figures =
            is_told.then(|| tracing::trace_span!("figures").in_scope(figures)).transpose()?;
        let (time, data_wait) = feed.stepped();
        self.pace.own = (data_wait + gradients_time.saturating_sub(waited)).as_secs_f64();
        self.state.step += 1;
        self.state.seconds += time.as_secs_f64();
        let report = StepReport {
            step: self.state.step,
            epoch: self.epoch(),
            images: count,
            left_out: self.state.skipped,
            micro_batch: self.state.micro_batch.as_ref().map(MicroBatch::size),
            learning_rate,
            figures,
            scaling: self.learner.loss_scale().map(|state| ScalingReport {
                skipped,
                scale: state.scale,
                skipped_steps: self.learner.skipped_steps(),
            }),
            time,
            data_wait,
            gradients_time,
            communication,
            update_time,
            data: is_logged.then(|| feed.report()),
        };
        tracing::trace_span!("tell").in_scope(|| self.emit(Event::Stepped(report), observer))?;
        if is_told {
            self.tell_slow_ranks(observer)?;
        }
        let is_taken_back = self.asked.roll_back.is_some();
        match figures.map(|figures| figures.loss) {
            Some(loss) if has_diverged(loss, skipped, is_taken_back) => {
                Err(self.diverged(loss, self.state.step))
            }
            _ => Ok(()),
        }
    }

    /// Lowers the loss scale in place of an update.
    fn skip(&mut self, gradients: BatchGradients) -> Result<Learned, Error> {
        let learned = self.learner.skip(gradients);
        if self.learner.is_exhausted() {
            let scale = self.learner.loss_scale().map_or(1.0, |state| state.scale);
            return Err(Error::NoLossScale { scale, step: self.state.step + 1 });
        }
        Ok(learned)
    }

    /// Reads a step's figures back from the device.
    fn figures(
        &self,
        learned: Learned,
        images: usize,
        skipped: bool,
    ) -> Result<StepFigures, Error> {
        let Learned { loss, correct, gradient_norm } = learned;
        let [loss, correct, gradient_norm] = scalars([loss, correct, gradient_norm])?;
        // A monitor that can roll back gets to see it first.
        if has_diverged(loss, skipped, self.monitors.want_step(self.state.step + 1)) {
            return Err(self.diverged(loss, self.state.step + 1));
        }
        Ok(StepFigures { loss, accuracy: correct / images as f32, gradient_norm })
    }
}
