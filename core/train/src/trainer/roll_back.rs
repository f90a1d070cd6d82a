//! Back to the last checkpoint, as a monitor asks for it.

use vitral_config::path_text;
use vitral_host::RateChange;

use super::{Trainer, asked::RollBack, decide::rate_after_roll_back};
use crate::{
    Error, Event, Observer,
    checkpoint::{Checkpoint, CheckpointError, State},
    metrics_file::METRICS,
    place::Place,
};

impl Trainer {
    /// Goes back to the last checkpoint; tells whether there is one. Only the rank that monitors talk to knows
    /// what is asked for.
    pub(super) fn roll_back(
        &mut self,
        asked: Option<RollBack>,
        observer: &mut dyn Observer,
    ) -> Result<bool, Error> {
        self.begin("going back to a checkpoint");
        let (monitor, RateChange { factor, reason }) = match asked {
            Some(RollBack { monitor, change }) => (monitor, change),
            None => (String::new(), RateChange { factor: 1.0, reason: String::new() }),
        };
        let scale = rate_after_roll_back(self.rate(), factor);
        let newest = self.newest().map(|path| path_text::to_text(&path));
        let (newest, scale) = self.ranks.decide((newest, scale.to_bits()))?;
        let scale = f64::from_bits(scale);
        let newest = newest.map(|path| path_text::from_text(&path)).transpose();
        let newest = newest.map_err(Error::Message)?;
        let Some(path) = newest else {
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
        let set_aside = match &mut self.files {
            Some(files) => files.folder.forget_after(self.state.step)?,
            None => None,
        };
        if let Some(message) = set_aside {
            self.emit(Event::notice(METRICS, message), observer)?;
        }
        let to = Some(self.state.step);
        self.emit(Event::RolledBack { monitor, from, to, scale, reason }, observer)?;
        Ok(true)
    }
}
