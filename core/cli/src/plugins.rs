//! The plugins that are a part of this program, and where others are found.

use std::path::PathBuf;

use vitral_bundle::{Allowance, Store};
use vitral_host::{OpenError, Plugin};
use vitral_train::plugins::Registry;

use crate::{consent, failure::Failure};

/// Every plugin that a run can use: this program's own, and others as far as the user allows.
pub fn registry(allowed: &[Allowance]) -> Result<Registry, Failure> {
    Ok(Registry::new(compiled_in()?, consent::trust(allowed)?, cache_folder()))
}

/// The names of all plugins that an experiment can use without saying where they are. What cannot be
/// opened is told where it is used.
pub fn names() -> Vec<String> {
    let compiled_in = compiled_in().unwrap_or_default();
    let mut names: Vec<String> =
        compiled_in.iter().map(|plugin| plugin.description().name.clone()).collect();
    let listing = Store::of_user().and_then(|store| store.list());
    let installed = listing.map(|listing| listing.plugins).unwrap_or_default();
    names.extend(installed.iter().map(|plugin| plugin.manifest().name.clone()));
    names
}

/// The first-party plugins.
pub fn compiled_in() -> Result<Vec<Plugin>, OpenError> {
    let tables = [
        vitral_color_jitter::plugin(),
        vitral_differential::plugin(),
        vitral_early_stop::plugin(),
        vitral_gradient_health::plugin(),
        vitral_linear::plugin(),
        vitral_loss_spike::plugin(),
        vitral_memory::plugin(),
        vitral_mixup_cutmix::plugin(),
        vitral_pooled::plugin(),
        vitral_randaugment::plugin(),
        vitral_random_erasing::plugin(),
        vitral_talking_heads::plugin(),
        vitral_three_augment::plugin(),
        vitral_throughput::plugin(),
        vitral_window::plugin(),
    ];
    tables.into_iter().map(Plugin::compiled_in).collect()
}

/// Where compiled WebAssembly is kept: `$XDG_CACHE_HOME/vitral`, or `~/.cache/vitral`.
pub fn cache_folder() -> Option<PathBuf> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home)?;
    Some(base.join("vitral"))
}
