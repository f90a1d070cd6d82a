//! Memory for intermediate values, kept by each thread from one call to the next.

use std::{
    cell::RefCell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

use crate::element::Element;

/// A cache line, and an AVX-512 vector: what is packed starts at one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

thread_local! {
    static KEPT: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that goes back to its thread when it is dropped.
pub(crate) struct Scratch<T = f32> {
    memory: Vec<Line>,
    len: usize,
    element: PhantomData<T>,
}

/// A buffer of `len` values, whatever they are: the least of those kept that is large enough, or the
/// largest made larger.
pub(crate) fn take<T: Element>(len: usize) -> Scratch<T> {
    let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
    Scratch { memory: take_lines(lines), len, element: PhantomData }
}

fn take_lines(len: usize) -> Vec<Line> {
    if len == 0 {
        return Vec::new();
    }
    let fits = |kept: &Vec<Line>| (kept.len() < len, kept.len().abs_diff(len));
    let mut memory = KEPT.with_borrow_mut(|kept| {
        let best = (0..kept.len()).min_by_key(|&index| fits(&kept[index]));
        best.map(|index| kept.swap_remove(index)).unwrap_or_default()
    });
    if memory.len() < len {
        // What was in it is of no use, so it goes before there is more.
        drop(std::mem::take(&mut memory));
        memory = vec![Line([0.0; 16]); len];
    }
    memory
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if !memory.is_empty() {
            KEPT.with_borrow_mut(|kept| kept.push(memory));
        }
    }
}

impl<T: Element> Deref for Scratch<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: lines are plain values that follow each other, and there are enough of them for
        // `len` values; any bits are values of an element.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.len) }
    }
}

impl<T: Element> DerefMut for Scratch<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn the_least_buffer_that_is_large_enough_is_taken() {
        let kept = || KEPT.with_borrow(|kept| kept.iter().map(Vec::len).collect::<Vec<_>>());
        // Lines have 16 values of `f32`, and 32 of `bf16`.
        drop([take::<f32>(160), take(480), take(320)]);
        let (a, b) = (take::<f32>(225), take::<bf16>(450));
        assert_eq!((a.len(), b.len(), kept()), (225, 450, vec![10]));
        drop((a, b));
        // Nothing takes none of them.
        drop(take::<f32>(0));
        assert_eq!(kept().len(), 3);
        // None is: the largest makes way, so that small ones stay small.
        drop(take::<f32>(640));
        let mut sizes = kept();
        sizes.sort_unstable();
        assert_eq!(sizes, [10, 20, 40]);
    }
}
