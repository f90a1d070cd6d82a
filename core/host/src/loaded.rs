//! What stands between a plugin and the way in which it was loaded.

use vitral_program::Program;

use crate::{
    CallError, ImageAugmentation, Monitor, Settings,
    trace::{Subject, Trace},
};

/// What a loader does for each kind of plugin.
pub(crate) trait Loaded: Send + Sync {
    fn image_augmentation(
        &self,
        plugin: &str,
        settings: &Settings,
    ) -> Result<Box<dyn ImageAugmentation>, CallError>;

    fn monitor(&self, plugin: &str, settings: &Settings) -> Result<Box<dyn Monitor>, CallError>;

    /// Traces a plugin's program; the subject is of the plugin's kind.
    fn trace(
        &self,
        plugin: &str,
        settings: &Settings,
        subject: Subject,
        trace: Trace,
    ) -> Result<Program, CallError>;
}
