//! Random policies of simple operations: RandAugment (Cubuk et al. 2020), TrivialAugment (Müller and
//! Hutter 2021) and AutoAugment's ImageNet policy (Cubuk et al. 2019), with the operations and
//! ranges of torchvision.

mod auto;
mod operation;
mod random;

use vitral_sdk::image::{Interpolation, Size};
use vitral_sdk::prelude::*;

use operation::{Operation, Warping};

/// Random operations on an image.
#[derive(Clone, Debug, Parameters)]
pub struct RandAugment {
    /// Which policy chooses the operations.
    #[parameter(default = Policy::RandAugment)]
    policy: Policy,
    /// Operations that RandAugment applies to each image.
    #[parameter(default = 2, min = 0, max = 16)]
    num_ops: u32,
    /// RandAugment's strength, out of `num_magnitude_bins`.
    #[parameter(default = 9, min = 0, max = 30)]
    magnitude: u32,
    /// Standard deviation of RandAugment's strength from image to image, as timm's `mstd`.
    #[parameter(default = 0.0, min = 0.0, max = 30.0)]
    magnitude_std: f64,
    /// Steps from no strength to all; TrivialAugment draws one of them.
    #[parameter(default = 31, min = 2, max = 101)]
    num_magnitude_bins: u32,
    /// How warped images find values between pixels.
    #[parameter(default = Between::Nearest)]
    interpolation: Between,
    /// The colour of what warps bring in from outside of the image, as grey.
    #[parameter(default = 0, min = 0, max = 255)]
    fill: u8,
}

/// Who chooses the operations.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `num_ops` operations of strength `magnitude`.
    RandAugment,
    /// One operation of any strength.
    TrivialAugment,
    /// One of the pairs that were found for ImageNet.
    AutoAugment,
}

/// How warped images find values between pixels.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    /// The nearest pixel's.
    Nearest,
    /// Between the four nearest.
    Bilinear,
}

impl Plugin for RandAugment {
    type Parameters = Self;

    const IDENTITY: Identity =
        identity!("randaugment", "RandAugment, TrivialAugment and AutoAugment policies");

    fn new(parameters: Self) -> Result<Self> {
        if parameters.magnitude >= parameters.num_magnitude_bins {
            bail!(
                "magnitude {} must be below num_magnitude_bins {}",
                parameters.magnitude,
                parameters.num_magnitude_bins
            );
        }
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("timm's rand-m9-mstd0.5").set("magnitude", 9).set("magnitude_std", 0.5),
            Example::new("TrivialAugment, without anything to tune")
                .set("policy", "trivial-augment"),
            Example::new("AutoAugment's policy for ImageNet, bilinear")
                .set("policy", "auto-augment")
                .set("interpolation", "bilinear")
                .set("fill", 128),
        ]
    }
}

impl ImageAugmentation for RandAugment {
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()> {
        let mut rng = sample.rng();
        let size = Size::of(image);
        let operations = match self.policy {
            Policy::RandAugment => random::rand_augment(self, size, &mut rng),
            Policy::TrivialAugment => random::trivial_augment(self, &mut rng),
            Policy::AutoAugment => auto::auto_augment(&mut rng),
        };
        let warping = Warping {
            interpolation: match self.interpolation {
                Between::Nearest => Interpolation::Nearest,
                Between::Bilinear => Interpolation::Bilinear,
            },
            fill: [self.fill; 3],
        };
        for operation in operations {
            if operation != Operation::Identity {
                operation.apply(image.pixels_mut(), size, warping);
            }
        }
        Ok(())
    }
}

/// The plugin's functions, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::image_augmentation::<RandAugment>()
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(RandAugment: image_augmentation);
