//! The host's side of a call: the functions that a plugin may use, and what they have collected.
//!
//! A plugin gets no pointer as its context, but the call's number. Each function looks it up among
//! the calls of its thread, so that one that comes after the call, or from another thread, finds
//! nothing and does nothing.

use std::{
    cell::RefCell,
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr, slice,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use vitral_abi::{
    Action, Initializer, c,
    convert::{self, FromC},
};
use vitral_program::Tensor;

use crate::{
    Image,
    image::MAX_SIDE,
    log::{Log, clean},
    trace::Trace,
};

/// The most bytes of a message, of a monitor's state, and of all images of a call.
const MAX_MESSAGE: usize = 64 << 10;
const MAX_STATE: usize = 16 << 20;
const MAX_IMAGES: usize = 1 << 30;
/// The most actions of one call.
const MAX_ACTIONS: usize = 10_000;
/// What stands for a tensor where there is none.
const NO_TENSOR: u64 = u64::MAX;

/// What one call has collected.
pub(super) struct Context {
    log: Log,
    pub(super) failure: Option<String>,
    pub(super) trace: Option<Trace>,
    /// All that the plugin has asked for, as it may write to each; the last one counts.
    pub(super) images: Vec<Image>,
    pub(super) actions: Vec<Action>,
    pub(super) state: Vec<u8>,
    /// What the plugin did that this call does not have.
    pub(super) misuse: Option<String>,
}

impl Context {
    pub(super) fn new(plugin: &Arc<str>) -> Self {
        Self {
            log: Log::new(Arc::clone(plugin)),
            failure: None,
            trace: None,
            images: Vec::new(),
            actions: Vec::new(),
            state: Vec::new(),
            misuse: None,
        }
    }

    fn misuse(&mut self, problem: impl Into<String>) {
        self.misuse.get_or_insert_with(|| clean(&problem.into(), MAX_MESSAGE));
    }
}

thread_local! {
    /// The calls of this thread that go on, by their numbers.
    static CALLS: RefCell<Vec<(usize, Context)>> = const { RefCell::new(Vec::new()) };
}

/// Makes a call: gives a plugin the host's table, and gives back what the plugin said with it.
pub(super) fn call<R>(context: Context, work: impl FnOnce(&c::Host) -> R) -> (R, Context) {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    CALLS.with_borrow_mut(|calls| calls.push((number, context)));
    let going = Going(number);
    let result = work(&host(number));
    // Nothing but this and `going` takes a call away.
    (result, going.take().expect("a call that goes on"))
}

/// A call that goes on, and no longer when this is dropped.
struct Going(usize);

impl Going {
    fn take(&self) -> Option<Context> {
        CALLS.with_borrow_mut(|calls| {
            let place = calls.iter().position(|(number, _)| *number == self.0)?;
            Some(calls.remove(place).1)
        })
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        self.take();
    }
}

/// The table for one call.
fn host(number: usize) -> c::Host {
    c::Host {
        struct_size: size_of::<c::Host>(),
        major: c::MAJOR,
        minor: c::MINOR,
        context: ptr::without_provenance_mut(number),
        log,
        fail,
        apply,
        parameter,
        tensor_type,
        result,
        new_image,
        act,
        state,
    }
}

/// Does something with a call's context; `none` if there is no such call on this thread.
fn with<R>(at: *mut c_void, none: R, work: impl FnOnce(&mut Context) -> R) -> R {
    let found = || {
        CALLS.with_borrow_mut(|calls| {
            let call = calls.iter_mut().rev().find(|(number, _)| *number == at.addr());
            call.map(|(_, context)| work(context))
        })
    };
    // No panic may cross the boundary; what a host that panicked has collected is no result.
    match catch_unwind(AssertUnwindSafe(found)) {
        Ok(found) => found.unwrap_or(none),
        Err(_) => {
            CALLS.with(|calls| {
                let mut calls = calls.try_borrow_mut().ok()?;
                calls.last_mut()?.1.misuse("the host failed in a function that it called");
                Some(())
            });
            none
        }
    }
}

/// A text of the plugin's, cut to a length and with what is not UTF-8 replaced.
///
/// # Safety
/// As [`convert::items`].
unsafe fn message(text: c::Text) -> String {
    // SAFETY: the caller vouches for it.
    match unsafe { convert::items(text) } {
        Ok(bytes) => {
            let bytes = &bytes[..bytes.len().min(MAX_MESSAGE)];
            clean(&String::from_utf8_lossy(bytes), MAX_MESSAGE)
        }
        Err(error) => error.to_string(),
    }
}

unsafe extern "C" fn log(at: *mut c_void, level: u32, text: c::Text) {
    with(at, (), |context| {
        // SAFETY: by contract the text is valid during the call.
        let text = unsafe { message(text) };
        context.log.line(convert::level(level).ok(), &text);
    });
}

unsafe extern "C" fn fail(at: *mut c_void, text: c::Text) {
    with(at, (), |context| {
        // SAFETY: as in `log`.
        context.failure = Some(unsafe { message(text) });
    });
}

unsafe extern "C" fn apply(
    at: *mut c_void,
    op: c::Text,
    attributes: c::List<c::Setting>,
    operands: c::List<c::Tensor>,
    label: c::Text,
    results: *mut c::Tensor,
    capacity: usize,
) -> usize {
    with(at, 0, |context| {
        let Some(trace) = &mut context.trace else {
            context.misuse("it called `apply`, but nothing is traced");
            return 0;
        };
        // SAFETY: by contract all lists are valid during the call.
        let given = unsafe {
            convert::text(op).and_then(|op| {
                let (attributes, operands) =
                    (convert::attributes(attributes)?, convert::items(operands)?);
                Ok((op, attributes, operands, convert::text(label)?))
            })
        };
        let (op, attributes, operands, label) = match given {
            Ok(given) => given,
            Err(error) => {
                context.misuse(format!("it called `apply` with {error}"));
                return 0;
            }
        };
        let operands: Vec<_> = operands.iter().map(|&raw| Tensor::from_raw(raw)).collect();
        let given = trace.apply(op, attributes, &operands, label);
        let count = given.len().min(capacity);
        if count > 0 && !results.is_null() {
            // SAFETY: by contract there is room for `capacity` results.
            let results = unsafe { slice::from_raw_parts_mut(results, count) };
            for (result, tensor) in results.iter_mut().zip(&given) {
                *result = tensor.to_raw();
            }
        }
        given.len()
    })
}

unsafe extern "C" fn parameter(
    at: *mut c_void,
    name: c::Text,
    shape: c::List<u32>,
    initializer: c::Initializer,
    decay: u8,
) -> c::Tensor {
    with(at, NO_TENSOR, |context| {
        let Some(trace) = &mut context.trace else {
            context.misuse("it called `parameter`, but nothing is traced");
            return NO_TENSOR;
        };
        // SAFETY: by contract all lists are valid during the call.
        let given = unsafe {
            convert::text(name).and_then(|name| {
                Ok((name, convert::items(shape)?, Initializer::try_from(initializer)?))
            })
        };
        match given {
            Ok((name, shape, initializer)) => {
                trace.parameter(name, shape, initializer, decay != 0).to_raw()
            }
            Err(error) => {
                context.misuse(format!("it called `parameter` with {error}"));
                NO_TENSOR
            }
        }
    })
}

unsafe extern "C" fn tensor_type(
    at: *mut c_void,
    tensor: c::Tensor,
    buffer: *mut u8,
    capacity: usize,
) -> usize {
    with(at, 0, |context| {
        let Some(trace) = &context.trace else {
            context.misuse("it called `tensor_type`, but nothing is traced");
            return 0;
        };
        let text = trace.type_of(Tensor::from_raw(tensor)).unwrap_or_default();
        let count = text.len().min(capacity);
        if count > 0 && !buffer.is_null() {
            // SAFETY: by contract there is room for `capacity` bytes.
            let buffer = unsafe { slice::from_raw_parts_mut(buffer, count) };
            buffer.copy_from_slice(&text.as_bytes()[..count]);
        }
        text.len()
    })
}

unsafe extern "C" fn result(at: *mut c_void, tensor: c::Tensor) {
    with(at, (), |context| match &mut context.trace {
        Some(trace) => trace.result(Tensor::from_raw(tensor)),
        None => context.misuse("it called `result`, but nothing is traced"),
    });
}

unsafe extern "C" fn new_image(at: *mut c_void, width: u32, height: u32, channels: u32) -> *mut u8 {
    with(at, ptr::null_mut(), |context| {
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) || !matches!(channels, 1 | 3) {
            context.misuse(format!(
                "it asked for an image of {width}x{height}x{channels}; sides may be 1 to {MAX_SIDE}"
            ));
            return ptr::null_mut();
        }
        // At most 16384 * 16384 * 3 bytes, which 64 bits can count.
        let count = width as usize * height as usize * channels as usize;
        let before: usize = context.images.iter().map(|image| image.pixels.len()).sum();
        if count > MAX_IMAGES - before {
            context.misuse(format!(
                "it asked for images of more than {} MiB in one call",
                MAX_IMAGES >> 20
            ));
            return ptr::null_mut();
        }
        let mut image = Image { width, height, channels, pixels: vec![0; count] };
        let pixels = image.pixels.as_mut_ptr();
        context.images.push(image);
        pixels
    })
}

unsafe extern "C" fn act(at: *mut c_void, action: *const c::Action) {
    with(at, (), |context| {
        // SAFETY: by contract the action is valid during the call.
        let action = match unsafe { action.as_ref() } {
            // SAFETY: as above.
            Some(action) => unsafe { Action::from_c(action) }.map_err(|error| error.to_string()),
            None => Err("null".into()),
        };
        match action {
            Ok(action) if context.actions.len() < MAX_ACTIONS => context.actions.push(action),
            Ok(_) => {
                context.misuse(format!("it asked for more than {MAX_ACTIONS} actions at once"))
            }
            Err(error) => context.misuse(format!("it called `act` with {error}")),
        }
    });
}

unsafe extern "C" fn state(at: *mut c_void, bytes: c::List<u8>) {
    with(at, (), |context| {
        // SAFETY: by contract the bytes are valid during the call.
        match unsafe { convert::items(bytes) } {
            Ok(bytes) if bytes.len() <= MAX_STATE => context.state = bytes.to_vec(),
            Ok(bytes) => context
                .misuse(format!("its state has {} bytes, but may have {MAX_STATE}", bytes.len())),
            Err(error) => context.misuse(format!("it called `state` with {error}")),
        }
    });
}
