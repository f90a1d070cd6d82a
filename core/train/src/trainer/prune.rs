//! Heads and hidden neurons that are taken out of the model while it is trained.

use vitral_model::{ConfigProblem, Costs, ViT, ViTConfig, device::Device};
use vitral_seed::Seed;

use super::Trainer;
use crate::{
    Error, Event, Observer,
    experiment::Experiment,
    learner::Learner,
    plan::Plan,
    plugins::Programs,
    prune::{BranchCosts, PruneConfig, Pruned, Scores, select},
};

impl Trainer {
    /// Prunes if the step that was made brings a time to do so. What is left trains on, with its part of all that
    /// is kept of it.
    pub(super) fn prune_if_due(&mut self, observer: &mut dyn Observer) -> Result<(), Error> {
        let step = self.state.step;
        let Some(prune) = self.experiment.train.prune else { return Ok(()) };
        let epochs = [step.saturating_sub(1), step].map(|step| self.plan.epoch(step));
        let Some(progress) = prune.due(epochs[0], epochs[1]) else { return Ok(()) };
        let scores = self.learner.importance(prune.importance)?;
        if scores.are_unknown() {
            // No step has been made that was not skipped; the next time has its part done, too.
            return Ok(());
        }
        let model = self.learner.model().config().clone();
        let costs = BranchCosts::of(self.learner.model(), &self.device);
        let whole = whole_flops(&model, &self.programs, &self.device)?;
        let target = prune.target(progress, &model, whole);
        let kept = select(&model, &costs, &scores, target, prune.bounds());
        let kept = kept.map_err(|least| cannot(&prune, least / whole))?;
        // Processors that round in other ways could rank them in another order.
        let kept = self.ranks.decide(kept)?;
        let (before, after) = (model.layer_sizes(), kept.sizes());
        if before == after {
            return Ok(());
        }
        let parameters = self.parameters();
        self.learner.prune(&kept, &self.programs, &self.device)?;
        self.experiment.model.layers.clone_from(&after);
        self.state.begun_with.get_or_insert(model.layers);
        // The best one so far was of a larger model.
        self.state.best = None;
        let now = Costs::of(self.learner.model(), &self.device).forward_flops;
        let pruned = Pruned {
            before,
            after,
            forward_flops: [costs.all, now, whole],
            parameters: [parameters, self.parameters()],
        };
        let run = self.info();
        self.emit(Event::Pruned { step, epoch: epochs[1], pruned, run }, observer)
    }
}

/// Refuses a run that cannot be pruned as far as it is to be.
pub(super) fn check_prunable(
    experiment: &Experiment,
    plan: &Plan,
    learner: &Learner,
    programs: &Programs,
    device: &Device,
) -> Result<(), Error> {
    let Some(prune) = experiment.train.prune else { return Ok(()) };
    let end = plan.epoch(plan.total);
    if !prune.is_over(end) {
        return Err(Error::Experiment(ConfigProblem {
            field: "train.prune.until_epoch".into(),
            message: format!("the run ends after {end:.2} epochs, before pruning does"),
            help: "prune earlier, and leave some epochs to tune what is left, or train longer"
                .into(),
        }));
    }
    let model = learner.model().config();
    let whole = whole_flops(model, programs, device)?;
    let costs = BranchCosts::of(learner.model(), device);
    let target = prune.target(1.0, model, whole);
    select(model, &costs, &Scores::unknown(model), target, prune.bounds())
        .map_err(|least| cannot(&prune, least / whole))?;
    Ok(())
}

/// Operations of a model before anything was pruned.
fn whole_flops(model: &ViTConfig, programs: &Programs, device: &Device) -> Result<f64, Error> {
    // Of its values nothing is asked, so that they take no memory.
    let whole = ViT::with_programs(&model.whole(), &programs.attention, Seed::new(0), device)?;
    Ok(Costs::of(&whole, device).forward_flops)
}

fn cannot(prune: &PruneConfig, least: f64) -> Error {
    Error::Experiment(ConfigProblem {
        field: "train.prune.flops".into(),
        message: format!(
            "the model cannot be pruned to {} of its operations: {least:.3} are left even without \
             all heads and neurons that may go",
            prune.flops.unwrap_or_default()
        ),
        help: "keep more, or let layers keep less (`keep`)".into(),
    })
}
