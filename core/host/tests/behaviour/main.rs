//! What the host does with plugins that keep to the contract, and with those that do not.

#![cfg(feature = "wasm")]

mod guests;
mod hostile;
mod native;
mod opening;
mod settings;
mod support;
mod traces;
