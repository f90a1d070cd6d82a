//! A model that becomes smaller while it is trained, with its part of all that is kept beside it.

use std::borrow::Cow;

use vitral_model::{
    AttentionPrograms, ConfigProblem, ViT, ViTConfig,
    device::Device,
    parameters::{self, ParameterInfo},
};
use vitral_seed::Seed;

use super::{BatchGradients, Learner};
use crate::{
    Error,
    checkpoint::{NamedTensor, Tensors},
    groups::ParameterGroup,
    plugins::Programs,
    prune::{Importance, Kept, Scores, Tracker, cut, magnitudes},
};

impl Learner {
    /// Begins to keep account of what heads and hidden neurons matter.
    pub(crate) fn track_importance(&mut self) {
        let device = self.model.head.weight.val().device();
        self.importance = Some(Tracker::new(self.model.config(), &self.infos, &device));
    }

    /// Takes in gradients of the present weights, where account is kept of what heads and neurons matter.
    ///
    /// # Errors
    /// Each rank has a part of them, and the device fails.
    pub(crate) fn see_importance(&mut self, gradients: &BatchGradients) -> Result<(), Error> {
        if self.importance.is_some() {
            let gradients = self.whole(&gradients.gradients)?;
            let values = parameters::values(&self.model);
            self.importance.iter_mut().for_each(|tracker| tracker.see(&values, &gradients));
        }
        Ok(())
    }

    /// What heads and hidden neurons matter; zero as long as nothing is known of it.
    ///
    /// # Errors
    /// The device fails.
    pub(crate) fn importance(&self, by: Importance) -> Result<Scores, Error> {
        let model = self.model.config();
        match (by, &self.importance) {
            (Importance::Taylor, Some(tracker)) => tracker.scores(),
            (Importance::Taylor, None) => Ok(Scores::unknown(model)),
            (Importance::Magnitude, _) => {
                magnitudes(model, &self.infos, &parameters::values(&self.model))
            }
        }
    }

    /// Goes on with what is kept of the model, of its moving average and of the optimizer's averages.
    ///
    /// # Errors
    /// The device fails.
    pub(crate) fn prune(
        &mut self,
        kept: &Kept,
        programs: &Programs,
        device: &Device,
    ) -> Result<(), Error> {
        let before = self.model.config().clone();
        let Tensors { model, ema, optimizer, importance } = self.export()?;
        let cut = |tensors: Vec<NamedTensor>| cut(tensors, &before, kept);
        let tensors = Tensors {
            model: cut(model),
            ema: ema.map(cut),
            optimizer: cut(optimizer),
            importance: importance.map(cut),
        };
        self.reshape(&ViTConfig { layers: kept.sizes(), ..before.clone() }, programs, device)?;
        self.import(&tensors, device).map_err(Error::Device)
    }

    /// Becomes a learner of a model of another shape, with fresh weights and averages. Whatever is not of a
    /// parameter stays.
    ///
    /// # Errors
    /// The programs do not fit the model.
    pub(crate) fn reshape(
        &mut self,
        model: &ViTConfig,
        programs: &Programs,
        device: &Device,
    ) -> Result<(), Error> {
        let (schedule, seed) = (self.schedule, self.seed);
        // A recording keeps its memory.
        self.recorder.forget();
        let fresh = Self::with_programs(model, &self.config, programs, schedule, seed, device)?;
        let before = std::mem::replace(self, fresh);
        let Self {
            teacher,
            class_weights,
            scaler,
            skipped_steps,
            micro_batch,
            ranks,
            fault,
            recorder,
            ..
        } = before;
        (self.teacher, self.class_weights) = (teacher, class_weights);
        (self.scaler, self.skipped_steps) = (scaler, skipped_steps);
        self.fault = fault;
        self.recorder.is_told = recorder.is_told;
        self.join(&ranks);
        if let Some(images) = micro_batch {
            self.set_micro_batch(images);
        }
        Ok(())
    }
}

/// The parameters of a model before anything was pruned, by whose names an experiment may call them.
pub(super) fn whole_infos<'a>(
    model: &ViT,
    infos: &'a [ParameterInfo],
    programs: &AttentionPrograms,
    device: &Device,
) -> Result<Cow<'a, [ParameterInfo]>, Error> {
    let config = model.config();
    if config.layers.is_empty() {
        return Ok(infos.into());
    }
    // Of its values nothing is asked, so that they take no memory.
    let whole = ViT::with_programs(&config.whole(), programs, Seed::new(0), device)?;
    Ok(parameters::infos(&whole).into())
}

/// Refuses to prune what is not trained: it has no gradients, by which it could be ranked, and is to stay as it
/// is.
pub(super) fn check_trained(
    infos: &[ParameterInfo],
    groups: &[ParameterGroup],
) -> Result<(), ConfigProblem> {
    let is_pruned = |info: &ParameterInfo| {
        let layer = info.name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        layer.is_some_and(|(_, part)| part.starts_with("attn.") || part.starts_with("mlp."))
    };
    let frozen =
        infos.iter().zip(groups).find(|(info, group)| is_pruned(info) && group.is_frozen());
    frozen.map_or(Ok(()), |(info, _)| {
        Err(ConfigProblem {
            field: "train.prune".into(),
            message: format!("`{}` is frozen, and pruning would change it", info.name),
            help: "train all of the blocks' attention and MLPs (`train.frozen`, `train.groups`), or prune when \
                   training is done: `vitral prune`"
                .into(),
        })
    })
}
