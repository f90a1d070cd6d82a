//! Where an experiment says that the weights start.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_interchange::Resize;

/// Where the weights start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Init {
    /// As `model.init` says.
    #[default]
    Fresh,
    /// From a trained model. Positions are resized to the model's grid (an MLP-Mixer has one grid).
    /// The head keeps the classes that it knows by their names, and the others start afresh; where
    /// it has no names, it is kept if the number of classes is the same. Anything else that does
    /// not fit ends the run before it starts, with every difference listed. `vitral train` takes
    /// over what the experiment does not set of its architecture, and how its images were
    /// normalised.
    Pretrained {
        /// A `.npz` of google-research/vision_transformer or big_vision, a `.safetensors`, `.pth` or `.bin`
        /// of timm or Hugging Face (or its folder), or a run or checkpoint of Vitral.
        #[serde(with = "vitral_config::path_text")]
        #[schemars(with = "PathBuf")]
        path: PathBuf,
        /// How learned positions are resized to another grid.
        #[serde(default)]
        positions: PositionResize,
        /// Parameters that start afresh anyway; `*` stands for anything, as in `head.*`.
        #[serde(default)]
        fresh: Vec<String>,
        /// Parameters of the file that the model need not have, as in `pre_logits.*`.
        #[serde(default)]
        ignore: Vec<String>,
    },
}

/// How learned positions are resized to another grid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PositionResize {
    /// Linear between aligned corners, as google-research/vision_transformer.
    #[default]
    Zoom,
    /// Antialiased bicubic, as timm.
    Bicubic,
}

impl From<PositionResize> for Resize {
    fn from(resize: PositionResize) -> Self {
        match resize {
            PositionResize::Zoom => Self::Zoom,
            PositionResize::Bicubic => Self::Bicubic,
        }
    }
}

impl Init {
    /// Makes a relative path start at a folder.
    pub(crate) fn resolve_path(&mut self, base: &Path) {
        if let Self::Pretrained { path, .. } = self {
            *path = base.join(&*path);
        }
    }
}
