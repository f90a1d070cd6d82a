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
        maximum: Option<usize>,
    ) -> Result<bool> {
        let grown = self.memory.saturating_add(desired.saturating_sub(current));
        self.refused |= grown > self.most;
        // What is more than the module allows its own memory fails in any case: nobody has these bytes.
        let fits = grown <= self.most && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.memory = grown;
        }
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> Result<()> {
        // What was counted stays counted, as this is called where nothing was counted, too: a module that
        // grew, and then asks for the impossible, must not have its bytes forgotten.
        self.refused = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let grown = self.elements.saturating_add(desired.saturating_sub(current));
        let fits = grown <= MAX_ELEMENTS && maximum.is_none_or(|maximum| desired <= maximum);
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

#[cfg(test)]
mod tests {
    use wasmtime::{Engine, Instance, Module, Store};

    use super::*;

    /// A page of memory.
    const PAGE: usize = 1 << 16;

    /// What has been counted after calls of a module with a memory and a table of these sizes.
    fn after(memory: &str, table: &str, calls: &[&str]) -> Limits {
        let text = format!(
            r#"(module
            (memory {memory})
            (table {table} funcref)
            (func (export "grow memory") (drop (memory.grow (i32.const 2))))
            (func (export "grow memory far") (drop (memory.grow (i32.const 65535))))
            (func (export "grow memory beyond all") (drop (memory.grow (i32.const 65536))))
            (func (export "grow table") (drop (table.grow (ref.null func) (i32.const 3)))))"#
        );
        let engine = Engine::default();
        let module = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
        let mut store = Store::new(&engine, Limits::new(8 * PAGE));
        store.limiter(|limits| limits);
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        for call in calls {
            let call = instance.get_typed_func::<(), ()>(&mut store, call).unwrap();
            call.call(&mut store, ()).unwrap();
        }
        store.into_data()
    }

    #[test]
    fn what_a_module_refuses_itself_is_not_counted() {
        // The second of each is too much.
        let twice = ["grow memory", "grow memory", "grow table", "grow table"];
        let limits = after("1 3", "2 5", &twice);
        assert_eq!((limits.memory, limits.elements), (3 * PAGE, 5));
        assert!(!limits.memory_refused(), "the limit was not reached");
        let limits = after("1", "2", &twice);
        assert_eq!((limits.memory, limits.elements), (5 * PAGE, 8));
    }

    #[test]
    fn what_a_module_has_is_counted_also_after_it_asked_for_the_impossible() {
        let limits = after("1", "2", &["grow memory", "grow memory beyond all"]);
        assert_eq!(limits.memory, 3 * PAGE);
        assert!(limits.memory_refused());
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let limits = after("1", "2", &["grow memory far"]);
        assert!(limits.memory_refused() && limits.memory == PAGE);
    }
}
