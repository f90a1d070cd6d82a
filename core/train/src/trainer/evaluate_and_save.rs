//! What comes between steps now and then: evaluations and checkpoints.

use std::{sync::Arc, time::Instant};

use super::{Trainer, decide::is_best, loaders::eval_loader};
use crate::{
    Error, Evaluation, Event, Observer,
    checkpoint::{Checkpoint, State},
    error::AtPath,
    evaluate::evaluate,
};

impl Trainer {
    /// Evaluates the weights, or their average where there is one; tells whether it is the best.
    pub(super) fn evaluate(&mut self, observer: &mut dyn Observer) -> Result<bool, Error> {
        let evaluation = self.figures_of_validation(observer)?;
        let (step, epoch) = (self.state.step, self.epoch());
        let score = self.experiment.checkpoints.best.score(&evaluation);
        let is_best = is_best(score, self.state.best);
        if is_best {
            self.state.best = Some((score, step));
        }
        let evaluated = Event::Evaluated { step, epoch, evaluation, is_best, is_again: false };
        self.emit(evaluated, observer)?;
        Ok(is_best)
    }

    /// Evaluates once more what was evaluated before the run was resumed.
    pub(super) fn evaluate_again(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        let evaluation = self.figures_of_validation(observer)?;
        let (step, epoch) = (self.state.step, self.epoch());
        let is_best = self.state.best.is_some_and(|(_, best)| best == step);
        let evaluated = Event::Evaluated { step, epoch, evaluation, is_best, is_again: true };
        self.emit(evaluated, observer)
    }

    fn figures_of_validation(&mut self, observer: &mut dyn Observer) -> Result<Evaluation, Error> {
        let start = Instant::now();
        let (data, device) = (self.experiment.data.clone(), self.device.clone());
        let val = Arc::clone(&self.datasets.val);
        let total = val.len() as u64;
        let evaluation = evaluate(
            &self.learner.evaluated(),
            eval_loader(&self.experiment, &val, self.state.micro_batch.as_ref())?,
            &data,
            val.class_names(),
            self.experiment.train.loss,
            &device,
            |done| self.emit(Event::Evaluating { done, total }, observer),
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
            false => self.save(false, observer),
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

    /// Writes a checkpoint.
    pub(super) fn save(&mut self, is_best: bool, observer: &mut dyn Observer) -> Result<(), Error> {
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
            branch: None,
        };
        // A run that goes on from a checkpoint has its metrics until there.
        self.folder.flush()?;
        let told = self.checkpoints.save(&checkpoint, is_best)?;
        told.into_iter().try_for_each(|told| self.notice("checkpoints", told, observer))?;
        self.last_save = Instant::now();
        let (step, path) = (self.state.step, checkpoint.path);
        self.emit(Event::Saved { step, path, is_best }, observer)
    }
}
