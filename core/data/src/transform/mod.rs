//! Stages that change an image on its way into a batch. One file per stage.

mod center_crop;
mod horizontal_flip;
mod hybrid;
mod pad_crop;
mod pipeline;
mod plan;
mod plugin;
mod random_resized_crop;
mod resize;
mod stages;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use vitral_config::PluginUse;
use vitral_seed::Rng;

pub(crate) use hybrid::check as check_hybrid;
pub use pipeline::{Pipeline, StageError};
pub use plugin::{PluginFailure, PluginStage};
pub(crate) use resize::exactly as resized;

use crate::error::{DataError, DecodeError, TransformError};
use crate::pixels::{Channels, Image, ImageView, MAX_IMAGE_SIDE, byte_count};
use crate::region::Crop;

/// Widest border that `PadCrop` may add, in pixels.
const MAX_PADDING: u32 = 1024;

/// What a stage knows about where the image is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransformContext {
    /// Side of the model's square input, in pixels.
    pub size: u32,
}

/// One stage of image processing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Transform {
    /// Cut out a random part and resize it to the model's input size.
    RandomResizedCrop {
        /// Smallest and largest area of the part, relative to the image's.
        #[serde(default = "default_scale")]
        #[schemars(schema_with = "scale_schema")]
        scale: (f64, f64),
        /// Smallest and largest width of the part, relative to its height.
        #[serde(default = "default_ratio")]
        #[schemars(schema_with = "ratio_schema")]
        ratio: (f64, f64),
    },
    /// Resize to the model's input size, whatever shape the image has.
    Resize {},
    /// Resize so that the shorter side has a given length. The image keeps its shape.
    ResizeShorter {
        /// Length of the shorter side, in pixels.
        #[schemars(range(min = 1, max = 16384))]
        to: u32,
    },
    /// Cut the middle out, in the model's input size. Smaller images get a black border.
    CenterCrop {},
    /// Add a border and cut a random part out, as large as the image was.
    PadCrop {
        /// Width of the border, in pixels.
        #[schemars(range(min = 1, max = 1024))]
        padding: u32,
        /// Value of the border's pixels: 0 is black, 255 white.
        #[serde(default)]
        #[schemars(range(min = 0, max = 255))]
        fill: u8,
    },
    /// Mirror left and right, at random.
    HorizontalFlip {
        /// How likely an image is mirrored.
        #[serde(default = "default_probability")]
        #[schemars(range(min = 0.0, max = 1.0))]
        probability: f64,
    },
    /// An image augmentation of a plugin.
    Plugin(PluginUse),
}

impl Transform {
    /// Its name as in an experiment; a plugin's own.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::RandomResizedCrop { .. } => "RandomResizedCrop",
            Self::Resize {} => "Resize",
            Self::ResizeShorter { .. } => "ResizeShorter",
            Self::CenterCrop {} => "CenterCrop",
            Self::PadCrop { .. } => "PadCrop",
            Self::HorizontalFlip { .. } => "HorizontalFlip",
            Self::Plugin(plugin) => &plugin.name,
        }
    }

    /// Applies the stage. What it decides at random depends on `rng` only.
    ///
    /// # Errors
    /// If the result would be too large an image.
    pub fn apply(
        &self,
        mut image: Image,
        context: &TransformContext,
        rng: &mut Rng,
    ) -> Result<Image, TransformError> {
        let (size, channels) = ((image.width(), image.height()), image.channels());
        if self.works_in_place(size, context) {
            self.apply_in_place(image.pixels_mut(), size.0, channels, rng);
            return Ok(image);
        }
        let explain = |error: DecodeError| TransformError(error.to_string());
        let (width, height) = self.size_after(size, channels, context)?;
        let mut pixels = vec![0; byte_count(width, height, channels).map_err(explain)?];
        self.apply_into(image.view(), context, rng, &mut pixels)?;
        Image::new(width, height, channels, pixels).map_err(explain)
    }

    /// Whether the stage changes an image of `width` x `height` pixels where it lies, or not at all. A
    /// plugin may; it tells if it does not.
    pub(crate) fn works_in_place(
        &self,
        (width, height): (u32, u32),
        context: &TransformContext,
    ) -> bool {
        match *self {
            Self::HorizontalFlip { .. } | Self::Plugin(_) => true,
            Self::Resize {} | Self::CenterCrop {} => {
                (width, height) == (context.size, context.size)
            }
            Self::ResizeShorter { to } => width.min(height) == to,
            Self::RandomResizedCrop { .. } | Self::PadCrop { .. } => false,
        }
    }

    /// Applies a stage of this program that [works in place](Self::works_in_place), to pixels in rows of
    /// `width`.
    pub(crate) fn apply_in_place(
        &self,
        pixels: &mut [u8],
        width: u32,
        channels: Channels,
        rng: &mut Rng,
    ) {
        if let Self::HorizontalFlip { probability } = *self
            && horizontal_flip::happens(probability, rng)
        {
            horizontal_flip::flip(pixels, width, channels);
        }
    }

    /// Width and height of what a stage of this program makes of an image of `width` x `height` pixels.
    ///
    /// # Errors
    /// If the result would be too large an image.
    pub(crate) fn size_after(
        &self,
        (width, height): (u32, u32),
        channels: Channels,
        context: &TransformContext,
    ) -> Result<(u32, u32), TransformError> {
        match *self {
            Self::RandomResizedCrop { .. } | Self::Resize {} | Self::CenterCrop {} => {
                Ok((context.size, context.size))
            }
            Self::ResizeShorter { to } => resize::shorter_size(width, height, channels, to),
            Self::PadCrop { .. } | Self::HorizontalFlip { .. } | Self::Plugin(_) => {
                Ok((width, height))
            }
        }
    }

    /// Applies a stage of this program that does not work in place, into `out`, which has the length of an
    /// image of [`size_after`](Self::size_after). What was in it does not matter.
    ///
    /// # Errors
    /// If the image cannot be resized, or the stage works in place.
    pub(crate) fn apply_into(
        &self,
        image: ImageView<'_>,
        context: &TransformContext,
        rng: &mut Rng,
        out: &mut [u8],
    ) -> Result<(), TransformError> {
        let (width, height) = (image.width(), image.height());
        let whole = Crop::whole(width, height).area();
        match *self {
            // These work in place, a plugin through the pipeline that has opened it.
            Self::HorizontalFlip { .. } | Self::Plugin(_) => {
                Err(TransformError(format!("`{}` changes an image where it lies", self.name())))
            }
            Self::RandomResizedCrop { scale, ratio } => {
                let part = random_resized_crop::choose(width, height, scale, ratio, rng);
                resize::area_into(image, part.area(), context.size, context.size, out)
            }
            Self::Resize {} => resize::area_into(image, whole, context.size, context.size, out),
            Self::ResizeShorter { to } => {
                let (columns, rows) = resize::shorter_size(width, height, image.channels(), to)?;
                resize::area_into(image, whole, columns, rows, out)
            }
            Self::CenterCrop {} => {
                center_crop::apply_into(image, context.size, out);
                Ok(())
            }
            Self::PadCrop { padding, fill } => {
                pad_crop::apply_into(image, padding, fill, rng, out);
                Ok(())
            }
        }
    }

    /// Checks that the settings make sense, also where they do not come from a checked file.
    pub(crate) fn check(&self) -> Result<(), DataError> {
        match *self {
            Self::RandomResizedCrop { scale, ratio } => {
                check_pair("RandomResizedCrop: scale", scale, 1.0)?;
                check_pair("RandomResizedCrop: ratio", ratio, 100.0)
            }
            Self::ResizeShorter { to } => check_range("ResizeShorter: to", to, MAX_IMAGE_SIDE),
            Self::PadCrop { padding, .. } => check_range("PadCrop: padding", padding, MAX_PADDING),
            Self::HorizontalFlip { probability } if !(0.0..=1.0).contains(&probability) => {
                let problem = format!("is {probability}, but must be from 0 to 1");
                Err(DataError::setting("HorizontalFlip: probability", problem))
            }
            Self::Resize {}
            | Self::CenterCrop {}
            | Self::HorizontalFlip { .. }
            | Self::Plugin(_) => Ok(()),
        }
    }
}

fn check_pair(setting: &str, (low, high): (f64, f64), max: f64) -> Result<(), DataError> {
    if low > 0.0 && low <= high && high <= max {
        return Ok(());
    }
    let problem = format!(
        "is ({low}, {high}), but must be (smallest, largest), both above 0 and at most {max}"
    );
    Err(DataError::setting(setting, problem))
}

fn check_range(setting: &str, value: u32, max: u32) -> Result<(), DataError> {
    if (1..=max).contains(&value) {
        return Ok(());
    }
    let problem = format!("is {value}, but must be from 1 to {max}");
    Err(DataError::setting(setting, problem))
}

fn default_scale() -> (f64, f64) {
    (0.08, 1.0)
}

fn default_ratio() -> (f64, f64) {
    (3.0 / 4.0, 4.0 / 3.0)
}

fn default_probability() -> f64 {
    0.5
}

fn scale_schema(_: &mut SchemaGenerator) -> Schema {
    pair_schema(0.0001, 1.0)
}

fn ratio_schema(_: &mut SchemaGenerator) -> Schema {
    pair_schema(0.01, 100.0)
}

fn pair_schema(min: f64, max: f64) -> Schema {
    let number = json_schema!({ "type": "number", "minimum": min, "maximum": max });
    json_schema!({ "type": "array", "prefixItems": [number, number], "minItems": 2, "maxItems": 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Transform, ron::error::SpannedError> {
        ron::from_str(text)
    }

    #[test]
    fn reads_from_ron_with_defaults() {
        let cases = [
            (
                "RandomResizedCrop()",
                Transform::RandomResizedCrop { scale: (0.08, 1.0), ratio: (0.75, 4.0 / 3.0) },
            ),
            (
                "RandomResizedCrop(scale: (0.2, 1.0))",
                Transform::RandomResizedCrop { scale: (0.2, 1.0), ratio: (0.75, 4.0 / 3.0) },
            ),
            ("Resize()", Transform::Resize {}),
            ("ResizeShorter(to: 256)", Transform::ResizeShorter { to: 256 }),
            ("CenterCrop()", Transform::CenterCrop {}),
            ("PadCrop(padding: 4)", Transform::PadCrop { padding: 4, fill: 0 }),
            ("HorizontalFlip()", Transform::HorizontalFlip { probability: 0.5 }),
            ("HorizontalFlip(probability: 0.25)", Transform::HorizontalFlip { probability: 0.25 }),
        ];
        for (text, expected) in cases {
            let transform = read(text).unwrap();
            assert_eq!(transform, expected, "{text}");
            let written = ron::to_string(&transform).unwrap();
            assert_eq!(read(&written).unwrap(), expected, "{written}");
        }
    }

    #[test]
    fn unknown_fields_are_refused() {
        for text in ["Resize(to: 3)", "HorizontalFlip(p: 0.5)", "PadCrop(padding: 4, mode: 1)"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let cases = [
            ("RandomResizedCrop(scale: (0.9, 0.1))", "scale"),
            ("RandomResizedCrop(ratio: (0.0, 1.0))", "ratio"),
            ("ResizeShorter(to: 0)", "ResizeShorter: to"),
            ("PadCrop(padding: 5000)", "padding"),
            ("HorizontalFlip(probability: 1.5)", "probability"),
        ];
        for (text, name) in cases {
            let error = read(text).unwrap().check().unwrap_err().to_string();
            assert!(error.contains(name), "{text}: {error}");
        }
    }
}
