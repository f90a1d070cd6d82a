//! What comes between steps now and then: evaluations and checkpoints.

use std::{sync::Arc, time::Instant};

use super::{Trainer, decide::is_best, loaders::eval_loader_of};
use crate::{
    Error, Evaluation, Event, Observer,
    checkpoint::{Checkpoint, State},
    error::AtPath,
    evaluate::{Answered, Evaluator, Tally},
    pictures::{PICTURES, Picture},
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
        self.begin("evaluating");
        let (data, device) = (self.experiment.data.clone(), self.device.clone());
        let val = Arc::clone(&self.datasets.val);
        let (loss, shard) = (self.experiment.train.loss, self.ranks.shard()?);
        let (model, micro_batch) = (self.learner.evaluated()?, self.state.micro_batch.as_ref());
        let loader = eval_loader_of(shard, &self.experiment, &val, micro_batch)?;
        let total = shard.part(val.len()).len() as u64;
        let is_pictured = self.files.as_ref().is_some_and(|files| files.folder.wants_pictures());
        let evaluator = Evaluator {
            model: &model,
            data: &data,
            loss,
            device: &device,
            flips: false,
            pictured: if is_pictured { PICTURES } else { 0 },
        };
        let mut pictures = Ok(Vec::new());
        let picture = |answered: &Answered<'_>| {
            if answered.pixels.shape[0] > 0 {
                pictures = Picture::all_of(answered, val.class_names(), &data, loss);
            }
        };
        let progress = |done| self.emit(Event::Evaluating { done, total }, observer);
        let own = evaluator.tally(loader, picture, progress)?;
        if let Some(files) = &mut self.files {
            files.folder.picture(self.state.step, &pictures?)?;
        }
        // Each has some of the images, in their order.
        let whole = self.ranks.gather(own)?.into_iter().reduce(Tally::and);
        let evaluation = whole.unwrap_or_default().finish(val.class_names());
        self.state.seconds += start.elapsed().as_secs_f64();
        self.last_eval = Instant::now();
        self.last_evaluation = Some(evaluation.clone());
        Ok(evaluation)
    }

    /// Writes a checkpoint, unless there is one of this step.
    pub(super) fn save_unless_saved(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        match &self.files {
            Some(files) if !files.checkpoints.has(self.state.step)? => self.save(false, observer),
            _ => Ok(()),
        }
    }

    /// Writes a checkpoint of a run whose data is not there any more, if it has come further than step
    /// `first`. Data fails between steps, so that the run is whole.
    pub(super) fn save_if_data_is_lost(&mut self, first: u64, observer: &mut dyn Observer) {
        // Other ranks take part in a checkpoint, and are elsewhere.
        let sources = [&self.datasets.train, &self.datasets.val];
        if self.ranks.size() == 1
            && sources.iter().any(|source| source.check_whole().is_err())
            && self.state.step > first
            && let Err(error) = self.save_unless_saved(observer)
        {
            // Why the run cannot go on matters more.
            tracing::error!("could not write a checkpoint: {error}");
        }
    }

    /// Writes a checkpoint, one for all ranks.
    pub(super) fn save(&mut self, is_best: bool, observer: &mut dyn Observer) -> Result<(), Error> {
        self.begin("writing a checkpoint");
        self.check_same_weights()?;
        if self.files.is_none() && !self.experiment.train.shard_optimizer {
            return Ok(());
        }
        let tensors = self.learner.export()?;
        let place = self.place();
        let run = std::path::absolute(self.run_folder()).at(self.run_folder())?;
        let saved = self.newest();
        let Some(files) = &mut self.files else { return Ok(()) };
        tensors.check_finite().map_err(|problem| Error::NotFinite {
            problem,
            step: self.state.step,
            saved,
        })?;
        let checkpoint = Checkpoint {
            path: files.checkpoints.path_of(self.state.step),
            experiment: self.experiment.clone(),
            written: self.experiment.clone(),
            state: State {
                place: Some(place),
                folder: Some(run),
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
        files.folder.flush()?;
        let told = files.checkpoints.save(&checkpoint, is_best)?;
        told.into_iter().try_for_each(|told| self.notice("checkpoints", told, observer))?;
        self.last_save = Instant::now();
        let (step, path) = (self.state.step, checkpoint.path);
        self.emit(Event::Saved { step, path, is_best }, observer)
    }
}
