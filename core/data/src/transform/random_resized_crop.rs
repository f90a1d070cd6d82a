//! A random part of random area and shape, resized to the model's input: torchvision's
//! `RandomResizedCrop`, cutting and resizing in one pass.

use rand::Rng as _;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use vitral_seed::{Rng, Seed};

use super::hybrid::Hybrid;
use super::interpolation::Interpolation;
use super::stage::{Operation, Passing, Redraw, Step};
use crate::decode::Request;
use crate::error::{DataError, TransformError};
use crate::region::Crop;

/// Settings of `RandomResizedCrop`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct RandomResizedCrop {
    /// Smallest and largest area of the part, relative to the image's.
    #[serde(default = "default_scale")]
    #[schemars(schema_with = "scale_schema")]
    pub scale: (f64, f64),
    /// Smallest and largest width of the part, relative to its height.
    #[serde(default = "default_ratio")]
    #[schemars(schema_with = "ratio_schema")]
    pub ratio: (f64, f64),
    /// How values between pixels are found: `Bilinear` or `Bicubic`.
    #[serde(default)]
    pub interpolation: Interpolation,
}

impl Default for RandomResizedCrop {
    fn default() -> Self {
        let interpolation = Interpolation::default();
        Self { scale: default_scale(), ratio: default_ratio(), interpolation }
    }
}

fn default_scale() -> (f64, f64) {
    (0.08, 1.0)
}

fn default_ratio() -> (f64, f64) {
    (3.0 / 4.0, 4.0 / 3.0)
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

impl Operation for RandomResizedCrop {
    fn check(&self) -> Result<(), DataError> {
        for (name, (low, high)) in [("scale", self.scale), ("ratio", self.ratio)] {
            if low > high {
                return Err(DataError::setting(
                    format!("RandomResizedCrop: {name}"),
                    format!("is ({low}, {high}), but must be (smallest, largest)"),
                ));
            }
        }
        Ok(())
    }

    fn works_in_place(&self, _: (u32, u32), _: u32) -> bool {
        false
    }

    fn step(&self, image: Passing, seed: Seed) -> Result<Step<'_>, TransformError> {
        let part = choose(image.width, image.height, self.scale, self.ratio, &mut seed.rng());
        let request = Request { part, width: image.model, height: image.model };
        Ok(Step::Redraw(Redraw::Resize(request, self.interpolation)))
    }

    fn hybrid(&self) -> Hybrid {
        Hybrid::resizes(self.interpolation)
    }
}

/// How often a part is drawn before the middle of the image is taken.
const TRIES: usize = 10;

/// The part of an image of `width` x `height` pixels.
fn choose(width: u32, height: u32, scale: (f64, f64), ratio: (f64, f64), rng: &mut Rng) -> Crop {
    let area = f64::from(width) * f64::from(height);
    for _ in 0..TRIES {
        let target = area * rng.random_range(scale.0..=scale.1);
        let aspect = rng.random_range(ratio.0.ln()..=ratio.1.ln()).exp();
        let crop_width = (target * aspect).sqrt().round() as u32;
        let crop_height = (target / aspect).sqrt().round() as u32;
        if (1..=width).contains(&crop_width) && (1..=height).contains(&crop_height) {
            return Crop {
                top: rng.random_range(0..=height - crop_height),
                left: rng.random_range(0..=width - crop_width),
                width: crop_width,
                height: crop_height,
            };
        }
    }
    central(width, height, ratio)
}

/// The largest part in the middle whose shape is within `ratio`.
fn central(width: u32, height: u32, ratio: (f64, f64)) -> Crop {
    let shape = f64::from(width) / f64::from(height);
    let (crop_width, crop_height) = if shape < ratio.0 {
        (width, (f64::from(width) / ratio.0).round() as u32)
    } else if shape > ratio.1 {
        ((f64::from(height) * ratio.1).round() as u32, height)
    } else {
        (width, height)
    };
    let (crop_width, crop_height) = (crop_width.clamp(1, width), crop_height.clamp(1, height));
    Crop {
        left: (width - crop_width) / 2,
        top: (height - crop_height) / 2,
        width: crop_width,
        height: crop_height,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: (f64, f64) = (0.08, 1.0);
    const RATIO: (f64, f64) = (0.75, 4.0 / 3.0);

    #[test]
    fn parts_lie_within_the_image_and_the_settings() {
        let (width, height) = (500, 375);
        let mut rng = Seed::new(1).rng();
        let mut areas = Vec::new();
        for _ in 0..5000 {
            let crop = choose(width, height, SCALE, RATIO, &mut rng);
            assert!(crop.left + crop.width <= width && crop.top + crop.height <= height);
            let aspect = f64::from(crop.width) / f64::from(crop.height);
            assert!((0.74..1.35).contains(&aspect), "{crop:?}");
            areas.push(f64::from(crop.width * crop.height) / f64::from(width * height));
        }
        assert!(areas.iter().all(|area| (0.078..=1.0).contains(area)));
        // Large parts of extreme shape do not fit and are redrawn, so areas are not uniform.
        // torchvision's algorithm, simulated in Python 200,000 times, gives 0.4323 and 17.7%.
        let mean = areas.iter().sum::<f64>() / areas.len() as f64;
        assert!((mean - 0.4323).abs() < 0.015, "mean area {mean}");
        let small = areas.iter().filter(|&&area| area < 0.2).count();
        assert!(small.abs_diff(884) < 120, "{small} of 5000 below a fifth");
    }

    #[test]
    fn parts_are_spread_over_the_image() {
        let mut rng = Seed::new(2).rng();
        let small = (0.1, 0.1);
        let crops: Vec<_> =
            (0..2000).map(|_| choose(100, 100, small, (1.0, 1.0), &mut rng)).collect();
        assert!(crops.iter().all(|crop| (crop.width, crop.height) == (32, 32)));
        let mean = crops.iter().map(|crop| f64::from(crop.left + crop.top)).sum::<f64>() / 4000.0;
        assert!((mean - 34.0).abs() < 1.5, "mean corner {mean}");
        assert!(
            crops.iter().any(|crop| crop.left == 0) && crops.iter().any(|crop| crop.left == 68)
        );
    }

    #[test]
    fn images_of_extreme_shape_give_their_middle() {
        let mut rng = Seed::new(3).rng();
        let full = (1.0, 1.0);
        let wide = choose(1000, 10, full, RATIO, &mut rng);
        assert_eq!((wide.width, wide.height, wide.left, wide.top), (13, 10, 493, 0));
        let tall = choose(3, 1000, full, RATIO, &mut rng);
        assert_eq!((tall.width, tall.height, tall.top), (3, 4, 498));
        let dot = choose(1, 1, SCALE, (3.0, 3.0), &mut rng);
        assert_eq!((dot.width, dot.height), (1, 1));
    }
}
