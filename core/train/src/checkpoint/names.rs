//! The files of every checkpoint, and the version of their format.

pub(super) const MODEL: &str = "model.safetensors";
pub(super) const EMA: &str = "ema.safetensors";
pub(super) const OPTIMIZER: &str = "optimizer.safetensors";
pub(super) const IMPORTANCE: &str = "importance.safetensors";
pub(super) const STATE: &str = "state.ron";
pub(super) const CONFIG: &str = "config.ron";

/// The version of the format that this program writes; it reads every version up to it.
pub(super) const FORMAT: u32 = 1;
