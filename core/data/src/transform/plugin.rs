//! A stage that a plugin computes, and what happens when it fails.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use vitral_config::OnPluginError;
use vitral_host::{ImageAugmentation, ImageMut, Plugin, Sample, Settings};

use crate::error::TransformError;
use crate::pixels::{Channels, Image};

/// An image augmentation of a plugin, ready for all workers.
pub struct PluginStage {
    plugin: Plugin,
    settings: Settings,
    on_error: OnPluginError,
    /// Instances that no worker uses just now; there are never more than workers.
    idle: Mutex<Vec<Box<dyn ImageAugmentation>>>,
    /// Why the stage is no longer used.
    disabled: OnceLock<String>,
}

/// Why a plugin's stage could not be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PluginFailure {
    /// Plugin, call, input and cause.
    pub message: String,
    /// Whether the sample is to be left out, rather than the run stopped.
    pub skip: bool,
}

impl PluginStage {
    /// A stage of an opened plugin.
    pub fn new(plugin: Plugin, settings: Settings, on_error: OnPluginError) -> Self {
        Self { plugin, settings, on_error, idle: Mutex::new(Vec::new()), disabled: OnceLock::new() }
    }

    /// Why the stage is no longer used, if it is not.
    pub fn disabled(&self) -> Option<&str> {
        self.disabled.get().map(String::as_str)
    }

    /// Whether the plugin may call the system: it is native, or has been granted a folder or the network.
    pub(super) fn needs_system(&self) -> bool {
        self.plugin.needs_system()
    }

    /// Applies the stage to an image where it lies; one that has been disabled leaves it as it is. Some
    /// image, if one takes the given one's place. `before` is memory for what the image was.
    ///
    /// # Errors
    /// The plugin fails, and is not disabled then. What is in the image means nothing.
    pub(super) fn apply(
        &self,
        image: ImageMut<'_>,
        sample: &Sample,
        before: &mut Vec<u8>,
    ) -> Result<Option<Image>, PluginFailure> {
        if self.disabled.get().is_some() {
            return Ok(None);
        }
        let ImageMut { width, height, channels, pixels } = image;
        let disables = self.on_error == OnPluginError::Disable;
        if disables {
            // A failed call may have changed a part of the image.
            before.clear();
            before.extend_from_slice(pixels);
        }
        let image = ImageMut { width, height, channels, pixels: &mut *pixels };
        match self.augment(image, sample) {
            Ok(made) => Ok(made),
            Err(message) if disables => {
                pixels.copy_from_slice(before);
                // The first failure is the one that is reported.
                let _ = self.disabled.set(message);
                Ok(None)
            }
            Err(message) => {
                Err(PluginFailure { message, skip: self.on_error == OnPluginError::Skip })
            }
        }
    }

    fn augment(&self, image: ImageMut<'_>, sample: &Sample) -> Result<Option<Image>, String> {
        let mut instance = match self.idle().pop() {
            Some(instance) => instance,
            None => {
                let made = self.plugin.image_augmentation(&self.settings);
                made.map_err(|error| error.to_string())?
            }
        };
        let channels = image.channels;
        let result = instance.augment_in_place(image, sample);
        // After an error, too: an instance recovers by itself.
        self.idle().push(instance);
        let Some(made) = result.map_err(|error| error.to_string())? else { return Ok(None) };
        self.image(made, channels).map(Some).map_err(|error| {
            format!("plugin `{}` gave an image that cannot be used: {error}", self.name())
        })
    }

    fn image(&self, made: vitral_host::Image, wanted: u32) -> Result<Image, TransformError> {
        let channels = Channels::from_count(made.channels as usize);
        let channels = channels.filter(|_| made.channels == wanted).ok_or_else(|| {
            TransformError(format!("it has {} channels, not {wanted}", made.channels))
        })?;
        Image::new(made.width, made.height, channels, made.pixels)
            .map_err(|error| TransformError(error.to_string()))
    }

    fn name(&self) -> &str {
        &self.plugin.description().name
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn ImageAugmentation>>> {
        // A panic between taking and giving back loses an instance and damages nothing.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PluginStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginStage({})", self.name())
    }
}
