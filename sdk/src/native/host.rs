//! The host of the call that is going on.

use std::cell::Cell;
use std::marker::PhantomData;

use vitral_abi::convert::{InC, level_tag, list_of, text_of};
use vitral_abi::{Action, Attribute, Initializer, LogLevel, c};

use crate::tensor::Tensor;

thread_local! {
    static CURRENT: Cell<*const c::Host> = const { Cell::new(std::ptr::null()) };
}

/// Makes a host this thread's current one until it is dropped.
pub(super) struct Current<'a> {
    before: *const c::Host,
    host: PhantomData<&'a c::Host>,
}

impl<'a> Current<'a> {
    pub(super) fn enter(host: &'a c::Host) -> Self {
        Self { before: CURRENT.replace(host), host: PhantomData }
    }
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Whether a call of a host is going on.
pub(super) fn is_called() -> bool {
    !CURRENT.get().is_null()
}

/// The current host, for no longer than `use_it`, during which the call counts as left: what goes
/// wrong in the host is the host's.
fn with<R>(use_it: impl FnOnce(&c::Host) -> R) -> Option<R> {
    let left = Current { before: CURRENT.replace(std::ptr::null()), host: PhantomData };
    // SAFETY: a pointer that is not null is that of a `Current`, which borrows its host.
    unsafe { left.before.as_ref() }.map(use_it)
}

fn tracing<R>(use_it: impl FnOnce(&c::Host) -> R) -> R {
    with(use_it).expect("tensors are of use only while the host traces the plugin")
}

pub(crate) fn log(level: LogLevel, message: &str) {
    let logged = with(|host| {
        // SAFETY: the host's table is valid during its call, and copies the message.
        unsafe { (host.log)(host.context, level_tag(level), text_of(message)) }
    });
    if logged.is_none() {
        eprintln!("{level:?}: {message}");
    }
}

pub(super) fn fail(host: &c::Host, message: &str) {
    // SAFETY: as in `log`.
    unsafe { (host.fail)(host.context, text_of(message)) }
}

pub(crate) fn apply(
    op: &str,
    attributes: &[Attribute],
    operands: &[Tensor],
    label: &str,
    capacity: usize,
) -> Vec<Tensor> {
    let attributes = InC::new(attributes);
    let operands: Vec<_> = operands.iter().map(|operand| operand.raw()).collect();
    let mut results = vec![u64::MAX; capacity];
    let count = tracing(|host| {
        // SAFETY: the host's table is valid during its call; lists and texts live until it returns;
        // there is room for `capacity` results.
        unsafe {
            (host.apply)(
                host.context,
                text_of(op),
                *attributes.as_c(),
                list_of(&operands),
                text_of(label),
                results.as_mut_ptr(),
                capacity,
            )
        }
    });
    results.truncate(count);
    results.into_iter().map(Tensor::from_raw).collect()
}

pub(crate) fn parameter(
    name: &str,
    shape: &[u32],
    initializer: Initializer,
    decay: bool,
) -> Tensor {
    let (name, shape) = (text_of(name), list_of(shape));
    Tensor::from_raw(tracing(|host| {
        // SAFETY: the host's table is valid during its call, and copies name and shape.
        unsafe { (host.parameter)(host.context, name, shape, initializer.into(), decay.into()) }
    }))
}

pub(crate) fn tensor_type(tensor: Tensor) -> Option<String> {
    let mut bytes = vec![0_u8; 128];
    loop {
        let length = tracing(|host| {
            // SAFETY: the host's table is valid during its call; there is room for as many bytes.
            unsafe {
                (host.tensor_type)(host.context, tensor.raw(), bytes.as_mut_ptr(), bytes.len())
            }
        });
        if length <= bytes.len() {
            bytes.truncate(length);
            break;
        }
        bytes.resize(length, 0);
    }
    String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
}

pub(super) fn result(tensor: Tensor) {
    // SAFETY: the host's table is valid during its call.
    tracing(|host| unsafe { (host.result)(host.context, tensor.raw()) });
}

/// Room for an image of another size; null if it would be too large.
pub(super) fn new_image(host: &c::Host, width: u32, height: u32, channels: u32) -> *mut u8 {
    // SAFETY: the host's table is valid during its call.
    unsafe { (host.new_image)(host.context, width, height, channels) }
}

pub(super) fn act(host: &c::Host, action: &Action) {
    // SAFETY: the host's table is valid during its call, and copies the action.
    unsafe { (host.act)(host.context, InC::new(action).as_c()) }
}

pub(super) fn state(host: &c::Host, bytes: &[u8]) {
    // SAFETY: the host's table is valid during its call, and copies the state.
    unsafe { (host.state)(host.context, list_of(bytes)) }
}
