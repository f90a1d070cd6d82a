//! The plugins of a run: where they come from, and what they are made into.

mod config;
mod monitors;
mod programs;
mod registry;
mod stages;

pub use config::{PluginConfig, RunAs};
pub(crate) use monitors::Monitors;
pub(crate) use programs::BatchProgram;
pub use programs::{Programs, describe_layer};
pub use registry::{Opened, Registry};
pub use stages::open_stages;
