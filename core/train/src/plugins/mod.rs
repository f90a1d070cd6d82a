//! The plugins of a run: where they come from, and what they are made into.

mod config;
mod former;
mod monitors;
mod programs;
mod refusal;
mod registry;
mod stages;
mod unpacked;
mod uses;
mod wants;

pub use config::{PluginConfig, RunAs};
pub use former::instead_of;
pub(crate) use monitors::Monitors;
pub(crate) use programs::{BatchProgram, attention_limits, batch_limits};
pub use programs::{Programs, describe_layer};
pub use registry::{Build, Fetch, Opened, Registry, Source, Yanked};
pub use stages::open_stages;
