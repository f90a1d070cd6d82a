//! What an instance may have of memory, tables and parts.

use wasmtime::{ResourceLimiter, Result};

/// The most elements of all tables together.
const MAX_ELEMENTS: usize = 1 << 20;
/// The most instances of modules, tables and memories of a component, each.
const MAX_PARTS: usize = 256;

/// Counts what one instance has.
pub(super) struct Limits {
    /// Bytes that all memories together may have.
    most: usize,
    memory: usize,
    elements: usize,
    refused: bool,
}

impl Limits {
    pub(super) const fn new(most: usize) -> Self {
        Self { most, memory: 0, elements: 0, refused: false }
    }

    /// A call begins.
    pub(super) const fn begin(&mut self) {
        self.refused = false;
    }

    /// Whether more memory was wanted in this call than there may be.
    pub(super) const fn memory_refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let grown = self.memory.saturating_add(desired.saturating_sub(current));
        let fits = grown <= self.most;
        if fits {
            self.memory = grown;
        } else {
            self.refused = true;
        }
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        // What was counted stays counted: the system itself is out of memory.
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        let grown = self.elements.saturating_add(desired.saturating_sub(current));
        let fits = grown <= MAX_ELEMENTS;
        if fits {
            self.elements = grown;
        }
        Ok(fits)
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}
