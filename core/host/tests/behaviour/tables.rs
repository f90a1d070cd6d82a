//! Tables of plugins that are a part of the program, made by hand.

use std::ffi::c_void;

use vitral_abi::{
    Description, Kind,
    c::{self, Host, List},
    convert::{kind_tag, leak_description, text_of},
};

/// A table of a plugin `by-hand` with functions that do nothing, which a test changes.
pub fn table(kind: Kind, change: impl FnOnce(&mut c::Plugin)) -> &'static c::Plugin {
    let mut table = c::Plugin {
        struct_size: size_of::<c::Plugin>(),
        major: c::MAJOR,
        minor: c::MINOR,
        kind: kind_tag(kind),
        describe: Some(describe),
        create: Some(create),
        destroy: Some(destroy),
        augment: Some(augment),
        trace_batch: Some(trace_batch),
        trace_attention: Some(trace_attention),
        observe: Some(observe),
        save: Some(save),
        restore: Some(restore),
    };
    change(&mut table);
    Box::leak(Box::new(table))
}

pub fn described() -> Description {
    Description {
        name: "by-hand".into(),
        version: "1.0.0".into(),
        summary: "Made by hand.".into(),
        parameters: vec![],
        examples: vec![],
    }
}

/// Calls `Host::fail`.
///
/// # Safety
/// The host is that of the call that goes on.
pub unsafe fn fail(host: *const Host, why: &str) -> u32 {
    // SAFETY: the caller vouches for it.
    unsafe { ((*host).fail)((*host).context, text_of(why)) };
    c::FAILED
}

/// Calls `Host::apply` without attributes; gives the first result.
///
/// # Safety
/// As [`fail`].
pub unsafe fn apply(host: *const Host, op: &str, operands: &[u64]) -> u64 {
    let operands = List { data: operands.as_ptr(), len: operands.len() };
    let mut result = u64::MAX;
    // SAFETY: the caller vouches for the host; lists and result live until the call returns.
    unsafe {
        ((*host).apply)(
            (*host).context,
            text_of(op),
            List::EMPTY,
            operands,
            text_of("by hand"),
            &raw mut result,
            1,
        )
    };
    result
}

unsafe extern "C" fn describe() -> *const c::Description {
    leak_description(described())
}

unsafe extern "C" fn create(
    _: *const Host,
    _: List<c::Setting>,
    instance: *mut *mut c_void,
    interests: *mut c::Interests,
) -> u32 {
    // SAFETY: the host gives places to write to. The instance counts calls.
    unsafe {
        instance.write(Box::into_raw(Box::new(0_u32)).cast());
        interests.write(c::Interests { steps: 3, layers: 0 });
    }
    c::OK
}

unsafe extern "C" fn destroy(instance: *mut c_void) {
    // SAFETY: `create` made it.
    drop(unsafe { Box::from_raw(instance.cast::<u32>()) });
}

/// The calls that an instance has had, to change.
///
/// # Safety
/// The instance is one of these tables', and used by this call only.
pub unsafe fn calls<'a>(instance: *mut c_void) -> &'a mut u32 {
    // SAFETY: the caller vouches for it.
    unsafe { &mut *instance.cast() }
}

unsafe extern "C" fn augment(
    _: *mut c_void,
    _: *const Host,
    _: *const c::Image,
    _: *const c::Sample,
) -> u32 {
    c::OK
}

unsafe extern "C" fn trace_batch(
    _: *mut c_void,
    host: *const Host,
    _: *const c::Batch,
    images: u64,
    targets: u64,
) -> u32 {
    // SAFETY: the host is that of this call.
    unsafe {
        ((*host).result)((*host).context, images);
        ((*host).result)((*host).context, targets);
    }
    c::OK
}

unsafe extern "C" fn trace_attention(
    _: *mut c_void,
    host: *const Host,
    _: *const c::Layer,
    query: u64,
    _: u64,
    _: u64,
) -> u32 {
    // SAFETY: the host is that of this call.
    unsafe { ((*host).result)((*host).context, query) };
    c::OK
}

/// Counts, and panics the third time.
unsafe extern "C" fn observe(instance: *mut c_void, _: *const Host, _: *const c::Event) -> u32 {
    // SAFETY: the host keeps to the rules.
    let calls = unsafe { calls(instance) };
    *calls += 1;
    if *calls == 3 { c::PANICKED } else { c::OK }
}

unsafe extern "C" fn save(instance: *mut c_void, host: *const Host) -> u32 {
    // SAFETY: the host keeps to the rules.
    unsafe {
        let state = [*calls(instance) as u8];
        ((*host).state)((*host).context, List { data: state.as_ptr(), len: 1 });
    }
    c::OK
}

unsafe extern "C" fn restore(instance: *mut c_void, host: *const Host, state: List<u8>) -> u32 {
    if state.len != 1 || state.data.is_null() {
        // SAFETY: the host is that of this call.
        return unsafe { fail(host, "no state of mine") };
    }
    // SAFETY: the host keeps to the rules.
    unsafe { *calls(instance) = (*state.data).into() };
    c::OK
}
