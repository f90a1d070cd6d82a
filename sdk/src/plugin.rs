//! What a plugin is, of whichever kind.

use vitral_abi::{Action, Batch, Description, Event, Example, Interests, Layer, Sample, Setting};

use crate::{Image, ImageCase, Parameters, Result, Tensor};

/// A plugin: what it is called, what users set, and how it is made from that.
///
/// What it does is in the trait of its kind: [`ImageAugmentation`], [`BatchAugmentation`],
/// [`Attention`] or [`Monitor`].
pub trait Plugin: Sized + Send + 'static {
    /// What users set: the plugin itself, or a struct of its own; `()` if there is nothing.
    type Parameters: Parameters;

    /// See [`identity!`](crate::identity).
    const IDENTITY: Identity;

    /// An instance with these parameters. A run makes one for each data worker or layer.
    ///
    /// # Errors
    /// If the parameters do not go together; types and ranges have been checked.
    fn new(parameters: Self::Parameters) -> Result<Self>;

    /// Documented configurations, which are also tests: each must work.
    fn examples() -> Vec<Example> {
        Vec::new()
    }
}

/// Changes one image in a data worker.
pub trait ImageAugmentation: Plugin {
    /// Changes an image. All randomness comes from [`Sample::seed`]: see
    /// [`SampleExt::rng`](crate::SampleExt::rng).
    ///
    /// # Errors
    /// If the image cannot be augmented, which ends the run.
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()>;

    /// Images and what they must become, which are tests.
    fn cases() -> Vec<ImageCase> {
        Vec::new()
    }
}

/// Changes a batch on the device, as a tensor program.
pub trait BatchAugmentation: Plugin {
    /// Writes the program down: `images` are `f32[B,height,width,channels]`, normalised; `targets`
    /// are `f32[B,classes]`, each row a distribution. The results have the same types.
    ///
    /// # Errors
    /// If there is none for such batches.
    fn trace(&self, batch: &Batch, images: Tensor, targets: Tensor) -> Result<(Tensor, Tensor)>;
}

/// A layer's attention, as a tensor program.
pub trait Attention: Plugin {
    /// Writes the program down: queries, keys and values are `f32[B,heads,tokens,head_width]`, and
    /// so is the result.
    ///
    /// # Errors
    /// If there is none for such a layer.
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor>;
}

/// Hears of what happens in a run.
pub trait Monitor: Plugin {
    /// How often it wants to hear.
    fn interests(&self) -> Interests;

    /// Something happened; the result is what to do about it.
    ///
    /// # Errors
    /// If the monitor cannot go on, which ends the run.
    fn observe(&mut self, event: &Event) -> Result<Vec<Action>>;

    /// What a resumed run needs to go on as if it had never stopped.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes up what [`Monitor::save`] gave.
    ///
    /// # Errors
    /// If it makes no sense.
    fn restore(&mut self, state: &[u8]) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// What a plugin is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Lower-case words joined by `-`.
    pub name: &'static str,
    /// A semantic version.
    pub version: &'static str,
    /// One line.
    pub summary: &'static str,
}

/// The [`Identity`](crate::Identity) of a plugin from its name and summary; its version is its
/// crate's.
#[macro_export]
macro_rules! identity {
    ($name:expr, $summary:expr $(,)?) => {
        $crate::Identity {
            name: $name,
            version: ::core::env!("CARGO_PKG_VERSION"),
            summary: $summary,
        }
    };
}

/// What a plugin says of itself.
pub fn describe<P: Plugin>() -> Description {
    Description {
        name: P::IDENTITY.name.to_owned(),
        version: P::IDENTITY.version.to_owned(),
        summary: P::IDENTITY.summary.to_owned(),
        parameters: P::Parameters::describe(),
        examples: P::examples(),
    }
}

/// An instance from settings, which the host has checked and completed.
pub(crate) fn create<P: Plugin>(settings: Vec<Setting>) -> Result<P> {
    P::new(P::Parameters::read(&mut settings.into())?)
}
