//! What can go wrong in a run.

use std::{
    io,
    path::{Path, PathBuf},
};

use vitral_bundle::Request;
use vitral_model::ConfigProblem;

use crate::checkpoint::CheckpointError;

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields of the experiment that do not go together.
    #[error("{0}")]
    Experiment(#[from] ConfigProblem),
    /// A name in the experiment that means nothing where it stands, such as that of a plugin's setting.
    #[error("{0}")]
    Name(ConfigProblem),
    /// The data.
    #[error(transparent)]
    Data(#[from] vitral_data::DataError),
    /// A plugin, while the run goes on.
    #[error(transparent)]
    Plugin(vitral_host::CallError),
    /// Plugins that are not those that the run was started with.
    #[error("{0}")]
    Lock(String),
    /// Plugins would do what the user has not allowed.
    #[error("{}", words(.0))]
    NotAllowed(Vec<Request>),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A model that was trained elsewhere, or is to go there.
    #[error(transparent)]
    Interchange(#[from] vitral_interchange::InterchangeError),
    /// The loss is no longer a number.
    #[error(
        "the loss became {loss} at step {step}, so training stopped; {}. \
         A lower `train.learning_rate`, a longer warm-up or `train.clip_norm` usually helps", last_saved(saved.as_deref())
    )]
    Diverged {
        /// The loss.
        loss: f32,
        /// The step, counted from 1.
        step: u64,
        /// The newest checkpoint, if there is one; it is from before that step.
        saved: Option<PathBuf>,
    },
    /// What a checkpoint would hold are no numbers any more.
    #[error(
        "after step {step}, {problem}, so training stopped; {}. \
         A lower `train.learning_rate`, a longer warm-up or `train.clip_norm` usually helps", last_saved(saved.as_deref())
    )]
    NotFinite {
        /// Which values, and how many.
        problem: String,
        /// Steps made.
        step: u64,
        /// The newest checkpoint, if there is one; it is from before that step.
        saved: Option<PathBuf>,
    },
    /// What a model computes are no numbers, though its weights are.
    #[error(
        "{what} not finite: the weights are, but what is computed from them is too large, as after training that diverged; an earlier checkpoint may be usable"
    )]
    NoNumber {
        /// What is none, as in "the loss is".
        what: &'static str,
    },
    /// There are no maps of a model's attention.
    #[error("there is no attention map: {0}")]
    NoAttention(#[from] vitral_model::attention_maps::NoAttention),
    /// The gradients are not finite, whatever the loss scale.
    #[error(
        "the gradients of step {step} are not finite in f16 even with a loss scale of {scale:e}, so training stopped; the weights are still whole. `train.precision: BF16`, a lower `train.learning_rate` or `model.qk_norm` usually helps"
    )]
    NoLossScale {
        /// The last scale that was tried.
        scale: f64,
        /// The step, counted from 1.
        step: u64,
    },
    /// The device failed.
    #[error("the device failed: {0}")]
    Device(String),
    /// There is not enough memory, even in the smallest pieces.
    #[error("out of memory: {0}")]
    OutOfMemory(String),
    /// Another process trains in the same folder.
    #[error("{} is in use by another run: wait for it, or choose another `output`", .0.display())]
    Locked(PathBuf),
    /// The folder holds a run already.
    #[error("{} already holds a run: resume it with `--resume {}`, or choose another `output`", .0.display(), .0.display())]
    Exists(PathBuf),
    /// Another rank cannot go on.
    #[error("{name}: {reason}")]
    Rank {
        /// Which, and on which host.
        name: String,
        /// Why.
        reason: String,
    },
    /// Ranks have not the same of what they have to have in common.
    #[error(transparent)]
    Disagreement(vitral_distributed::Disagreement),
    /// Ranks could not be told something.
    #[error("cannot tell the ranks what they need to know: {0}")]
    Message(String),
    /// A file of the run.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn words(requests: &[Request]) -> String {
    requests.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn last_saved(saved: Option<&Path>) -> String {
    match saved {
        Some(path) => format!("the last checkpoint, {}, is from before it", path.display()),
        None => "there is no checkpoint from before it".into(),
    }
}

/// Names the file in an I/O error.
pub(crate) trait AtPath<T> {
    fn at(self, path: &Path) -> Result<T, Error>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { path: path.into(), source })
    }
}
