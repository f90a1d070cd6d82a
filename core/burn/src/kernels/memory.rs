//! Memory of tensors that is used again from one step to the next.
//!
//! A training step makes the same large tensors each time. Fresh memory costs a page fault for every
//! four kilobytes, and Burn's own allocation writes zeros to it; what comes from here does neither.
//! Tensors of all sizes share it, so that a step takes what is used at the same time and little more:
//! gradients lie where the activations were that they came from.

use std::{
    alloc::{Layout as Memory, alloc, dealloc, handle_alloc_error},
    collections::BTreeMap,
    marker::PhantomData,
    mem::MaybeUninit,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    sync::{Mutex, MutexGuard, PoisonError},
};

use burn::{
    backend::{
        Flex,
        flex::{FlexTensor, Layout},
    },
    tensor::{Device, Element, Shape, Tensor, TensorData},
};
use burn_std::{AccessError, AccessPolicy, AllocationController, AllocationProperty, Bytes};
use bytemuck::Pod;
use half::bf16;

use crate::cpu::is_cpu;

/// A cache line, and an AVX-512 vector.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

const LINE: usize = 16;

/// Lines of the smallest slab, and of the largest that more than one tensor shares: 4 and 64 MiB. What
/// no tensor ever was in is only reserved.
const SLAB: [usize; 2] = [(4 << 20) / size_of::<Line>(), (64 << 20) / size_of::<Line>()];

/// Which of the free places memory is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The first: for what is made in forward, and goes in the opposite order.
    First,
    /// The last: for gradients, which become weights and outlast the step. Close together they leave
    /// the rest in one piece.
    Last,
}

/// Which lines of a slab are free.
#[derive(Debug, PartialEq, Eq)]
struct Lines {
    count: usize,
    /// From here on they have never been used.
    fresh: usize,
    /// Free lines before that: where each piece starts, and its length. No two touch.
    holes: BTreeMap<usize, usize>,
}

impl Lines {
    const fn new(count: usize) -> Self {
        Self { count, fresh: 0, holes: BTreeMap::new() }
    }

    fn is_unused(&self) -> bool {
        self.holes.get(&0).copied().unwrap_or(0) == self.fresh
    }

    /// The start of so many lines that were used before.
    fn take_used(&mut self, lines: usize, place: Place) -> Option<usize> {
        let fits = |&(_, &len): &(&usize, &usize)| len >= lines;
        let (&start, &len) = match place {
            Place::First => self.holes.iter().find(fits),
            Place::Last => self.holes.iter().rev().find(fits),
        }?;
        self.holes.remove(&start);
        let left = len - lines;
        let (taken, rest) = match place {
            Place::First => (start, start + lines),
            Place::Last => (start + left, start),
        };
        if left > 0 {
            self.holes.insert(rest, left);
        }
        Some(taken)
    }

    /// The start of so many lines at the end of those that were used before.
    fn take_fresh(&mut self, lines: usize) -> Option<usize> {
        let last = self.holes.last_key_value().filter(|&(start, len)| start + len == self.fresh);
        let start = last.map_or(self.fresh, |(&start, _)| start);
        if self.count - start < lines {
            return None;
        }
        self.holes.remove(&start);
        self.fresh = start + lines;
        Some(start)
    }

    fn give_back(&mut self, mut start: usize, mut lines: usize) {
        if let Some(next) = self.holes.remove(&(start + lines)) {
            lines += next;
        }
        let before = self.holes.range(..start).next_back();
        if let Some((&before, &len)) = before.filter(|&(before, len)| before + len == start) {
            (start, lines) = (before, len + lines);
        }
        self.holes.insert(start, lines);
    }
}

/// Memory for several tensors.
struct Slab {
    memory: NonNull<Line>,
    lines: Lines,
}

// SAFETY: nothing but the slab leads to its memory, and to each part of that a buffer, which is alone there.
unsafe impl Send for Slab {}

impl Slab {
    fn layout(lines: usize) -> Memory {
        Memory::array::<Line>(lines)
            .unwrap_or_else(|_| panic!("{lines} lines are more than there are"))
    }

    /// A slab of so many lines, which are more than none.
    fn new(lines: usize) -> Self {
        let layout = Self::layout(lines);
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc(layout) };
        let Some(memory) = NonNull::new(memory.cast()) else { handle_alloc_error(layout) };
        Self { memory, lines: Lines::new(lines) }
    }

    /// Lines that were used before.
    fn take_used(&mut self, lines: usize, place: Place) -> Option<NonNull<Line>> {
        let start = self.lines.take_used(lines, place)?;
        // SAFETY: they lie within the slab.
        Some(unsafe { self.memory.add(start) })
    }

    /// Lines of which at least the last was never used, now zero.
    fn take_fresh(&mut self, lines: usize) -> Option<NonNull<Line>> {
        let before = self.lines.fresh;
        let start = self.lines.take_fresh(lines)?;
        // SAFETY: all lie within the slab, and no buffer has those that are free.
        unsafe {
            self.memory.add(before).write_bytes(0, self.lines.fresh - before);
            Some(self.memory.add(start))
        }
    }

    /// Which of its lines this is, if it is one.
    fn position(&self, memory: NonNull<Line>) -> Option<usize> {
        let bytes = memory.addr().get().checked_sub(self.memory.addr().get())?;
        Some(bytes / size_of::<Line>()).filter(|&line| line < self.lines.count)
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: it was allocated so, and whoever drops a slab sees to it that no buffer is in it.
        unsafe { dealloc(self.memory.cast().as_ptr(), Self::layout(self.lines.count)) }
    }
}

/// All memory of tensors.
struct Pool {
    slabs: Vec<Slab>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { slabs: Vec::new() });

impl Pool {
    fn get() -> MutexGuard<'static, Self> {
        POOL.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&mut self, lines: usize, place: Place) -> NonNull<Line> {
        if lines == 0 {
            return NonNull::dangling();
        }
        let slabs = self.slabs.iter_mut();
        let used = match place {
            Place::First => slabs.into_iter().find_map(|slab| slab.take_used(lines, place)),
            Place::Last => slabs.rev().find_map(|slab| slab.take_used(lines, place)),
        };
        let taken = used.or_else(|| self.slabs.iter_mut().find_map(|slab| slab.take_fresh(lines)));
        taken.unwrap_or_else(|| {
            let reserved: usize = self.slabs.iter().map(|slab| slab.lines.count).sum();
            let [least, most] = SLAB;
            let mut slab = Slab::new(lines.max(reserved.clamp(least, most)));
            let taken = slab.take_fresh(lines);
            self.slabs.push(slab);
            taken.unwrap_or_else(|| unreachable!("a new slab is large enough"))
        })
    }

    fn give_back(&mut self, memory: NonNull<Line>, lines: usize) {
        if lines == 0 {
            return;
        }
        let mut slabs = self.slabs.iter_mut();
        let found = slabs.find_map(|slab| Some((slab.position(memory)?, slab)));
        let Some((start, slab)) = found else { unreachable!("it was taken from a slab") };
        slab.lines.give_back(start, lines);
    }

    fn release(&mut self) {
        self.slabs.retain(|slab| !slab.lines.is_unused());
    }
}

/// Frees memory that no tensor uses, where it does not lie between what tensors use.
///
/// For whoever has made tensors that are larger than those to come.
pub(crate) fn release() {
    Pool::get().release();
}

/// A type of values that kernels keep: `f32` or `bf16`.
pub(crate) trait Stored: vitral_kernels::Compiled + Element + Pod {
    /// Whether branches keep what their LayerNorm gave in the place of what went into it: in `bf16` that is
    /// half of it.
    const KEEPS_NORM: bool;
}

impl Stored for f32 {
    const KEEPS_NORM: bool = false;
}

impl Stored for bf16 {
    const KEEPS_NORM: bool = true;
}

/// Memory for the values of one tensor, of `f32` or `bf16`; it goes back to the pool when the tensor is
/// dropped.
#[derive(Debug)]
pub struct Buffer<T = f32> {
    memory: NonNull<Line>,
    lines: usize,
    len: usize,
    values: PhantomData<T>,
}

// SAFETY: the memory is the buffer's alone, and plain values are in it.
unsafe impl<T: Send> Send for Buffer<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Buffer<T> {}

impl<T: Element + Pod> Buffer<T> {
    /// Memory for `len` values, whatever they are.
    pub fn new(len: usize) -> Self {
        Self::at(len, Place::First)
    }

    /// The same for the gradients of a parameter, whose place the optimizer's new values take.
    pub fn of_gradient(len: usize) -> Self {
        Self::at(len, Place::Last)
    }

    fn at(len: usize, place: Place) -> Self {
        let lines = (len * size_of::<T>()).div_ceil(size_of::<Line>());
        Self { memory: Pool::get().take(lines, place), lines, len, values: PhantomData }
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

/// A tensor of these values that lasts: on the CPU, where gradients become weights, it lies among those.
///
/// # Panics
/// If the shape has another number of values.
pub fn lasting<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    if !is_cpu(device) {
        return Tensor::from_data(TensorData::new(values.to_vec(), shape), device);
    }
    let mut buffer = Buffer::<f32>::of_gradient(values.len());
    buffer.copy_from_slice(values);
    let tensor = Tensor::from_primitive::<Flex>(buffer.into_tensor(shape));
    if device.is_autodiff() { tensor.autodiff() } else { tensor }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        Pool::get().give_back(self.memory, self.lines);
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: lines are initialised, plain bytes that follow each other, there are enough of them, any
        // are values, and all is this buffer's.
        unsafe { std::slice::from_raw_parts(self.memory.cast().as_ptr(), self.len) }
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.memory.cast().as_ptr(), self.len) }
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
        let len = self.lines * size_of::<Line>();
        // SAFETY: plain values of that size, which are this buffer's.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.memory.cast().as_ptr(), len) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let len = self.lines * size_of::<Line>();
        // SAFETY: as above.
        Ok(unsafe { std::slice::from_raw_parts(self.memory.cast().as_ptr(), len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_sizes_share_memory() {
        let mut lines = Lines::new(100);
        let starts = [20, 30, 10].map(|count| lines.take_fresh(count).unwrap());
        assert_eq!((starts, lines.fresh), ([0, 20, 50], 60));
        assert!(lines.take_fresh(41).is_none() && lines.take_used(1, Place::First).is_none());
        // What is free on both sides becomes one piece with it.
        lines.give_back(0, 20);
        lines.give_back(50, 10);
        assert_eq!(lines.holes, BTreeMap::from([(0, 20), (50, 10)]));
        lines.give_back(20, 30);
        assert_eq!(lines.holes, BTreeMap::from([(0, 60)]));
        assert!(lines.is_unused());
        // From both ends; then from the last that is free on, which is in part used before.
        assert_eq!(lines.take_used(25, Place::First), Some(0));
        assert_eq!(lines.take_used(15, Place::Last), Some(45));
        assert_eq!(lines.take_used(21, Place::First), None);
        assert_eq!(lines.take_fresh(21), Some(60));
        lines.give_back(60, 21);
        assert_eq!((lines.take_fresh(40), lines.fresh), (Some(60), 100));
        assert_eq!(lines.holes, BTreeMap::from([(25, 20)]));
        assert!(!lines.is_unused());
    }

    /// Gradients lie where activations were, and the next step's activations where the old weights were.
    #[test]
    fn steps_take_what_is_used_at_the_same_time() {
        let mut pool = Pool { slabs: Vec::new() };
        let fresh = |pool: &Pool| pool.slabs.iter().map(|slab| slab.lines.fresh).sum::<usize>();
        let (layers, kept, of_weights) = (12, [40, 15, 60], [18, 23]);
        let mut weights: Vec<(NonNull<Line>, usize)> = Vec::new();
        for _ in 0..6 {
            let mut activations: Vec<_> = (0..layers)
                .map(|_| kept.map(|lines| (pool.take(lines, Place::First), lines)))
                .collect();
            let mut gradients = Vec::new();
            while let Some(layer) = activations.pop() {
                let passed_on = pool.take(15, Place::First);
                gradients.extend(of_weights.map(|lines| (pool.take(lines, Place::Last), lines)));
                layer.into_iter().for_each(|(memory, lines)| pool.give_back(memory, lines));
                pool.give_back(passed_on, 15);
            }
            let old = std::mem::replace(&mut weights, gradients);
            old.into_iter().for_each(|(memory, lines)| pool.give_back(memory, lines));
        }
        let one: usize = of_weights.iter().sum();
        let most = layers * (kept.iter().sum::<usize>() + one) + 15 + one;
        assert!(fresh(&pool) <= most + most / 10, "{} lines for {most}", fresh(&pool));
        weights.into_iter().for_each(|(memory, lines)| pool.give_back(memory, lines));
        pool.release();
        assert!(pool.slabs.is_empty());
    }

    #[test]
    fn slabs_are_released_when_no_tensor_is_in_them() {
        let mut pool = Pool { slabs: Vec::new() };
        let [least, most] = SLAB;
        let (small, large) = (pool.take(3, Place::First), pool.take(most + 1, Place::First));
        assert_eq!(
            pool.slabs.iter().map(|slab| slab.lines.count).collect::<Vec<_>>(),
            [least, most + 1]
        );
        pool.release();
        assert_eq!(pool.slabs.len(), 2);
        pool.give_back(large, most + 1);
        pool.release();
        assert_eq!(pool.slabs.len(), 1);
        pool.give_back(small, 3);
        pool.release();
        assert!(pool.slabs.is_empty());
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
