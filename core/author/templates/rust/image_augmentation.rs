//! TEMPLATE_SUMMARY.

use vitral_sdk::prelude::*;

/// Inverts what is bright.
#[derive(Clone, Debug, Parameters)]
pub struct TemplateType {
    /// How likely an image is changed.
    #[parameter(default = 0.2, min = 0, max = 1)]
    probability: f64,
    /// Values from this one on are inverted.
    #[parameter(default = 128)]
    threshold: u8,
}

impl Plugin for TemplateType {
    type Parameters = Self;

    const IDENTITY: Identity = identity!("template-name", "TEMPLATE_SUMMARY");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![Example::new("Every image as a negative").set("probability", 1.0).set("threshold", 0)]
    }
}

impl ImageAugmentation for TemplateType {
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()> {
        if sample.rng().random_bool(self.probability) {
            let threshold = self.threshold;
            for value in image.pixels_mut() {
                *value = if *value < threshold { *value } else { 255 - *value };
            }
        }
        Ok(())
    }

    fn cases() -> Vec<ImageCase> {
        let picture = |pixels: [u8; 3]| Picture::new(3, 1, 1, pixels);
        let case =
            ImageCase::new("Only what is bright", picture([0, 127, 128]), picture([0, 127, 127]));
        vec![case.set("probability", 1.0)]
    }
}

// TEMPLATE_EXPORT

#[cfg(test)]
mod tests {
    use vitral_testkit::{ImageAugmentation as Tested, check_image_augmentation, pictures};

    use super::*;

    #[test]
    fn it_does_what_any_image_augmentation_must() {
        check_image_augmentation::<TemplateType>();
    }

    #[test]
    fn without_probability_nothing_changes() {
        let picture = pictures::ramp(8, 8, 3);
        for seed in 0..10 {
            let tested = Tested::of::<TemplateType>().set("probability", 0.0).seed(seed);
            assert_eq!(tested.augment(&picture), picture);
        }
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let error =
            Tested::of::<TemplateType>().set("probability", 2).error(&pictures::ramp(8, 8, 3));
        assert!(error.contains("from 0"), "{error}");
    }
}
