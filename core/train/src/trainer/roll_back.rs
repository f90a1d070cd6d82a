//! Back to the last checkpoint, as a monitor asks for it.

use vitral_host::RateChange;

use super::{Trainer, asked::RollBack, decide::rate_after_roll_back};
use crate::{
    Error, Event, Observer,
    checkpoint::{Checkpoint, CheckpointError, State},
    metrics_file::METRICS,
    place::Place,
};

impl Trainer {
    /// Goes back to the last checkpoint; tells whether there is one.
    pub(super) fn roll_back(
        &mut self,
        RollBack { monitor, change: RateChange { factor, reason } }: RollBack,
        observer: &mut dyn Observer,
    ) -> Result<bool, Error> {
        let scale = rate_after_roll_back(self.rate(), factor);
        let Some(path) = self.checkpoints.newest() else {
            self.state.rate_scale = scale;
            let from = self.state.step;
            self.emit(Event::RolledBack { monitor, from, to: None, scale, reason }, observer)?;
            return Ok(false);
        };
        let from = self.state.step;
        let loaded = Checkpoint::load(&path)?;
        // It may be from before the run went on with another batch.
        let Place { batch, images, .. } = self.place();
        let place = loaded.place(images).with(batch, images);
        self.plan = self.experiment.train.plan(place, loaded.state.step);
        self.learner.set_schedule(self.plan.schedule);
        if loaded.experiment.model.layers != self.experiment.model.layers {
            // It is from before something was pruned.
            self.experiment.model.layers.clone_from(&loaded.experiment.model.layers);
            self.learner.reshape(&self.experiment.model, &self.programs, &self.device)?;
        }
        self.learner
            .import(&loaded.tensors, &self.device)
            .map_err(|problem| CheckpointError::Mismatch { path: path.clone(), problem })?;
        self.learner.restore_scale(loaded.state.loss_scale, loaded.state.skipped_steps);
        let (seconds, skipped) = (self.state.seconds, self.state.skipped);
        let (micro_batch, decoder) = (self.state.micro_batch.take(), self.state.decoder);
        self.state = State {
            seconds,
            skipped,
            rate_scale: scale,
            data: self.state.data,
            monitors: self.state.monitors,
            micro_batch,
            decoder,
            ..loaded.state
        };
        if let Some(message) = self.folder.forget_after(self.state.step)? {
            self.emit(Event::notice(METRICS, message), observer)?;
        }
        let to = Some(self.state.step);
        self.emit(Event::RolledBack { monitor, from, to, scale, reason }, observer)?;
        Ok(true)
    }
}
