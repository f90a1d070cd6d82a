//! The contract between Vitral and its plugins, as Rust types.
//!
//! Plain types ([`Description`], [`Event`], ...) are what both the SDK and the host speak. [`c`] is
//! their form at the boundary of a native library, with `sdk/include/vitral_plugin.h` as its header;
//! `sdk/wit/` has their form at the boundary of a WebAssembly component. [`convert`] goes between
//! plain and C types.

mod build;
pub mod c;
pub mod convert;
mod description;
mod monitor;
mod trace;

pub use description::{Description, Example, Kind, Parameter, ParameterType, Setting, Value};
pub use monitor::{
    Action, Checkpoint, DataReport, Distribution, Evaluation, Event, Figures, Interests,
    LayerReport, MAGNITUDES, Memory, ParameterStatistics, RateChange, Run, StageTime, Step,
    Timings,
};
pub use trace::{Attribute, AttributeValue, Batch, Initializer, Layer, LogLevel, Sample};

/// The contract's version: plugins of the same major version and at most this minor version load.
pub const VERSION: (u16, u16) = (1, 1);
