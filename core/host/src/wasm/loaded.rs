//! What a component does for each kind of plugin.

use vitral_program::Program;

use super::{
    image::Augmentation,
    keeper::{Keeper, Wasm},
    monitor::Observer,
};
use crate::{
    CallError, ImageAugmentation, Monitor, Settings,
    loaded::Loaded,
    monitor::Recovering,
    trace::{Subject, Trace},
};

impl Loaded for Wasm {
    fn image_augmentation(
        &self,
        plugin: &str,
        settings: &Settings,
    ) -> Result<Box<dyn ImageAugmentation>, CallError> {
        Ok(Box::new(Augmentation(Keeper::new(self, plugin, settings)?)))
    }

    fn monitor(&self, plugin: &str, settings: &Settings) -> Result<Box<dyn Monitor>, CallError> {
        Ok(Box::new(Recovering::new(Observer(Keeper::new(self, plugin, settings)?))))
    }

    fn trace(
        &self,
        plugin: &str,
        settings: &Settings,
        subject: Subject,
        trace: Trace,
    ) -> Result<Program, CallError> {
        super::trace::trace(self, plugin, settings, subject, trace)
    }
}
