//! What a run writes. Of several ranks, one has it.

use crate::{checkpoint::CheckpointManager, run_folder::RunFolder};

/// A run's folder, and the checkpoints in it.
pub(super) struct Files {
    pub(super) folder: RunFolder,
    pub(super) checkpoints: CheckpointManager,
}
