//! What comes before the patches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What an image goes through before it is cut into patches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Stem {
    /// Nothing.
    #[default]
    None,
    /// A ResNet (hybrid models, Dosovitskiy et al. 2021): a root that makes the image four times
    /// smaller, and stages of which each but the first halves it again.
    ResNet {
        /// Units of each stage, as in `[3, 4, 9]`; none leaves the root alone.
        #[schemars(length(max = 8))]
        layers: Vec<usize>,
        /// Channels of the root (64 times vit_jax's `width_factor`), a multiple of 32. Stages have
        /// four, eight, ... times as many.
        #[serde(default = "default_width")]
        #[schemars(range(min = 32, max = 2048))]
        width: usize,
    },
}

const fn default_width() -> usize {
    64
}

impl Stem {
    /// How many pixels along one side become one of what it gives.
    pub fn downscaling(&self) -> usize {
        match self {
            Self::None => 1,
            Self::ResNet { layers, .. } => 4 << layers.len().saturating_sub(1),
        }
    }

    /// Channels of what it gives, from those of the image.
    pub fn channels(&self, image: usize) -> usize {
        match self {
            Self::None => image,
            Self::ResNet { layers, width } if layers.is_empty() => *width,
            Self::ResNet { layers, width } => (4 * width) << (layers.len() - 1),
        }
    }
}

/// Groups of every GroupNorm.
pub const GROUPS: usize = 32;
