//! The figures of an evaluation.

use serde::{Deserialize, Serialize};
use vitral_data::Skipped;

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Images evaluated.
    pub images: u64,
    /// Images that could not be read and were left out, where the data's policy allows that.
    pub skipped: u64,
    /// Which these are, and why.
    #[serde(default)]
    pub left_out: Vec<Skipped>,
    /// What of the data set is not read, where that is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Mean loss, without label smoothing.
    pub loss: f64,
    /// Share of images whose class got the highest logit.
    pub top1: f64,
    /// Share of images whose class is among the five highest logits.
    pub top5: f64,
    /// Images and top-1 hits of each class.
    pub classes: Vec<ClassAccuracy>,
}

/// One class of an evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassAccuracy {
    /// Its name.
    pub name: String,
    /// Its images.
    pub images: u64,
    /// Its images that were recognised.
    pub correct: u64,
}

impl ClassAccuracy {
    /// Share recognised; none where the class has no images.
    pub fn accuracy(&self) -> Option<f64> {
        (self.images > 0).then(|| self.correct as f64 / self.images as f64)
    }
}
