//! Plugins as WebAssembly components, which are not trusted.

mod bindings;
mod cache;
mod compiler;
mod config;
mod convert;
mod deadline;
mod engine;
mod exports;
mod handle;
mod image;
mod instance;
mod keeper;
mod limits;
mod loaded;
mod monitor;
mod network;
mod open;
mod options;
mod pixels;
mod sandbox;
mod state;
mod trace;
mod wasi;

pub use compiler::{Compiler, compile_for_parent};
pub use engine::WasmEngine;
pub(crate) use open::open;
pub use options::WasmOptions;
