//! Stages that change an image on its way into a batch: one file for each, with its settings and what it
//! makes of them.

mod center_crop;
mod coded;
mod cut;
mod horizontal_flip;
mod hybrid;
mod interpolation;
mod pad_crop;
mod pipeline;
mod plan;
mod plugin;
mod random_resized_crop;
mod resample;
mod resize;
mod resize_shorter;
mod stage;
mod stages;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_config::{Document, PluginUse};

pub use center_crop::CenterCrop;
pub use horizontal_flip::HorizontalFlip;
pub use interpolation::Interpolation;
pub use pad_crop::PadCrop;
pub use pipeline::{EVAL_CROP, Pipeline};
pub use plugin::{PluginFailure, PluginStage};
pub use random_resized_crop::RandomResizedCrop;
pub(crate) use resample::exactly as resized;
pub use resize::Resize;
pub use resize_shorter::ResizeShorter;
pub use stage::{Stage, StageError};

use crate::error::DataError;
use hybrid::Hybrid;
use stage::Operation;

/// One stage of image processing, as an experiment has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub enum Transform {
    /// Cut out a random part and resize it to the model's input size.
    RandomResizedCrop(RandomResizedCrop),
    /// Resize to the model's input size, whatever shape the image has.
    Resize(Resize),
    /// Resize so that the shorter side has a given length. The image keeps its shape.
    ResizeShorter(ResizeShorter),
    /// Cut the middle out, in the model's input size. Smaller images get a black border.
    CenterCrop(CenterCrop),
    /// Add a border and crop a random part of the image's original size.
    PadCrop(PadCrop),
    /// Mirror left and right, at random.
    HorizontalFlip(HorizontalFlip),
    /// An image augmentation of a plugin.
    Plugin(PluginUse),
}

impl Transform {
    /// The stage that runs: with checked settings, and with the plugin that `open` opens if it is one's.
    ///
    /// # Errors
    /// A setting is out of range, or the plugin cannot be opened.
    pub fn stage<E: From<DataError>>(
        &self,
        open: impl FnOnce(&PluginUse) -> Result<PluginStage, E>,
    ) -> Result<Stage, E> {
        match self.own() {
            Ok((name, operation)) => {
                self.check(name)?;
                operation.check()?;
                Ok(Stage { name: name.to_owned(), operation })
            }
            Err(used) => Ok(Stage { name: used.name.clone(), operation: Arc::new(open(used)?) }),
        }
    }

    /// The name of a stage that makes another image of the same one each time that it comes, or may do so.
    pub fn drawn(&self) -> Option<&str> {
        match self {
            Self::RandomResizedCrop(_) | Self::PadCrop(_) | Self::HorizontalFlip(_) => {
                self.own().ok().map(|(name, _)| name)
            }
            Self::Plugin(used) => Some(&used.name),
            Self::Resize(_) | Self::ResizeShorter(_) | Self::CenterCrop(_) => None,
        }
    }

    /// Its name in an experiment and what it does; or the plugin that does it.
    fn own(&self) -> Result<(&'static str, Arc<dyn Operation>), &PluginUse> {
        Ok(match self {
            Self::RandomResizedCrop(own) => ("RandomResizedCrop", Arc::new(*own)),
            Self::Resize(own) => ("Resize", Arc::new(*own)),
            Self::ResizeShorter(own) => ("ResizeShorter", Arc::new(*own)),
            Self::CenterCrop(own) => ("CenterCrop", Arc::new(*own)),
            Self::PadCrop(own) => ("PadCrop", Arc::new(*own)),
            Self::HorizontalFlip(own) => ("HorizontalFlip", Arc::new(*own)),
            Self::Plugin(used) => return Err(used),
        })
    }

    /// Its name, a plugin's own, and what a device can do of it on the way from coefficients to pixels.
    fn hybrid(&self) -> (&str, Hybrid) {
        match self.own() {
            Ok((name, operation)) => (name, operation.hybrid()),
            Err(used) => (&used.name, Hybrid::NeedsPixels),
        }
    }

    /// Checks the settings' ranges, as those of an experiment's text are checked.
    fn check(&self, name: &str) -> Result<(), DataError> {
        let refused =
            |error: vitral_config::ConfigError| DataError::setting(name, error.message.clone());
        let text = vitral_config::to_ron(self).map_err(refused)?;
        Document::new(name, text).parse::<Self>().map(drop).map_err(refused)
    }
}

/// Checks that transforms can be computed together with the decoding of JPEG files: they are a resize to the
/// model's input size and flips.
///
/// # Errors
/// The first one that is something else.
pub(crate) fn check_hybrid(transforms: &[Transform]) -> Result<(), DataError> {
    hybrid::check(transforms.iter().map(Transform::hybrid))
}

/// The stages that run for transforms of this program.
///
/// # Errors
/// A setting is out of range, or a transform is a plugin's.
fn own_stages(transforms: &[Transform]) -> Result<Vec<Stage>, DataError> {
    let refuse = |used: &PluginUse| {
        let problem = "is a plugin, and plugins change training images only, in `data.augment`";
        Err(DataError::setting(&used.name, problem))
    };
    transforms.iter().map(|transform| transform.stage(refuse)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Transform, vitral_config::ConfigError> {
        Document::new("test", text).parse()
    }

    #[test]
    fn reads_from_ron_with_defaults() {
        let crop = |scale| {
            Transform::RandomResizedCrop(RandomResizedCrop {
                scale,
                ..RandomResizedCrop::default()
            })
        };
        let cubic = Interpolation::Bicubic;
        let flip = |probability| Transform::HorizontalFlip(HorizontalFlip { probability });
        let cases = [
            ("RandomResizedCrop()", crop((0.08, 1.0))),
            ("RandomResizedCrop(scale: (0.2, 1.0))", crop((0.2, 1.0))),
            ("Resize()", Transform::Resize(Resize::default())),
            ("Resize(interpolation: Bicubic)", Transform::Resize(Resize { interpolation: cubic })),
            ("ResizeShorter(to: 256)", Transform::ResizeShorter(ResizeShorter::to(256))),
            (
                "ResizeShorter(to: 256, interpolation: Bicubic)",
                Transform::ResizeShorter(ResizeShorter { to: 256, interpolation: cubic }),
            ),
            ("CenterCrop()", Transform::CenterCrop(CenterCrop {})),
            ("PadCrop(padding: 4)", Transform::PadCrop(PadCrop { padding: 4, fill: 0 })),
            ("HorizontalFlip()", flip(0.5)),
            ("HorizontalFlip(probability: 0.25)", flip(0.25)),
        ];
        for (text, expected) in cases {
            let transform = read(text).unwrap();
            assert_eq!(transform, expected, "{text}");
            let written = vitral_config::to_ron(&transform).unwrap();
            assert_eq!(read(&written).unwrap(), expected, "{written}");
            assert!(text.starts_with(own_stages(&[transform]).unwrap()[0].name()));
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        for text in ["Resize(to: 3)", "HorizontalFlip(p: 0.5)", "PadCrop(padding: 4, mode: 1)"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    /// Also where they come from no text.
    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let crop = |scale, ratio| {
            Transform::RandomResizedCrop(RandomResizedCrop {
                scale,
                ratio,
                ..RandomResizedCrop::default()
            })
        };
        let flip = |probability| Transform::HorizontalFlip(HorizontalFlip { probability });
        let cases = [
            (crop((0.9, 0.1), (0.5, 2.0)), "RandomResizedCrop: scale: is (0.9, 0.1)"),
            (crop((0.1, 0.9), (0.0, 1.0)), "RandomResizedCrop: `ratio[0]` is 0.0, but must be at"),
            (crop((0.1, f64::NAN), (0.5, 1.0)), "RandomResizedCrop: `scale[1]` is NaN"),
            (Transform::ResizeShorter(ResizeShorter::to(0)), "ResizeShorter: `to`"),
            (Transform::ResizeShorter(ResizeShorter::to(16_385)), "at most 16384"),
            (Transform::PadCrop(PadCrop { padding: 5000, fill: 0 }), "PadCrop: `padding`"),
            (flip(1.5), "HorizontalFlip: `probability` is 1.5, but must be at most 1"),
        ];
        for (transform, said) in cases {
            let error = own_stages(&[transform]).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn a_device_has_the_usual_filter_alone() {
        for text in ["RandomResizedCrop()", "Resize()"] {
            assert!(check_hybrid(&[read(text).unwrap()]).is_ok());
            let bicubic = text.replace(')', "interpolation: Bicubic)");
            let error = check_hybrid(&[read(&bicubic).unwrap()]).unwrap_err().to_string();
            assert!(error.contains("it allows one bilinear `RandomResizedCrop`"), "{error}");
        }
    }

    #[test]
    fn a_plugin_that_nobody_opens_is_refused() {
        let plugin = read(r#"Plugin(name: "randaugment")"#).unwrap();
        let error = own_stages(&[plugin]).unwrap_err().to_string();
        assert!(error.starts_with("randaugment: is a plugin"), "{error}");
    }
}
