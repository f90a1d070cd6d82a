//! Checks that any plugin of a kind must pass: with its defaults, and with every documented example.
//!
//! A plugin may refuse an unusual input with an error of its own. It must not panic, must not give
//! what the host has to refuse, and must take the ordinary inputs.

mod attention;
mod batch;
mod image;
mod monitor;

use vitral_host::{Plugin, Setting};
use vitral_program::{Limits, Program};

use crate::opened::Failure;

pub use attention::attention;
pub use batch::batch_augmentation;
pub use image::image_augmentation;
pub use monitor::monitor;

/// A configuration to try.
struct Configuration {
    /// For people.
    title: String,
    settings: Vec<Setting>,
}

/// The defaults, unless something must be set, and every documented example.
fn configurations(plugin: &Plugin) -> Vec<Configuration> {
    let description = plugin.description();
    let has_defaults = description.parameters.iter().all(|parameter| parameter.default.is_some());
    let defaults = || Configuration { title: "defaults".into(), settings: Vec::new() };
    let examples = description.examples.iter().map(|example| Configuration {
        title: format!("example {:?}", example.title),
        settings: example.settings.clone(),
    });
    has_defaults.then(defaults).into_iter().chain(examples).collect()
}

/// An input to try.
struct Case<T> {
    input: T,
    /// Whether the plugin may refuse it.
    unusual: bool,
}

/// A program that comes out the same when it is traced again, and after being written and read; none
/// where the plugin may refuse and does.
fn program(
    unusual: bool,
    trace: impl Fn() -> Result<Program, Failure>,
) -> Result<Option<Program>, String> {
    let program = match trace() {
        Ok(program) => program,
        Err(failure) if unusual && failure.is_refusal() => return Ok(None),
        Err(failure) => return Err(failure.to_string()),
    };
    if trace().ok().as_ref() != Some(&program) {
        return Err("another program when it is traced again".into());
    }
    match Program::from_bytes(&program.to_bytes(), &Limits::default()) {
        Ok(read) if read == program => Ok(Some(program)),
        Ok(_) => Err("another program after being written and read".into()),
        Err(error) => Err(format!("its program cannot be read again: {error}")),
    }
}
