//! The WebAssembly engine: compiles components, and lets time pass for all calls.

use std::{path::Path, thread};

use wasmtime::{Engine, component::Component};

use super::{
    cache::Cache,
    compiler::Compiler,
    config::{TICK, config},
};
use crate::{Interrupt, OpenError};

/// A component of so many bytes compiles for seconds, which is told. Those with an interpreter have more.
const LARGE: usize = 4 << 20;

/// Compiles WebAssembly, and keeps what it has compiled. A process needs one.
pub struct WasmEngine {
    engine: Engine,
    compiler: Compiler,
    cache: Option<Cache>,
    interrupt: Interrupt,
    tell: Option<fn(&str)>,
}

impl WasmEngine {
    /// An engine that keeps compiled components in a folder, or not at all.
    ///
    /// # Errors
    /// This machine cannot run WebAssembly.
    pub fn new(cache: Option<&Path>) -> Result<Self, OpenError> {
        let refuse =
            |error: wasmtime::Error| OpenError::new("the WebAssembly engine", format!("{error:#}"));
        let engine = Engine::new(&config()).map_err(refuse)?;
        // The thread ends when nobody has the engine any more.
        let weak = engine.weak();
        let tick = move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        };
        thread::Builder::new()
            .name("vitral-epochs".into())
            .spawn(tick)
            .map_err(|error| OpenError::new("the WebAssembly engine", error.to_string()))?;
        let cache = cache.map(|folder| Cache::new(folder, &engine));
        let (compiler, interrupt) = (Compiler::default(), Interrupt::default());
        Ok(Self { cache, engine, compiler, interrupt, tell: None })
    }

    /// The same, compiling elsewhere than in this process.
    pub fn compiled_by(self, compiler: Compiler) -> Self {
        Self { compiler, ..self }
    }

    /// The same, telling when something is compiled that takes seconds.
    pub fn telling(self, tell: fn(&str)) -> Self {
        Self { tell: Some(tell), ..self }
    }

    /// The same, with a switch that has calls end early.
    pub fn with_interrupt(self, interrupt: Interrupt) -> Self {
        Self { interrupt, ..self }
    }

    pub(super) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Compiles a component into the cache, if it is not there, so that it opens at once later. Nothing of it
    /// is run.
    ///
    /// # Errors
    /// It is none, or its compiler takes too much.
    pub fn prepare(&self, name: &str, bytes: &[u8]) -> Result<(), OpenError> {
        self.compile(bytes).map(drop).map_err(|problem| OpenError::new(name, problem))
    }

    /// Compiles a component, unless it is in the cache.
    ///
    /// # Errors
    /// It is none, or its compiler takes too much, in words.
    pub(super) fn compile(&self, bytes: &[u8]) -> Result<Component, String> {
        let known = self.cache.as_ref().and_then(|cache| cache.load(&self.engine, bytes));
        if let Some(component) = known {
            return Ok(component);
        }
        if let Some(tell) = self.tell.filter(|_| bytes.len() >= LARGE) {
            let kept = if self.cache.is_some() { ", once" } else { "" };
            tell(&format!("compiling {} MiB of WebAssembly{kept}", bytes.len() >> 20));
        }
        let (component, compiled) = self.compiler.compile(&self.engine, bytes)?;
        if let Some(cache) = &self.cache {
            cache.store(bytes, &compiled);
        }
        Ok(component)
    }
}
