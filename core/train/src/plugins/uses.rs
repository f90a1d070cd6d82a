//! Where an experiment uses plugins.

use vitral_config::PluginUse;
use vitral_data::Transform;

use crate::Experiment;

/// Every use of a plugin in an experiment, with its field.
pub(super) fn uses(experiment: &Experiment) -> Vec<(String, PluginUse)> {
    let attention = experiment.model.attention.iter().enumerate().filter_map(|(index, entry)| {
        Some((format!("model.attention[{index}].attention"), entry.attention.plugin()?))
    });
    let augment = experiment.data.augment.iter().enumerate();
    let augment = augment.filter_map(|(index, transform)| match transform {
        Transform::Plugin(used) => Some((format!("data.augment[{index}]"), used.clone())),
        _ => None,
    });
    let listed = |field: &'static str, list: &[PluginUse]| {
        let uses = list.iter().cloned().enumerate();
        uses.map(|(index, used)| (format!("{field}[{index}]"), used)).collect::<Vec<_>>()
    };
    let batch = listed("train.batch_augment", &experiment.train.batch_augment);
    let monitors = listed("monitors", &experiment.monitors);
    attention.chain(augment).chain(batch).chain(monitors).collect()
}
