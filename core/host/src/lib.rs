//! Opens plugins: compiled in, native libraries, WebAssembly components.
//!
//! A [`Plugin`] is opened from any of the three and used in the same way, so that nothing above
//! knows which it is. This crate checks what plugins say and give, keeps WebAssembly within its
//! limits, and turns every failure into a [`CallError`] that names plugin, call and input.

mod declared;
mod describe;
mod error;
mod image;
mod interrupt;
mod loaded;
mod log;
mod monitor;
mod native;
mod permissions;
mod plugin;
mod settings;
mod trace;
#[cfg(feature = "wasm")]
mod wasm;
mod words;

pub use declared::Declared;
pub use error::{Call, CallError, Cause, OpenError};
pub use image::{Image, ImageAugmentation, ImageMut};
pub use interrupt::Interrupt;
pub use monitor::Monitor;
pub use permissions::{FileGrant, Peer, Permissions};
pub use plugin::{Origin, Plugin};
pub use settings::{SettingError, Settings};
pub use vitral_abi::{
    Action, Attribute, AttributeValue, Initializer, Kind, LogLevel, MAGNITUDES, Parameter,
    ParameterType, Value, plain::*,
};
#[cfg(feature = "wasm")]
pub use wasm::{Compiler, WasmEngine, WasmOptions, compile_for_parent};
