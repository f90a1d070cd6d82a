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

/// A buffer of `len` values, whatever they are: the least of those kept that is large enough, or the
/// largest made larger.
pub(crate) fn take(len: usize) -> Scratch {
    let fits = |kept: &Vec<f32>| (kept.len() < len, kept.len().abs_diff(len));
    let mut memory = KEPT.with_borrow_mut(|kept| {
        let best = (0..kept.len()).min_by_key(|&index| fits(&kept[index]));
        best.map(|index| kept.swap_remove(index)).unwrap_or_default()
    });
    if memory.len() < len {
        // What was in it is of no use, so it goes before there is more.
        drop(std::mem::take(&mut memory));
        memory = vec![0.0; len];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_buffer_that_is_large_enough_is_taken() {
        let kept = || KEPT.with_borrow(|kept| kept.iter().map(Vec::len).collect::<Vec<_>>());
        drop([take(10), take(30), take(20)]);
        let (a, b) = (take(15), take(15));
        assert_eq!((a.len(), b.len(), kept()), (15, 15, vec![10]));
        drop((a, b));
        // None is: the largest makes way, so that small ones stay small.
        drop(take(40));
        let mut sizes = kept();
        sizes.sort_unstable();
        assert_eq!(sizes, [10, 20, 40]);
    }
}
