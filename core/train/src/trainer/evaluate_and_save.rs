//! What comes between steps now and then: evaluations and checkpoints.

use std::time::Instant;

use super::{
    Trainer,
    loaders::{VAL, eval_loader},
    monitors::Asked,
};
use crate::{
    Error, Evaluation, Event, Observer,
    checkpoint::{Checkpoint, State},
    error::AtPath,
    evaluate::evaluate,
    metrics_file::METRICS,
};

impl Trainer {
    /// Evaluates and saves where that is due.
    pub(super) fn after_step(
        &mut self,
        observer: &mut dyn Observer,
        interrupted: bool,
        save_asked: bool,
    ) -> Result<Asked, Error> {
        let step = self.state.step;
        let last = step == self.plan.total || self.stopped.is_some();
        let is_due = |every, last: Instant| self.plan.is_due(every, step, last.elapsed());
        let eval_due = last || is_due(self.experiment.train.eval_every, self.last_eval);
        let save_due = last
            || interrupted
            || save_asked
            || is_due(self.experiment.checkpoints.every, self.last_save);
        let mut asked = Asked::default();
        let is_best = eval_due && self.evaluate(&mut asked, observer)?;
        if save_due || is_best || asked.save || self.stopped.is_some() {
            asked.merge(self.save(is_best, observer)?);
        }
        Ok(asked)
    }

    /// Evaluates the weights, or their average where there is one; tells whether it is the best.
    pub(super) fn evaluate(
        &mut self,
        asked: &mut Asked,
        observer: &mut dyn Observer,
    ) -> Result<bool, Error> {
        let evaluation = self.figures_of_validation(observer)?;
        let (step, epoch) = (self.state.step, self.epoch());
        let score = self.experiment.checkpoints.best.score(&evaluation);
        // No model is the best for a score that is no number.
        let is_best = !score.is_nan() && self.state.best.is_none_or(|(best, _)| score > best);
        if is_best {
            self.state.best = Some((score, step));
        }
        tracing::info!(step, loss = evaluation.loss, top1 = evaluation.top1, is_best, "evaluated");
        self.folder.log_evaluation(step, epoch, &evaluation)?;
        for image in &evaluation.left_out {
            if self.left_out.insert(image.name.clone()) {
                self.folder.log_left_out(step, VAL, image)?;
            }
        }
        let told = vitral_host::Evaluation {
            step,
            epoch,
            loss: evaluation.loss,
            top1: evaluation.top1,
            top5: evaluation.top5,
            is_best,
        };
        asked.merge(self.tell(&vitral_host::Event::Evaluated(told), observer)?);
        observer.on_event(&Event::Evaluated { step, epoch, evaluation, is_best });
        Ok(is_best)
    }

    /// Evaluates once more what was evaluated before the run was resumed: the checkpoint and the monitors
    /// know of it.
    pub(super) fn evaluate_again(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        let evaluation = self.figures_of_validation(observer)?;
        let (step, epoch) = (self.state.step, self.epoch());
        let is_best = self.state.best.is_some_and(|(_, best)| best == step);
        let set_aside = self.folder.log_evaluation_again(step, epoch, &evaluation)?;
        set_aside.into_iter().try_for_each(|told| self.notice(METRICS, told, observer))?;
        observer.on_event(&Event::Evaluated { step, epoch, evaluation, is_best });
        Ok(())
    }

    fn figures_of_validation(&mut self, observer: &mut dyn Observer) -> Result<Evaluation, Error> {
        let start = Instant::now();
        let total = self.datasets.val.len() as u64;
        let evaluation = evaluate(
            &self.learner.evaluated(),
            eval_loader(&self.experiment, &self.datasets.val, self.state.micro_batch.as_ref())?,
            &self.experiment.data,
            self.datasets.val.class_names(),
            self.experiment.train.loss,
            &self.device,
            |done| observer.on_event(&Event::Evaluating { done, total }),
        )?;
        self.state.seconds += start.elapsed().as_secs_f64();
        self.last_eval = Instant::now();
        self.last_evaluation = Some(evaluation.clone());
        Ok(evaluation)
    }

    /// Writes a checkpoint, unless there is one of this step.
    pub(super) fn save_unless_saved(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        match self.checkpoints.has(self.state.step)? {
            true => Ok(()),
            false => self.save(false, observer).map(drop),
        }
    }

    /// Writes a checkpoint of a run whose data is not there any more, if it has come further than step
    /// `first`. Data fails between steps, so that the run is whole.
    pub(super) fn save_if_data_is_lost(&mut self, first: u64, observer: &mut dyn Observer) {
        let sources = [&self.datasets.train, &self.datasets.val];
        if sources.iter().any(|source| source.check_whole().is_err())
            && self.state.step > first
            && let Err(error) = self.save_unless_saved(observer)
        {
            // Why the run cannot go on matters more.
            tracing::error!("no checkpoint could be written: {error}");
        }
    }

    pub(super) fn save(
        &mut self,
        is_best: bool,
        observer: &mut dyn Observer,
    ) -> Result<Asked, Error> {
        let tensors = self.learner.export()?;
        tensors.check_finite().map_err(|problem| Error::NotFinite {
            problem,
            step: self.state.step,
            saved: self.checkpoints.newest(),
        })?;
        let checkpoint = Checkpoint {
            path: self.checkpoints.path_of(self.state.step),
            experiment: self.experiment.clone(),
            written: self.experiment.clone(),
            state: State {
                place: Some(self.place()),
                folder: Some(std::path::absolute(self.folder.path()).at(self.folder.path())?),
                loss_scale: self.learner.loss_scale(),
                skipped_steps: self.learner.skipped_steps(),
                ..self.state.clone()
            },
            tensors,
            programs: self.programs.clone(),
            monitors: self.monitors.save()?,
            lock: self.lock.clone(),
            notes: Vec::new(),
        };
        // A run that goes on from a checkpoint has its metrics until there.
        self.folder.flush()?;
        let told = self.checkpoints.save(&checkpoint, is_best)?;
        told.into_iter().try_for_each(|told| self.notice("checkpoints", told, observer))?;
        self.last_save = Instant::now();
        tracing::info!(path = %checkpoint.path.display(), is_best, "wrote a checkpoint");
        let name = checkpoint.path.file_name().unwrap_or_default().to_string_lossy();
        let told = vitral_host::Checkpoint { step: self.state.step, name: name.into_owned() };
        let asked = self.tell(&vitral_host::Event::Saved(told), observer)?;
        observer.on_event(&Event::Saved { path: checkpoint.path });
        Ok(asked)
    }
}
