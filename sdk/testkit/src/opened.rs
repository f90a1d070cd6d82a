//! A plugin and what is set, as an experiment would have it.

use std::fmt;

use vitral_host::{CallError, Cause, Plugin, Setting, SettingError, Settings, Value};
use vitral_sdk::abi::c;

/// Why a plugin does not do what it is asked for, as its user would read it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The settings are not what the plugin declares.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The plugin fails.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Failure {
    /// Whether the plugin itself says that it cannot, which it may; not so if it panics, or gives
    /// something wrong.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Call(CallError { cause: Cause::Failed(_), .. }))
    }
}

/// Opens a plugin that is part of the test.
///
/// # Panics
/// If the host refuses it.
#[track_caller]
pub(crate) fn compiled_in(table: &'static c::Plugin) -> Plugin {
    expect(Plugin::compiled_in(table))
}

/// A plugin with settings that have yet to be checked.
#[derive(Clone)]
pub(crate) struct Opened {
    pub plugin: Plugin,
    given: Vec<Setting>,
}

impl Opened {
    pub fn new(plugin: Plugin) -> Self {
        Self { plugin, given: Vec::new() }
    }

    pub fn with(plugin: &Plugin, given: &[Setting]) -> Self {
        Self { plugin: plugin.clone(), given: given.to_vec() }
    }

    /// Sets a parameter, again if it has been set before.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let setting = Setting::new(name, value);
        self.given.retain(|given| given.name != setting.name);
        self.given.push(setting);
    }

    pub fn settings(&self) -> Result<Settings, Failure> {
        Ok(Settings::check(self.plugin.description(), &self.given)?)
    }
}

/// The value, or a panic with what went wrong.
#[track_caller]
pub(crate) fn expect<T, E: fmt::Display>(result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// What went wrong, or a panic if nothing did.
#[track_caller]
pub(crate) fn expect_error<T, E: fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => panic!("it works, but must not"),
        Err(error) => error.to_string(),
    }
}
