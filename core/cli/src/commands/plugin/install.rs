//! Installing: bundles' files, and plugins from registries.

use std::path::{Path, PathBuf};

use clap::Args;
use semver::{Version, VersionReq};
use vitral_bundle::{Allowance, Bundle, Installed, Reference, Store, Target};
use vitral_host::WasmEngine;

use super::{bundle::as_name, inspect::asked, registry::reference_in};
use crate::{
    failure::Failure,
    plugins,
    progress::note,
    registries::{Reached, indexes},
};

#[derive(Debug, Args)]
pub struct InstallArguments {
    /// A bundle's file, a plugin in a registry (`ghcr.io/lab/blur:1.2`), or the name of one in an index
    /// (`blur`, `blur@1.2`).
    pub bundle: PathBuf,
    /// Replace an installed plugin of the same version whose contents differ.
    #[arg(long)]
    pub replace: bool,
    /// Allow the plugin what needs your permission, from now on: `blur:run` lets it run although
    /// nobody you trust has signed it, `blur:run,network=lab:80` also lets it connect there. Can be given
    /// several times.
    #[arg(long = "allow", value_name = "PLUGIN:WHAT")]
    pub allow: Vec<Allowance>,
    #[command(flatten)]
    pub reached: Reached,
}

/// `vitral plugin install`.
pub fn install(arguments: &InstallArguments) -> Result<(), Failure> {
    let path = arguments.bundle.as_path();
    let reference = match path.exists() {
        true => None,
        false => reference_in(path)?.or(listed(path)?),
    };
    let bundle = match reference {
        Some(reference) => {
            let (bundle, from) = arguments.reached.client()?.fetch(&reference)?;
            println!("fetched {from}");
            bundle
        }
        None => Bundle::open(path)?,
    };
    let installed = put(&bundle, &arguments.allow, arguments.replace)?;
    println!("installed {} in {}", installed.manifest().id(), installed.folder().display());
    let asked = asked(installed.manifest());
    if !asked.is_empty() {
        println!(
            "  it asks for {}, which an experiment grants in `plugins` if you allow it",
            asked.join(", ")
        );
    }
    Ok(())
}

/// Puts a bundle where plugins are installed.
pub fn put(bundle: &Bundle, allow: &[Allowance], replace: bool) -> Result<Installed, Failure> {
    let trust = plugins::trust(allow)?;
    let installed = if replace { trust.replace(bundle)? } else { trust.install(bundle)? };
    compile(bundle);
    Ok(installed)
}

/// Compiles it now, so that no run waits for that. What cannot be compiled is told here, and refused where it is used.
fn compile(bundle: &Bundle) {
    let Ok(component) = bundle.artifact(&Target::Wasm) else { return };
    let engine = WasmEngine::new(plugins::cache_folder().as_deref());
    let engine = engine.map(|engine| engine.compiled_by(plugins::compiler()).telling(note));
    if let Err(error) = engine.and_then(|engine| engine.prepare(&bundle.manifest().name, component))
    {
        note(&format!("warning: {error}"));
    }
}

/// The plugin that an index has under a name, which is no file.
fn listed(path: &Path) -> Result<Option<Reference>, Failure> {
    let Ok(plugin) = as_name(path) else { return Ok(None) };
    let (name, version) = plugin.split_once('@').unwrap_or((plugin, "*"));
    if !vitral_bundle::is_plugin_name(name) {
        return Ok(None);
    }
    let known = indexes::kept(&Store::of_user()?)?;
    Ok(vitral_registry::choose(&known, name, &wanted(version)?)?)
}

/// The versions that are meant: a whole one is that one, and others are as experiments have them.
fn wanted(version: &str) -> Result<VersionReq, Failure> {
    let exactly = Version::parse(version).map(|version| format!("={version}"));
    VersionReq::parse(exactly.as_deref().unwrap_or(version)).map_err(|error| {
        Failure::Usage(format!("`{version}` is not a version such as `1.2.0` or `1.2`: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_version_is_that_one() {
        let will_do = |text: &str, version: &str| {
            wanted(text).unwrap().matches(&Version::parse(version).unwrap())
        };
        assert!(will_do("1.2.0", "1.2.0") && !will_do("1.2.0", "1.2.1"));
        assert!(will_do("1.2", "1.3.1") && !will_do("1.2", "1.1.0") && !will_do("1.2", "2.0.0"));
        assert!(will_do("*", "1.2.0") && !will_do("*", "1.2.0-rc.1"));
        assert!(wanted("newest").unwrap_err().sentence().contains("is not a version"));
    }
}
