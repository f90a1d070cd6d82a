//! The host's side of a call: the functions that a plugin may use, and what they have collected.

use std::{ffi::c_void, slice};

use vitral_abi::{
    Action, Initializer, c,
    convert::{self, list_of},
};
use vitral_program::Tensor;

use crate::{Image, plugin::MAX_SIDE, trace::Trace};

/// The most bytes of a message or of a monitor's state.
const MAX_MESSAGE: usize = 64 << 10;
const MAX_STATE: usize = 16 << 20;
/// The most log lines and actions of one call.
const MAX_LINES: usize = 100;
const MAX_ACTIONS: usize = 10_000;

/// What one call has collected.
pub(super) struct Context<'p> {
    plugin: &'p str,
    pub(super) failure: Option<String>,
    pub(super) trace: Option<Trace>,
    pub(super) image: Option<Image>,
    pub(super) actions: Vec<Action>,
    pub(super) state: Vec<u8>,
    /// What the plugin did that this call does not have.
    pub(super) misuse: Option<String>,
    lines: usize,
}

impl<'p> Context<'p> {
    pub(super) fn new(plugin: &'p str) -> Self {
        Self {
            plugin,
            failure: None,
            trace: None,
            image: None,
            actions: Vec::new(),
            state: Vec::new(),
            misuse: None,
            lines: 0,
        }
    }

    /// The table that a plugin gets for one call.
    pub(super) fn host(&mut self) -> c::Host {
        c::Host {
            struct_size: size_of::<c::Host>(),
            major: c::MAJOR,
            minor: c::MINOR,
            context: std::ptr::from_mut(self).cast(),
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

    fn misuse(&mut self, problem: impl Into<String>) {
        self.misuse.get_or_insert_with(|| problem.into());
    }
}

/// The context of a call.
///
/// # Safety
/// The pointer is one that [`Context::host`] made, and its context is not in use otherwise: plugins
/// hand it back as it is, during the call and on its thread.
unsafe fn context<'c>(context: *mut c_void) -> &'c mut Context<'c> {
    // SAFETY: see above.
    unsafe { &mut *context.cast() }
}

/// A text of the plugin's, cut to a length and with what is not UTF-8 replaced.
///
/// # Safety
/// As [`convert::items`].
unsafe fn message(text: c::Text) -> String {
    // SAFETY: the caller vouches for it.
    match unsafe { convert::items(text) } {
        Ok(bytes) => String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_MESSAGE)]).into_owned(),
        Err(error) => error.to_string(),
    }
}

unsafe extern "C" fn log(at: *mut c_void, level: u32, text: c::Text) {
    // SAFETY: the plugin hands back the context of the call that goes on.
    let context = unsafe { context(at) };
    context.lines += 1;
    if context.lines > MAX_LINES {
        return;
    }
    // SAFETY: by contract the text is valid during the call.
    let text = unsafe { message(text) };
    crate::log::line(context.plugin, convert::level(level).ok(), &text);
}

unsafe extern "C" fn fail(at: *mut c_void, text: c::Text) {
    // SAFETY: as in `log`.
    let context = unsafe { context(at) };
    // SAFETY: as in `log`.
    context.failure = Some(unsafe { message(text) });
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
    // SAFETY: as in `log`.
    let context = unsafe { context(at) };
    // SAFETY: by contract all lists are valid during the call.
    let given = unsafe {
        convert::text(op).and_then(|op| {
            Ok((
                op,
                convert::attributes(attributes)?,
                convert::items(operands)?,
                convert::text(label)?,
            ))
        })
    };
    let (op, attributes, operands, label) = match given {
        Ok(given) => given,
        Err(error) => {
            context.misuse(format!("it called `apply` with {error}"));
            return 0;
        }
    };
    let Some(trace) = &mut context.trace else {
        context.misuse("it called `apply`, but nothing is traced");
        return 0;
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
}

unsafe extern "C" fn parameter(
    at: *mut c_void,
    name: c::Text,
    shape: c::List<u32>,
    initializer: c::Initializer,
    decay: u8,
) -> c::Tensor {
    // SAFETY: as in `log`.
    let context = unsafe { context(at) };
    // SAFETY: by contract all lists are valid during the call.
    let given = unsafe {
        convert::text(name).and_then(|name| {
            Ok((name, convert::items(shape)?, Initializer::try_from(initializer)?))
        })
    };
    match (given, &mut context.trace) {
        (Ok((name, shape, initializer)), Some(trace)) => {
            trace.parameter(name, shape, initializer, decay != 0).to_raw()
        }
        (Ok(_), None) => {
            context.misuse("it called `parameter`, but nothing is traced");
            u64::MAX
        }
        (Err(error), _) => {
            context.misuse(format!("it called `parameter` with {error}"));
            u64::MAX
        }
    }
}

unsafe extern "C" fn tensor_type(
    at: *mut c_void,
    tensor: c::Tensor,
    buffer: *mut u8,
    capacity: usize,
) -> usize {
    // SAFETY: as in `log`.
    let context = unsafe { context(at) };
    let text = context.trace.as_ref().and_then(|trace| trace.type_of(Tensor::from_raw(tensor)));
    let text = text.unwrap_or_default();
    let count = text.len().min(capacity);
    if count > 0 && !buffer.is_null() {
        // SAFETY: by contract there is room for `capacity` bytes.
        let buffer = unsafe { slice::from_raw_parts_mut(buffer, count) };
        buffer.copy_from_slice(&text.as_bytes()[..count]);
    }
    text.len()
}

unsafe extern "C" fn result(at: *mut c_void, tensor: c::Tensor) {
    // SAFETY: as in `log`.
    let context = unsafe { context(at) };
    match &mut context.trace {
        Some(trace) => trace.result(Tensor::from_raw(tensor)),
        None => context.misuse("it called `result`, but nothing is traced"),
    }
}

unsafe extern "C" fn new_image(at: *mut c_void, width: u32, height: u32, channels: u32) -> *mut u8 {
    // SAFETY: as in `log`.
    let context = unsafe { context(at) };
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&width) || !sides.contains(&height) || !matches!(channels, 1 | 3) {
        context.misuse(format!(
            "it asked for an image of {width}x{height}x{channels}; sides may be 1 to {MAX_SIDE}"
        ));
        return std::ptr::null_mut();
    }
    // At most 16384 * 16384 * 3 bytes, which 64 bits can count.
    let count = width as usize * height as usize * channels as usize;
    let image = Image { width, height, channels, pixels: vec![0; count] };
    context.image.insert(image).pixels.as_mut_ptr()
}

unsafe extern "C" fn act(at: *mut c_void, action: *const c::Action) {
    // SAFETY: as in `log`.
    let context = unsafe { context(at) };
    // SAFETY: by contract the action is valid during the call.
    let action = match unsafe { action.as_ref() } {
        // SAFETY: as above.
        Some(action) => unsafe { convert::action(action) }.map_err(|error| error.to_string()),
        None => Err("null".into()),
    };
    match action {
        Ok(action) if context.actions.len() < MAX_ACTIONS => context.actions.push(action),
        Ok(_) => context.misuse(format!("it asked for more than {MAX_ACTIONS} things at once")),
        Err(error) => context.misuse(format!("it called `act` with {error}")),
    }
}

unsafe extern "C" fn state(at: *mut c_void, bytes: c::List<u8>) {
    // SAFETY: as in `log`.
    let context = unsafe { context(at) };
    // SAFETY: by contract the bytes are valid during the call.
    match unsafe { convert::items(bytes) } {
        Ok(bytes) if bytes.len() <= MAX_STATE => context.state = bytes.to_vec(),
        Ok(bytes) => context.misuse(format!("its state has {} bytes", bytes.len())),
        Err(error) => context.misuse(format!("it called `state` with {error}")),
    }
}

/// The C form of bytes, for plugins to read.
pub(super) fn bytes(bytes: &[u8]) -> c::List<u8> {
    list_of(bytes)
}
