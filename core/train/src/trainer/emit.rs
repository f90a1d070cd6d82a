//! Where everything that happens in a run is told.

use super::{
    Trainer,
    decide::{Granted, Rate, grant},
    told::{configured, told},
};
use crate::{
    Error, Event, Observer,
    event::Said,
    metrics_file::METRICS,
    monitor_use::{Left, MonitorUse},
};

impl Trainer {
    /// Writes an event to the metrics and the log, shows it, and tells it to the monitors. What these ask for
    /// is done at once where that can be; the rest is left in `asked`.
    pub(super) fn emit(&mut self, event: Event, observer: &mut dyn Observer) -> Result<(), Error> {
        // What happens, happens to all ranks; one tells it.
        let Some(files) = &mut self.files else { return Ok(()) };
        let set_aside = files.folder.note(&event, self.state.step)?;
        log(&event);
        observer.on_event(&event);
        if let Some(message) = set_aside {
            self.emit(Event::notice(METRICS, message), observer)?;
        }
        let wants_step =
            matches!(&event, Event::Stepped(report) if self.monitors.want_step(report.step));
        // Statistics come before the update of their step.
        let step = match &event {
            Event::Statistics(report) => report.step,
            _ => self.state.step,
        };
        let mut told = told(&event, wants_step);
        if let Event::Started(_) = event {
            let experiment = configured(&self.experiment, self.run_folder());
            told.push(experiment.map_err(|error| Error::Message(error.to_string()))?);
        }
        for event in told {
            let heard = self.monitors.observe(&event)?;
            for message in heard.failures {
                self.say("a monitor".into(), Said::Failed(message), observer)?;
            }
            for (monitor, action) in heard.requests {
                let rate = self.rate();
                let granted = grant(&monitor, action, rate, &self.asked, &mut self.state.monitors);
                self.carry_out(monitor, granted, step, observer)?;
            }
        }
        Ok(())
    }

    /// Tells something in words that there is no event for.
    pub(super) fn notice(
        &mut self,
        from: &str,
        message: String,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        self.emit(Event::notice(from, message), observer)
    }

    /// The learning rate, as far as monitors may change it.
    pub(super) fn rate(&self) -> Rate {
        Rate { scale: self.state.rate_scale, peak: self.plan.schedule.peak }
    }

    /// Does what a monitor is granted.
    fn carry_out(
        &mut self,
        monitor: String,
        granted: Granted,
        step: u64,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        match granted {
            Granted::Figure { name, value } => {
                self.emit(Event::Figure { step, monitor, name, value }, observer)
            }
            Granted::LastFigure(message) => self.notice(&monitor, message, observer),
            Granted::RollBack(change) => {
                self.asked.roll_back = Some(change);
                Ok(())
            }
            Granted::Said(said) => {
                match &said {
                    Said::RateChanged { scale, .. } => self.state.rate_scale = *scale,
                    Said::Saves(_) => self.asked.save = true,
                    Said::Stops(reason) => {
                        self.stopped.get_or_insert_with(|| format!("{monitor}: {reason}"));
                    }
                    Said::Warning(_) | Said::Failed(_) | Said::Refused { .. } => {}
                }
                self.say(monitor, said, observer)
            }
            Granted::Nothing => Ok(()),
        }
    }

    /// Has a monitor say something, as long as monitors have not said too much.
    fn say(
        &mut self,
        monitor: String,
        said: Said,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        match self.state.monitors.notice() {
            Left::Some => self.emit(Event::Said { monitor, said }, observer),
            Left::NoLonger => self.notice(&monitor, MonitorUse::last_notice(), observer),
            Left::None => Ok(()),
        }
    }
}

/// What of an event is of use to whoever looks for a fault.
fn log(event: &Event) {
    match event {
        Event::ProbeFailed { images, reason } => {
            tracing::info!(images, reason, "a probe ran out of memory");
        }
        Event::OutOfMemory { images, smaller, reason } => {
            tracing::info!(images, smaller, reason, "a step ran out of memory");
        }
        Event::Stepped(report) => {
            let (step, time, data_wait) = (report.step, report.time, report.data_wait);
            if let Some(scaling) = report.scaling.filter(|scaling| scaling.skipped) {
                tracing::info!(step, scale = scaling.scale, "skipped a step that overflowed");
            }
            tracing::debug!(step, ?time, ?data_wait, "stepped");
        }
        Event::Evaluated { step, evaluation, is_best, .. } => {
            tracing::info!(
                step,
                loss = evaluation.loss,
                top1 = evaluation.top1,
                is_best,
                "evaluated"
            );
        }
        Event::Saved { path, is_best, .. } => {
            tracing::info!(path = %path.display(), is_best, "wrote a checkpoint");
        }
        _ => {}
    }
}
