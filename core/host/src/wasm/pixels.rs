//! An image's pixels on their way into a component and back out of it: from the caller's memory and
//! into the same, with no memory in between.
//!
//! The bindings that wasmtime makes would lift a list into a vector. [`Pixels`] stands for the list
//! instead; what it copies from and to is the place that [`in_place`] sets for the time of a call.
//! This needs the hidden part of `wasmtime::component`, which its derived implementations use, too.

use std::{cell::Cell, mem::MaybeUninit, ptr::NonNull};

use wasmtime::{
    Result, ValRaw,
    component::{
        __internal::{CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext},
        ComponentType, Lift, Lower, WasmList,
    },
};

/// The contract's `image`.
#[derive(ComponentType, Lower, Lift)]
#[component(record)]
pub(super) struct Passed {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: u32,
    pub(super) pixels: Pixels,
}

/// Pixels of an image, as `list<u8>`.
pub(super) enum Pixels {
    /// They are where the caller has them.
    InPlace,
    /// A component gave another number of them.
    Elsewhere(Vec<u8>),
}

thread_local! {
    /// The pixels of the call that this thread makes.
    static PLACE: Cell<Option<NonNull<[u8]>>> = const { Cell::new(None) };
    /// Whether they were changed.
    static CHANGED: Cell<bool> = const { Cell::new(false) };
}

/// Whether the last call of this thread has changed its image's pixels.
pub(super) fn is_changed() -> bool {
    CHANGED.get()
}

/// Makes a call whose image has its pixels here, and which may change them.
pub(super) fn in_place<R>(pixels: &mut [u8], call: impl FnOnce() -> R) -> R {
    /// Puts what was there before back, also after a panic.
    struct Before(Option<NonNull<[u8]>>);
    impl Drop for Before {
        fn drop(&mut self) {
            PLACE.set(self.0);
        }
    }
    let _before = Before(PLACE.replace(Some(NonNull::from(pixels))));
    CHANGED.set(false);
    call()
}

/// The pixels of the call that goes on; none outside of one.
fn place<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    match PLACE.get() {
        // SAFETY: `in_place` has borrowed them until its call ends, and made no other reference. No `work`
        // of this module comes here again or keeps them.
        Some(mut pixels) => work(unsafe { pixels.as_mut() }),
        None => work(&mut []),
    }
}

impl Pixels {
    /// Copies what a component has at `start` out of its memory.
    fn copied(context: &LiftContext<'_>, start: u32, length: usize) -> Result<Self> {
        let given = context.memory().get(start as usize..).and_then(|rest| rest.get(..length));
        let Some(given) = given else {
            return Err(wasmtime::Error::msg("a list lies outside of the memory"));
        };
        Ok(place(|pixels| {
            if pixels.len() == given.len() {
                pixels.copy_from_slice(given);
                CHANGED.set(true);
                Self::InPlace
            } else {
                Self::Elsewhere(given.to_vec())
            }
        }))
    }
}

// SAFETY: all of it is the type of `[u8]`.
unsafe impl ComponentType for Pixels {
    type Lower = <[u8] as ComponentType>::Lower;

    const ABI: CanonicalAbiInfo = <[u8] as ComponentType>::ABI;

    fn typecheck(found: &InterfaceType, types: &InstanceType<'_>) -> Result<()> {
        <[u8] as ComponentType>::typecheck(found, types)
    }
}

// SAFETY: pixels are lowered as the `[u8]` that they are.
unsafe impl Lower for Pixels {
    fn linear_lower_to_flat<T>(
        &self,
        context: &mut LowerContext<'_, T>,
        found: InterfaceType,
        out: &mut MaybeUninit<Self::Lower>,
    ) -> Result<()> {
        match self {
            Self::InPlace => place(|pixels| pixels.linear_lower_to_flat(context, found, out)),
            Self::Elsewhere(pixels) => pixels[..].linear_lower_to_flat(context, found, out),
        }
    }

    fn linear_lower_to_memory<T>(
        &self,
        context: &mut LowerContext<'_, T>,
        found: InterfaceType,
        offset: usize,
    ) -> Result<()> {
        match self {
            Self::InPlace => place(|pixels| pixels.linear_lower_to_memory(context, found, offset)),
            Self::Elsewhere(pixels) => pixels[..].linear_lower_to_memory(context, found, offset),
        }
    }
}

// SAFETY: the list is checked as `WasmList` does it, which counts its bytes against the call's limit, too,
// and its bytes are read within the memory's bounds.
unsafe impl Lift for Pixels {
    fn linear_lift_from_flat(
        context: &mut LiftContext<'_>,
        found: InterfaceType,
        given: &Self::Lower,
    ) -> Result<Self> {
        let length = WasmList::<u8>::linear_lift_from_flat(context, found, given)?.len();
        let [start, _]: &[ValRaw; 2] = given;
        Self::copied(context, start.get_u32(), length)
    }

    fn linear_lift_from_memory(
        context: &mut LiftContext<'_>,
        found: InterfaceType,
        given: &[u8],
    ) -> Result<Self> {
        let length = WasmList::<u8>::linear_lift_from_memory(context, found, given)?.len();
        // A list is stored as its place, then its length, four bytes each.
        let [start, _] = given.as_chunks().0 else {
            return Err(wasmtime::Error::msg("a list has the wrong form"));
        };
        Self::copied(context, u32::from_le_bytes(*start), length)
    }
}
