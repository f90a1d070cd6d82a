//! Memory of tensors that is used again from one step to the next.
//!
//! A training step makes the same large tensors each time. Fresh memory costs a page fault for every
//! four kilobytes, and Burn's own allocation writes zeros to it; what comes from here does neither.

use std::{
    collections::HashMap,
    marker::PhantomData,
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

use burn::{
    backend::flex::{FlexTensor, Layout},
    tensor::{Element, Shape},
};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use bytemuck::Pod;
use half::bf16;

/// A cache line, and an AVX-512 vector.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Memory that no tensor uses now.
///
/// It holds no more than keeps the sum of used and unused memory at what was once used at the same
/// time, and a quarter more: the gradients that a step makes have other sizes than the activations
/// whose place they take, and would be freed for these in each step, and these for them.
struct Pool {
    unused: HashMap<usize, Vec<(u64, Vec<Line>)>>,
    unused_lines: usize,
    used_lines: usize,
    most_used: usize,
    clock: u64,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

impl Pool {
    fn with<R>(body: impl FnOnce(&mut Self) -> R) -> R {
        let mut pool: MutexGuard<'_, Option<Self>> =
            POOL.lock().unwrap_or_else(PoisonError::into_inner);
        body(pool.get_or_insert_with(|| Self {
            unused: HashMap::new(),
            unused_lines: 0,
            used_lines: 0,
            most_used: 0,
            clock: 0,
        }))
    }

    fn take(&mut self, lines: usize) -> Option<Vec<Line>> {
        self.used_lines += lines;
        self.most_used = self.most_used.max(self.used_lines);
        let found = self.unused.get_mut(&lines).and_then(Vec::pop);
        if found.is_some() {
            self.unused_lines -= lines;
        }
        self.shrink();
        found.map(|(_, memory)| memory)
    }

    fn give_back(&mut self, memory: Vec<Line>) {
        let lines = memory.len();
        self.used_lines -= lines;
        self.unused_lines += lines;
        self.clock += 1;
        self.unused.entry(lines).or_default().push((self.clock, memory));
        self.shrink();
    }

    fn release(&mut self) {
        self.most_used = 0;
        self.shrink();
        self.most_used = self.used_lines;
    }

    /// Frees what was not used for longest, as long as there is too much.
    fn shrink(&mut self) {
        let most = self.most_used + self.most_used / 4;
        while self.unused_lines > 0 && self.used_lines + self.unused_lines > most {
            let oldest = self
                .unused
                .iter()
                .filter_map(|(&lines, kept)| kept.first().map(|&(clock, _)| (clock, lines)))
                .min();
            let Some((_, lines)) = oldest else { return };
            if let Some(kept) = self.unused.get_mut(&lines) {
                kept.remove(0);
                self.unused_lines -= lines;
                if kept.is_empty() {
                    self.unused.remove(&lines);
                }
            }
        }
    }
}

/// Frees all memory that no tensor uses, and forgets how much was once used at the same time.
///
/// For whoever has made tensors that are larger than those to come.
pub(crate) fn release() {
    Pool::with(Pool::release);
}

/// A type of values that kernels keep: `f32` or `bf16`.
pub(crate) trait Stored: vitral_kernels::element::Element + Element + Pod {}

impl Stored for f32 {}

impl Stored for bf16 {}

/// Memory for the values of one tensor, of `f32` or `bf16`; it goes back to the pool when the tensor is
/// dropped.
#[derive(Debug)]
pub struct Buffer<T = f32> {
    lines: Vec<Line>,
    len: usize,
    values: PhantomData<T>,
}

impl<T: Element + Pod> Buffer<T> {
    /// Memory for `len` values, whatever they are.
    pub fn new(len: usize) -> Self {
        let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        let memory = Pool::with(|pool| pool.take(lines));
        let lines = memory.unwrap_or_else(|| vec![Line([0.0; LINE]); lines]);
        Self { lines, len, values: PhantomData }
    }

    /// A tensor of these values, row by row.
    ///
    /// # Panics
    /// If the shape has another number of values.
    pub fn into_tensor(self, shape: impl Into<Shape>) -> FlexTensor {
        let shape = shape.into();
        assert_eq!(shape.num_elements(), self.len);
        let len = self.len * size_of::<T>();
        // SAFETY: all of the memory is initialised.
        let bytes = unsafe { Bytes::from_controller(Box::new(self), len) };
        FlexTensor::new(bytes, Layout::contiguous(shape), T::dtype())
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.lines);
        Pool::with(|pool| pool.give_back(memory));
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: lines are plain bytes that follow each other, there are enough of them, and any are values.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl<T: Pod + Send> AllocationController for Buffer<T> {
    fn alloc_align(&self) -> usize {
        align_of::<Line>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(
        &mut self,
        _: AccessPolicy,
    ) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let len = self.lines.len() * size_of::<Line>();
        // SAFETY: plain values of that size.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), len) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let len = self.lines.len() * size_of::<Line>();
        // SAFETY: plain values of that size.
        Ok(unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> Pool {
        Pool { unused: HashMap::new(), unused_lines: 0, used_lines: 0, most_used: 0, clock: 0 }
    }

    #[test]
    fn the_pool_keeps_no_more_than_was_used_at_once() {
        let mut pool = pool();
        let memory = |lines: usize| vec![Line([0.0; LINE]); lines];
        assert!(pool.take(10).is_none());
        assert!(pool.take(5).is_none());
        pool.give_back(memory(10));
        pool.give_back(memory(5));
        assert_eq!((pool.used_lines, pool.unused_lines), (0, 15));
        // The same sizes come back; another size has the oldest memory freed.
        assert!(pool.take(10).is_some());
        pool.give_back(memory(10));
        assert!(pool.take(9).is_none());
        assert_eq!((pool.used_lines, pool.unused_lines), (9, 0));
        pool.give_back(memory(9));
        assert!(pool.take(9).is_some());
        // A quarter of 15 is kept beyond what was used.
        assert!(pool.take(3).is_none());
        pool.give_back(memory(3));
        assert!(pool.take(7).is_none());
        assert_eq!((pool.used_lines, pool.unused_lines), (16, 3));
    }

    #[test]
    fn released_memory_is_not_kept_again() {
        let mut pool = pool();
        pool.take(3);
        pool.take(10);
        pool.give_back(vec![Line([0.0; LINE]); 10]);
        pool.release();
        assert_eq!((pool.used_lines, pool.unused_lines, pool.most_used), (3, 0, 3));
    }

    #[test]
    fn tensors_read_what_was_written() {
        let mut buffer = Buffer::<f32>::new(6);
        buffer.copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut tensor = buffer.into_tensor([2, 3]);
        tensor.storage_mut::<f32>()[0] = 7.0;
        assert_eq!(tensor.as_slice::<f32>().unwrap(), [7.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let copy = tensor.clone().into_data();
        assert_eq!(copy.as_slice::<f32>().unwrap()[5], 6.0);
    }
}
