//! The one plugin of an instance, and its panics.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{PanicHookInfo, set_hook};
use std::sync::Once;

use vitral_abi::{LogLevel, Setting};

use crate::Plugin;

thread_local! {
    static PLUGIN: RefCell<Option<Box<dyn Any>>> = const { RefCell::new(None) };
}

/// Makes panics reach the host before they end the instance.
pub(super) fn start() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| set_hook(Box::new(tell)));
}

fn tell(info: &PanicHookInfo<'_>) {
    let text = info.payload_as_str().unwrap_or("without a message");
    super::host::log(
        LogLevel::Error,
        &match info.location() {
            Some(place) => format!("panicked at {}:{}: {text}", place.file(), place.line()),
            None => format!("panicked: {text}"),
        },
    );
}

/// Makes the plugin.
pub(super) fn configure<P: Plugin>(settings: Vec<Setting>) -> Result<(), String> {
    start();
    let plugin = crate::plugin::create::<P>(settings).map_err(|error| error.to_string())?;
    PLUGIN.set(Some(Box::new(plugin)));
    Ok(())
}

/// Uses the plugin.
pub(super) fn with<P: Plugin, R>(
    use_it: impl FnOnce(&mut P) -> crate::Result<R>,
) -> Result<R, String> {
    PLUGIN.with_borrow_mut(|plugin| {
        let plugin = plugin.as_mut().and_then(|plugin| plugin.downcast_mut());
        let plugin = plugin.ok_or("the plugin has not been configured")?;
        use_it(plugin).map_err(|error| error.to_string())
    })
}
