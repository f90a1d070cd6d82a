//! What stands around every call: the current host, and no panic that gets out.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use vitral_abi::c;

use super::host::{Current, fail, is_called};
use crate::Result;

thread_local! {
    /// What the last panic said.
    static PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// Calls a plugin and says how that went.
///
/// # Safety
/// `host` is null or points to a host's table that is valid until this returns.
pub(super) unsafe fn guarded(
    host: *const c::Host,
    call: impl FnOnce(&c::Host) -> Result<()>,
) -> u32 {
    // SAFETY: the caller vouches for it.
    let Some(host) = (unsafe { host.as_ref() }) else { return c::FAILED };
    if host.major != c::MAJOR || host.struct_size < size_of::<c::Host>() {
        return c::FAILED;
    }
    let outcome = {
        let _current = Current::enter(host);
        caught(|| call(host))
    };
    match outcome {
        Ok(Ok(())) => c::OK,
        Ok(Err(error)) => {
            fail(host, &error.to_string());
            c::FAILED
        }
        Err(panic) => {
            fail(host, &panic);
            c::PANICKED
        }
    }
}

/// Runs something that may panic; the error is what the panic said.
pub(super) fn caught<R>(run: impl FnOnce() -> R) -> Result<R, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| if is_called() { keep(info) } else { before(info) }));
    });
    catch_unwind(AssertUnwindSafe(run)).map_err(|payload| {
        let said = PANIC.take().unwrap_or_else(|| format!("panicked: {}", text(&*payload)));
        // Dropping it could panic again.
        std::mem::forget(payload);
        said
    })
}

/// Keeps a panic's message in place of printing it.
fn keep(info: &PanicHookInfo<'_>) {
    let text = text(info.payload());
    PANIC.set(Some(match info.location() {
        Some(place) => format!("panicked at {}:{}: {text}", place.file(), place.line()),
        None => format!("panicked: {text}"),
    }));
}

fn text(payload: &dyn Any) -> &str {
    let owned = || payload.downcast_ref::<String>().map(String::as_str);
    payload.downcast_ref::<&str>().copied().or_else(owned).unwrap_or("without a message")
}
