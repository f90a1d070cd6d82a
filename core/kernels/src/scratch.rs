//! Memory for intermediate values, kept by each thread from one call to the next.

use std::{
    cell::RefCell,
    ops::{Deref, DerefMut},
};

thread_local! {
    static KEPT: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that goes back to its thread when it is dropped.
pub(crate) struct Scratch {
    memory: Vec<f32>,
    len: usize,
}

/// A buffer of `len` values, whatever they are.
pub(crate) fn take(len: usize) -> Scratch {
    let mut memory = KEPT.with_borrow_mut(Vec::pop).unwrap_or_default();
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    Scratch { memory, len }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        KEPT.with_borrow_mut(|kept| kept.push(memory));
    }
}

impl Deref for Scratch {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        &self.memory[..self.len]
    }
}

impl DerefMut for Scratch {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[..self.len]
    }
}
