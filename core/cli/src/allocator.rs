//! Where memory comes from, and what is said when there is no more.

use std::{
    alloc::{GlobalAlloc, Layout},
    io::Write as _,
    sync::atomic::{AtomicBool, Ordering},
};

use libmimalloc_sys::{mi_collect, mi_option_set_default, mi_option_t};
use mimalloc::MiMalloc;
use vitral_model::device::give_back_by;

/// mimalloc. A training step frees and takes the same large buffers again and again; the system's
/// allocator would give each back to the kernel and fault it in anew, which costs a third of the step.
///
/// Where memory runs out, Rust ends the process by `abort`, after a line that names the bytes. This tells
/// before that what takes less. What comes after it, and the exit code, are Rust's: only an unstable hook
/// could change them, and nothing but `abort` is sound inside an allocation.
pub struct Allocator;

// SAFETY: all is mimalloc's, which keeps the contract; what is told neither allocates nor unwinds.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that mimalloc wants.
        told(unsafe { MiMalloc.alloc(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from mimalloc.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those that mimalloc wants.
        told(unsafe { MiMalloc.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the pointer came from mimalloc, and the caller's promises are those that it wants.
        told(unsafe { MiMalloc.realloc(pointer, layout, size) }, size)
    }
}

/// `mi_option_purge_delay`, for which the crate has no name: after how many milliseconds mimalloc gives memory that is
/// free back to the system. 1,000, if nothing is said.
const PURGE_DELAY: mi_option_t = 15;

/// Has free memory be given back once a minute, unless `MIMALLOC_PURGE_DELAY` says otherwise, and where
/// `release_memory` asks for it. Steps of large models take longer than a second, and would otherwise fault in anew what
/// the step before gave back. To be called before there are other threads.
pub fn keep_free_memory() {
    // SAFETY: the option exists, and no other thread sets one.
    unsafe { mi_option_set_default(PURGE_DELAY, 60_000) };
    // SAFETY: it may be called at any time.
    give_back_by(|| unsafe { mi_collect(true) });
}

fn told(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() {
        tell(bytes);
    }
    pointer
}

/// Says once that memory has run out.
#[cold]
fn tell(bytes: usize) {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if !TOLD.swap(true, Ordering::Relaxed) {
        // Formatting a number allocates nothing, nor does writing to standard error.
        let _ = writeln!(
            std::io::stderr(),
            "error: out of memory: {bytes} more bytes cannot be allocated\n  help: to train with \
             less memory, `--set 'train.batch=Auto(effective: 128)'` finds micro-batches that fit, \
             with the same results; `train.activation_checkpointing: EveryBlock` and fewer \
             `data.workers` save memory, too"
        );
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    /// Where the environment does not set it, it has the default of the one that is meant.
    #[test]
    fn the_option_is_the_one_that_is_meant() {
        let set = ["MIMALLOC_PURGE_DELAY", "MIMALLOC_RESET_DELAY"].map(std::env::var_os);
        if set.iter().all(Option::is_none) {
            // SAFETY: it reads a number.
            assert_eq!(unsafe { mi_option_get(PURGE_DELAY) }, 1000, "its default");
        }
    }
}
