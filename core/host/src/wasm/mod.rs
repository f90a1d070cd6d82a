//! Plugins as WebAssembly components, which are not trusted.

mod bindings;
mod cache;
mod compiler;
mod convert;
mod deadline;
mod engine;
mod image;
mod instance;
mod keeper;
mod limits;
mod monitor;
mod open;
mod pixels;
mod sandbox;
mod state;
mod trace;
mod wasi;

pub use compiler::{Compiler, compile_for_parent};
pub use engine::WasmEngine;
pub(crate) use open::open;

use std::{sync::Arc, time::Duration};

use vitral_program::Program;

use crate::{
    CallError, ImageAugmentation, Monitor, Permissions, Settings,
    monitor::Recovering,
    plugin::Loaded,
    trace::{Subject, Trace},
};
use image::Augmentation;
use instance::Module;
use keeper::Keeper;
use monitor::Observer;
use open::Exports;

/// What a WebAssembly plugin may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasmOptions {
    /// Memory of one instance, in bytes.
    pub memory: usize,
    /// Time of one call.
    pub time: Duration,
    /// Time of making an instance, describing, configuring and tracing, each.
    pub setup_time: Duration,
    /// Bytes that one call may give back.
    pub output: usize,
    /// What the user grants beside.
    pub permissions: Permissions,
}

impl Default for WasmOptions {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            time: Duration::from_secs(1),
            setup_time: Duration::from_secs(10),
            output: 64 << 20,
            permissions: Permissions::default(),
        }
    }
}

/// An opened component.
struct Wasm {
    module: Arc<Module>,
    exports: Arc<Exports>,
}

impl Loaded for Wasm {
    fn image_augmentation(
        &self,
        plugin: &str,
        settings: &Settings,
    ) -> Result<Box<dyn ImageAugmentation>, CallError> {
        Ok(Box::new(Augmentation(Keeper::new(self, plugin, settings)?)))
    }

    fn monitor(&self, plugin: &str, settings: &Settings) -> Result<Box<dyn Monitor>, CallError> {
        Ok(Box::new(Recovering::new(Observer(Keeper::new(self, plugin, settings)?))))
    }

    fn trace(
        &self,
        plugin: &str,
        settings: &Settings,
        subject: Subject,
        trace: Trace,
    ) -> Result<Program, CallError> {
        self::trace::trace(self, plugin, settings, subject, trace)
    }
}
