//! What monitors are told, and what is done of what they ask for.

use vitral_host::{Action, RateChange};
use vitral_model::{Costs, device::describe};

use super::Trainer;
use crate::{
    Error, Event, Observer, StepReport,
    checkpoint::{Checkpoint, CheckpointError, State},
    memory::memory,
    metrics_file::METRICS,
    monitor_use::{Left, MonitorUse, scaled},
    place::Place,
};

/// About how long a figure's line is without the names in it.
const OTHER_BYTES: u64 = 64;

/// What monitors ask for that is done between steps.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) save: bool,
    pub(super) roll_back: Option<RollBack>,
}

/// A return to the last checkpoint that a monitor asks for.
pub(super) struct RollBack {
    monitor: String,
    change: RateChange,
}

impl Asked {
    pub(super) fn merge(&mut self, other: Self) {
        self.save |= other.save;
        self.roll_back = self.roll_back.take().or(other.roll_back);
    }
}

impl Trainer {
    /// Tells the monitors that the run ends. It is too late for them to change anything.
    pub(super) fn end(
        &mut self,
        interrupted: bool,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let reason = match (&self.stopped, interrupted) {
            (Some(reason), _) => reason.clone(),
            (None, true) => "interrupted".into(),
            (None, false) => "done".into(),
        };
        self.tell(&vitral_host::Event::Ended(reason), observer)?;
        self.folder.flush()
    }

    /// Tells a step to the monitors that want it, and what the data path did to all.
    pub(super) fn tell_step(
        &mut self,
        report: &StepReport,
        observer: &mut dyn Observer,
    ) -> Result<Asked, Error> {
        let mut asked = Asked::default();
        if let Some(data) = &report.data {
            let told = data.told(report.step, report.epoch);
            asked.merge(self.tell(&vitral_host::Event::Data(told), observer)?);
        }
        if !self.monitors.want_step(report.step) {
            return Ok(asked);
        }
        asked.merge(self.tell(&vitral_host::Event::Stepped(report.told(memory())), observer)?);
        match report.figures {
            // Nobody takes the run back to before it.
            Some(figures)
                if !figures.loss.is_finite()
                    && !report.was_skipped()
                    && asked.roll_back.is_none() =>
            {
                Err(self.diverged(figures.loss, report.step))
            }
            _ => Ok(asked),
        }
    }

    /// Tells the monitors something, and does at once what they ask for where that can be.
    pub(super) fn tell(
        &mut self,
        event: &vitral_host::Event,
        observer: &mut dyn Observer,
    ) -> Result<Asked, Error> {
        let heard = self.monitors.observe(event)?;
        // Statistics come before the update of their step.
        let step = match event {
            vitral_host::Event::Layers(report) => report.step,
            _ => self.state.step,
        };
        for message in heard.failures {
            self.said("a monitor", message, observer)?;
        }
        let mut asked = Asked::default();
        for (monitor, action) in heard.requests {
            match action {
                Action::Metric { name, value } => {
                    let bytes = OTHER_BYTES + (monitor.len() + name.len()) as u64;
                    match self.state.monitors.figure(bytes) {
                        Left::Some => self.folder.log_metric(step, &monitor, &name, value)?,
                        Left::NoLonger => {
                            self.notice(&monitor, MonitorUse::last_figure(), observer)?;
                        }
                        Left::None => {}
                    }
                }
                Action::Warn(message) => self.said(&monitor, message, observer)?,
                Action::ScaleLearningRate(RateChange { factor, reason }) => {
                    let message = match self.scaled(factor) {
                        Ok(scale) => {
                            self.state.rate_scale = scale;
                            format!("learning rate now {scale} of the schedule's: {reason}")
                        }
                        Err(refused) => format!("{refused}; asked for as {reason}"),
                    };
                    self.said(&monitor, message, observer)?;
                }
                Action::Save(reason) => {
                    asked.save = true;
                    self.said(&monitor, format!("asks for a checkpoint: {reason}"), observer)?;
                }
                Action::RollBack(change) if asked.roll_back.is_none() => {
                    // Before anything relies on it.
                    let scaled = self.scaled(change.factor);
                    match scaled.and_then(|_| self.state.monitors.roll_back()) {
                        Ok(()) => asked.roll_back = Some(RollBack { monitor, change }),
                        Err(refused) => {
                            let message = format!("{refused}; asked for as {}", change.reason);
                            self.said(&monitor, message, observer)?;
                        }
                    }
                }
                Action::RollBack(_) => {}
                Action::Stop(reason) => {
                    self.said(&monitor, format!("ends the run: {reason}"), observer)?;
                    self.stopped.get_or_insert(format!("{monitor}: {reason}"));
                }
                // A newer contract's; a monitor that needs it says so in its version.
                _ => {}
            }
        }
        Ok(asked)
    }

    /// Goes back to the last checkpoint; tells whether there is one.
    pub(super) fn roll_back(
        &mut self,
        RollBack { monitor, change: RateChange { factor, reason } }: RollBack,
        observer: &mut dyn Observer,
    ) -> Result<bool, Error> {
        // It could be had when it was asked for; other monitors may have changed the rate since.
        let scale = self.scaled(factor).unwrap_or(self.state.rate_scale);
        let Some(path) = self.checkpoints.newest() else {
            self.state.rate_scale = scale;
            let message = format!(
                "there is no checkpoint to go back to; learning rate now {scale} of the schedule's: {reason}"
            );
            self.notice(&monitor, message, observer)?;
            return Ok(false);
        };
        let loaded = Checkpoint::load(&path)?;
        // It may be from before the run went on with another batch.
        let Place { batch, images, .. } = self.place();
        let place = loaded.place(images).with(batch, images);
        self.plan = self.experiment.train.plan(place, loaded.state.step);
        self.learner.set_schedule(self.plan.schedule);
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
        let set_aside = self.folder.forget_after(self.state.step)?;
        set_aside.into_iter().try_for_each(|told| self.notice(METRICS, told, observer))?;
        let step = self.state.step;
        let message = format!(
            "back to step {step}, with a learning rate {scale} of the schedule's: {reason}"
        );
        self.notice(&monitor, message, observer)?;
        Ok(true)
    }

    /// The scale of the learning rate after a change by a factor.
    fn scaled(&self, factor: f64) -> Result<f64, String> {
        scaled(self.state.rate_scale, factor, self.plan.schedule.peak)
    }

    /// Has a monitor say something, as long as monitors have not said too much.
    fn said(
        &mut self,
        monitor: &str,
        message: String,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        match self.state.monitors.notice() {
            Left::Some => self.notice(monitor, message, observer),
            Left::NoLonger => self.notice(monitor, MonitorUse::last_notice(), observer),
            Left::None => Ok(()),
        }
    }

    /// Shows something to the user and keeps it in the metrics.
    pub(super) fn notice(
        &mut self,
        from: &str,
        message: String,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        self.folder.log_notice(self.state.step, from, &message)?;
        observer.on_event(&Event::Notice { from: from.to_owned(), message });
        Ok(())
    }

    /// What monitors are told of the run.
    pub(super) fn run_info(&self) -> vitral_host::Run {
        let info = self.info();
        let costs = Costs::of(self.learner.model(), &self.device);
        vitral_host::Run {
            start_step: info.start_step,
            total_steps: info.total_steps,
            steps_per_epoch: info.steps_per_epoch,
            train_images: info.train_images as u64,
            val_images: info.val_images as u64,
            batch_size: u32::try_from(self.experiment.train.batch.effective()).unwrap_or(u32::MAX),
            parameters: info.parameters as u64,
            // Backward computes twice what forward does.
            flops_per_image: 3.0 * costs.forward_flops,
            peak_flops: None,
            device: describe(&self.device),
        }
    }
}
