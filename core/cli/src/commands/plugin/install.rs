//! Installing: bundles' files, and plugins from registries.

use std::path::{Path, PathBuf};

use clap::Args;
use vitral_bundle::{Allowance, Bundle, Installed, Reference, Store, Which};

use super::{
    bundle::{as_name, name_and_version},
    inspect::asked,
    registry::reference_in,
};
use crate::{
    failure::Failure,
    plugins,
    registries::{Reached, indexes},
};

#[derive(Debug, Args)]
pub struct InstallArguments {
    /// A bundle's file, a plugin in a registry (`ghcr.io/lab/blur:1.2`), or the name of one in an index
    /// (`blur`, `blur@1.2`).
    pub bundle: PathBuf,
    /// Put it in the place of what is installed of the same version with other contents.
    #[arg(long)]
    pub replace: bool,
    /// Allow the plugin what needs your permission, from now on: `blur:run` lets it run although
    /// nobody you trust has signed it, `blur:run,network` also grants it the network. Can be given
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
    Ok(if replace { trust.replace(bundle)? } else { trust.install(bundle)? })
}

/// The plugin that an index has under a name, which is no file.
fn listed(path: &Path) -> Result<Option<Reference>, Failure> {
    let Ok(plugin) = as_name(path) else { return Ok(None) };
    let name = plugin.split_once('@').map_or(plugin, |(name, _)| name);
    if !vitral_bundle::is_plugin_name(name) {
        return Ok(None);
    }
    let Some(at) = indexes::place_of(&Store::of_user()?, name)? else { return Ok(None) };
    Ok(Some(match plugin.contains('@') {
        false => at,
        true => at.with(Which::Wanted(name_and_version(plugin)?.1)),
    }))
}
