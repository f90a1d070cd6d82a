//! What the host does with plugins that keep to the contract, and with those that do not.

mod compiled_in;
#[cfg(feature = "wasm")]
mod guests;
#[cfg(feature = "wasm")]
mod hostile;
mod in_place;
#[cfg(feature = "wasm")]
mod interrupts;
#[cfg(feature = "wasm")]
mod logs;
#[cfg(feature = "wasm")]
mod monitors;
mod native;
#[cfg(feature = "wasm")]
mod opening;
#[cfg(feature = "wasm")]
mod sandbox;
mod settings;
mod support;
mod tables;
#[cfg(feature = "wasm")]
mod traces;
