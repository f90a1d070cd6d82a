//! Where a run's weights start: fresh, or from a model that was trained before, here or elsewhere.

pub(crate) mod config;
mod head;
pub mod preprocessing;

use std::path::Path;

use vitral_interchange::{AdaptOptions, Array, Hints, Pretrained};
use vitral_model::{ConfigProblem, device::Device};

pub use self::config::{Init, PositionResize};
use self::head::Head;
use crate::{
    Error,
    checkpoint::{self, Checkpoint, NamedTensor, to_device},
    experiment::Experiment,
    groups::matches,
    learner::Learner,
};

/// Opens a model that was trained before: a file of another project's, or a run or checkpoint, whose
/// moving average counts where it kept one.
///
/// # Errors
/// It cannot be read, is damaged, or is no model that there is a place for.
pub fn open_pretrained(path: &Path, hints: &Hints) -> Result<Pretrained, Error> {
    if let Ok(found) = checkpoint::find(path) {
        return Ok(Checkpoint::load(&found)?.into_pretrained());
    }
    Ok(vitral_interchange::read(path, hints)?)
}

impl Checkpoint {
    /// Its model, as other formats are written from: the moving average where there is one.
    pub fn into_pretrained(self) -> Pretrained {
        let tensors = self.tensors.ema.unwrap_or(self.tensors.model);
        let array = |tensor: NamedTensor| (tensor.name, Array::new(tensor.shape, tensor.values));
        let data = &self.experiment.data;
        let channels = self.experiment.input().ok().map(|(channels, _)| channels);
        Pretrained {
            origin: self.path.display().to_string(),
            config: self.experiment.model.resolved(),
            tensors: tensors.into_iter().map(array).collect(),
            class_names: self.state.class_names_of(self.experiment.model.classes),
            normalization: channels.and_then(|channels| data.normalize.mean_std(channels).ok()),
            preprocessing: preprocessing::preprocessing(
                &data.eval_transforms,
                self.experiment.model.image_size,
            ),
            notes: Vec::new(),
        }
    }
}

/// Puts the weights in place that the experiment's `init` says, for data with these classes, and returns
/// what was changed on the way, in sentences.
///
/// # Errors
/// They cannot be read, or do not fit the model.
pub(crate) fn start(
    experiment: &Experiment,
    class_names: &[String],
    learner: &mut Learner,
    device: &Device,
) -> Result<Vec<String>, Error> {
    let Init::Pretrained { path, positions, fresh, ignore } = &experiment.init else {
        return Ok(Vec::new());
    };
    let model = learner.model().config();
    let hints = Hints {
        heads: (!model.is_mixer()).then(|| model.heads()),
        part: None,
        image_size: Some(model.image_size),
        positions: (*positions).into(),
    };
    let pretrained = open_pretrained(path, &hints)?;
    check_patterns("fresh", fresh, learner.parameters().iter().map(|info| info.name.as_str()))?;
    let any = |patterns: &[String], name: &str| patterns.iter().any(|p| matches(p, name));
    let head = match any(fresh, "head.weight") {
        true => None,
        false => Head::find(&pretrained, class_names, model.classes),
    };
    let options = AdaptOptions {
        positions: (*positions).into(),
        fresh: &|name| any(fresh, name),
        ignore: &|name| any(ignore, name),
        classes: head.as_ref().map(|head| head.classes.as_slice()),
    };
    let parameters: Vec<(String, Vec<usize>)> =
        learner.parameters().iter().map(|info| (info.name.clone(), info.shape.clone())).collect();
    let config = learner.model().config().clone();
    let adapted = vitral_interchange::adapt(&pretrained, &config, &parameters, &options)?;
    let mut tensors: Vec<NamedTensor> = adapted
        .tensors
        .into_iter()
        .map(|(name, Array { shape, values })| NamedTensor { name, shape, values })
        .collect();
    let own = learner.export()?.model;
    for tensor in &mut tensors {
        let own = own.iter().find(|own| own.name == tensor.name);
        if let (Some(own), Some(head)) = (own, &head)
            && adapted.partly_fresh.contains(&tensor.name)
        {
            start_new_classes(tensor, own, &head.classes);
        }
    }
    tensors.extend(own.into_iter().filter(|tensor| adapted.fresh.contains(&tensor.name)));
    let values = to_device(&tensors, learner.parameters(), device);
    learner.set_values(values.map_err(Error::Device)?);
    let head = head.into_iter().map(|head| head.note).collect();
    let inputs = other_inputs(experiment, pretrained.normalization);
    Ok([pretrained.notes, adapted.notes, head, inputs].concat())
}

/// Gives the classes of a head that the initial model does not know what a new head has for them.
fn start_new_classes(head: &mut NamedTensor, own: &NamedTensor, classes: &[Option<usize>]) {
    let rows = head.values.chunks_mut(classes.len()).zip(own.values.chunks(classes.len()));
    for (row, own) in rows {
        for ((value, own), from) in row.iter_mut().zip(own).zip(classes) {
            if from.is_none() {
                *value = *own;
            }
        }
    }
}

/// Tells where images are normalised in another way than the model was trained with.
fn other_inputs(
    experiment: &Experiment,
    normalization: Option<(Vec<f32>, Vec<f32>)>,
) -> Vec<String> {
    let own = experiment
        .input()
        .ok()
        .and_then(|(channels, _)| experiment.data.normalize.mean_std(channels).ok());
    match (normalization, own) {
        (Some((mean, std)), Some(own)) if (&mean, &std) != (&own.0, &own.1) => vec![format!(
            "warning: the model was trained on images of mean {mean:?} and deviation {std:?}, but `data.normalize` has {:?} and {:?} (`--set 'data.normalize=Custom(mean: {mean:?}, std: {std:?})'`)",
            own.0, own.1
        )],
        _ => Vec::new(),
    }
}

/// A pattern that matches nothing is most likely misspelt.
fn check_patterns<'a>(
    field: &str,
    patterns: &[String],
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), Error> {
    let unmatched = patterns.iter().find(|p| !names.clone().any(|name| matches(p, name)));
    match unmatched {
        Some(pattern) => Err(Error::Experiment(ConfigProblem {
            field: format!("init.{field}"),
            message: format!("`{pattern}` matches no parameter of the model"),
            help: "names look like `blocks.0.attn.qkv.weight`, and `*` stands for anything".into(),
        })),
        None => Ok(()),
    }
}
