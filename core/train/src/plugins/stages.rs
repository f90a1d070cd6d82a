//! The stages of a run's training images, plugins' among them.

use vitral_data::{PluginStage, Stage, Transform};
use vitral_host::Kind;
use vitral_model::ConfigProblem;

use super::Registry;
use crate::{Error, Experiment};

/// The stages of training images, with the plugins that are some of them opened, and each of these tried
/// once.
///
/// # Errors
/// A plugin that cannot be had or used, by its field of the experiment, or a setting that is out of range.
pub fn open_stages(experiment: &Experiment, registry: &Registry) -> Result<Vec<Stage>, Error> {
    let is_plugin = |transform: &Transform| matches!(transform, Transform::Plugin(_));
    if let Some(index) = experiment.data.eval_transforms.iter().position(is_plugin) {
        return Err(Error::Experiment(ConfigProblem {
            field: format!("data.eval_transforms[{index}]"),
            message: "plugins change training images only".into(),
            help: "move it to `data.augment`".into(),
        }));
    }
    let stage = |(index, transform): (usize, &Transform)| {
        transform.stage(|used| {
            let field = format!("data.augment[{index}]");
            let opened = registry.open(experiment, used, Kind::ImageAugmentation, &field)?;
            // An instance that cannot be made is better known now than from a worker.
            opened.plugin.image_augmentation(&opened.settings).map_err(Error::Plugin)?;
            Ok(PluginStage::new(opened.plugin, opened.settings, used.on_error))
        })
    };
    experiment.data.augment.iter().enumerate().map(stage).collect()
}
