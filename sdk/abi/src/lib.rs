//! The contract between Vitral and its plugins, as Rust types.
//!
//! `contract.rs` says what crosses the boundary. [`plain`] types are what both the SDK and the host
//! speak. [`c`] is their form at the boundary of a native library, with `sdk/include/vitral_plugin.h` as
//! its header, and [`convert`] goes between the two; `sdk/wit/` has their form at the boundary of a
//! WebAssembly component, and [`wit`] goes to and from that.

#[macro_use]
mod contract;

mod build;
pub mod c;
pub mod convert;
mod description;
mod monitor;
pub mod plain;
mod trace;
mod value;
pub mod wit;

pub use contract::VERSION;
pub use description::{Kind, Parameter, ParameterType};
pub use monitor::{Action, MAGNITUDES};
pub use plain::*;
pub use trace::{Attribute, AttributeValue, Initializer, LogLevel};
pub use value::Value;
