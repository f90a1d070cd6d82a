//! Image augmentations under test.

use vitral_host::{Image, Plugin, Sample, Value};
use vitral_sdk::Picture;

use crate::opened::{Failure, Opened, compiled_in, expect, expect_error};

/// An image augmentation under test: its settings, and where its image stands in a run.
#[derive(Clone)]
pub struct ImageAugmentation {
    opened: Opened,
    sample: Sample,
}

impl ImageAugmentation {
    /// The plugin with its defaults; seed 0, epoch 0 and a model of 224 pixels.
    ///
    /// # Panics
    /// If the host refuses the plugin.
    #[track_caller]
    pub fn of<P: vitral_sdk::ImageAugmentation>() -> Self {
        Self::opened(compiled_in(vitral_sdk::native::image_augmentation::<P>()))
    }

    /// The same, of a plugin that was opened otherwise.
    pub fn opened(plugin: Plugin) -> Self {
        Self { opened: Opened::new(plugin), sample: Sample { seed: 0, epoch: 0, size: 224 } }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.opened.set(name, value);
        self
    }

    /// Takes another seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.sample.seed = seed;
        self
    }

    /// Takes another place in a run.
    #[must_use]
    pub fn sample(self, sample: Sample) -> Self {
        Self { sample, ..self }
    }

    /// What a new instance makes of a picture.
    ///
    /// # Errors
    /// What the user would read.
    pub fn try_augment(&self, picture: &Picture) -> Result<Picture, Failure> {
        augment(&mut *self.start()?, picture, &self.sample)
    }

    /// What a new instance makes of a picture.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn augment(&self, picture: &Picture) -> Picture {
        expect(self.try_augment(picture))
    }

    /// Why it fails on a picture.
    ///
    /// # Panics
    /// If it does not.
    #[track_caller]
    pub fn error(&self, picture: &Picture) -> String {
        expect_error(self.try_augment(picture))
    }

    pub(crate) fn with(opened: Opened, sample: Sample) -> Self {
        Self { opened, sample }
    }

    pub(crate) fn start(&self) -> Result<Box<dyn vitral_host::ImageAugmentation>, Failure> {
        let settings = self.opened.settings()?;
        Ok(self.opened.plugin.image_augmentation(&settings)?)
    }
}

/// What an instance makes of a picture.
pub(crate) fn augment(
    instance: &mut dyn vitral_host::ImageAugmentation,
    picture: &Picture,
    sample: &Sample,
) -> Result<Picture, Failure> {
    let Picture { width, height, channels, pixels } = picture.clone();
    let mut image = Image { width, height, channels, pixels };
    instance.augment(&mut image, sample)?;
    // The host has checked that there are as many bytes.
    Ok(Picture::new(image.width, image.height, image.channels, image.pixels))
}
