//! The image augmentations of a run, for the data pipeline.

use std::sync::Arc;

use vitral_config::PluginUse;
use vitral_data::{PluginStage, Transform};
use vitral_host::Kind;
use vitral_model::ConfigProblem;

use super::Registry;
use crate::{Error, Experiment};

/// Opens the plugin of each training transform that is one's, in order, and tries each once.
///
/// # Errors
/// A plugin that cannot be had or used, by its field of the experiment.
pub fn open_stages(
    experiment: &Experiment,
    registry: &Registry,
) -> Result<Vec<Arc<PluginStage>>, Error> {
    if let Some((index, _)) = plugins(&experiment.data.eval_transforms).next() {
        return Err(Error::Experiment(ConfigProblem {
            field: format!("data.eval_transforms[{index}]"),
            message: "plugins change training images only".into(),
            help: "move it to `data.augment`".into(),
        }));
    }
    let open = |(index, used): (usize, &PluginUse)| {
        let field = format!("data.augment[{index}]");
        let opened = registry.open(experiment, used, Kind::ImageAugmentation, &field)?;
        // An instance that cannot be made is better known now than from a worker.
        opened.plugin.image_augmentation(&opened.settings).map_err(Error::Plugin)?;
        Ok(Arc::new(PluginStage::new(opened.plugin, opened.settings, used.on_error)))
    };
    plugins(&experiment.data.augment).map(open).collect()
}

fn plugins(transforms: &[Transform]) -> impl Iterator<Item = (usize, &PluginUse)> {
    transforms.iter().enumerate().filter_map(|(index, transform)| match transform {
        Transform::Plugin(used) => Some((index, used)),
        _ => None,
    })
}
