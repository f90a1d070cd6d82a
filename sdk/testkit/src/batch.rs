//! Batch augmentations under test.

use vitral_host::{Batch, Plugin, Value};
use vitral_program::{Array, Limits, Program};

use crate::arrays;
use crate::opened::{Failure, Opened, compiled_in, expect, expect_error};

/// A batch augmentation under test: its settings, and the batches that it is for.
#[derive(Clone)]
pub struct BatchAugmentation {
    opened: Opened,
    batch: Batch,
}

impl BatchAugmentation {
    /// The plugin with its defaults, for RGB images of 8 x 8 pixels in 4 classes.
    ///
    /// # Panics
    /// If the host refuses the plugin.
    #[track_caller]
    pub fn of<P: vitral_sdk::BatchAugmentation>() -> Self {
        Self::opened(compiled_in(vitral_sdk::native::batch_augmentation::<P>()))
    }

    /// The same, of a plugin that was opened otherwise.
    pub fn opened(plugin: Plugin) -> Self {
        Self::with(Opened::new(plugin))
    }

    pub(crate) fn with(opened: Opened) -> Self {
        Self { opened, batch: Batch { height: 8, width: 8, channels: 3, classes: 4 } }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.opened.set(name, value);
        self
    }

    /// Takes other batches.
    #[must_use]
    pub fn batch(self, batch: Batch) -> Self {
        Self { batch, ..self }
    }

    /// The program for the batches.
    ///
    /// # Errors
    /// What the user would read.
    pub fn try_program(&self) -> Result<Program, Failure> {
        let settings = self.opened.settings()?;
        Ok(self.opened.plugin.trace_batch(&settings, &self.batch, &Limits::default())?)
    }

    /// The program for the batches.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn program(&self) -> Program {
        expect(self.try_program())
    }

    /// Why there is no program.
    ///
    /// # Panics
    /// If there is one.
    #[track_caller]
    pub fn error(&self) -> String {
        expect_error(self.try_program())
    }

    /// This many images between -1 and 1, and a class for each.
    pub fn noise(&self, images: usize) -> [Array; 2] {
        noise(&self.batch, images)
    }

    /// What comes of images and targets; with a seed as in training.
    ///
    /// # Panics
    /// If there is no program, or the arrays do not fit it.
    #[track_caller]
    pub fn run(&self, [images, targets]: &[Array; 2], seed: Option<u64>) -> [Array; 2] {
        let program = self.program();
        let inputs = [images.clone(), targets.clone()];
        let outputs = arrays::run(&program, &inputs, &arrays::parameters(&program, 0), seed);
        // The host gives a program these two outputs.
        [outputs[0].clone(), outputs[1].clone()]
    }
}

/// Images and targets for batches.
pub(crate) fn noise(batch: &Batch, images: usize) -> [Array; 2] {
    let [height, width, channels, classes] =
        [batch.height, batch.width, batch.channels, batch.classes].map(|size| size as usize);
    let pixels = arrays::noise(&[images, height, width, channels], 1);
    [pixels, arrays::one_hot(images, classes)]
}
