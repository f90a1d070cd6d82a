//! Publishing in registries, and fetching from there.

use std::path::{Path, PathBuf};

use clap::Args;
use vitral_bundle::{Bundle, BundleError, EXTENSION, Reference, Which};
use vitral_files::{Access, Existing};
use vitral_registry::Push;

use crate::{
    failure::Failure,
    progress::note,
    registries::{BUNDLE, Reached},
};

/// A name in a registry where a file's might have been given.
pub fn reference_in(path: &Path) -> Result<Option<Reference>, Failure> {
    let Some(text) = path.to_str().filter(|text| Reference::is_meant(text)) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(Failure::Usage)
}

#[derive(Debug, Args)]
pub struct PushArguments {
    /// Where it goes: registry and name, as in `ghcr.io/lab/blur`, and optionally its version
    /// (`:1.2.0`).
    pub reference: Reference,
    /// The bundle's file; by default what `pack` has written into the folder `dist` here.
    pub bundle: Option<PathBuf>,
    /// Replace another bundle of this version. Those who have that one are told.
    #[arg(long)]
    pub replace: bool,
    /// Publish it as a container image, which is automatic if a registry accepts nothing else.
    #[arg(long)]
    pub plain_image: bool,
    #[command(flatten)]
    pub reached: Reached,
}

/// `vitral plugin push`.
pub fn push(arguments: &PushArguments) -> Result<(), Failure> {
    let registries = arguments.reached.client()?;
    let path = match &arguments.bundle {
        Some(path) => path.clone(),
        None => packed(&arguments.reference)?,
    };
    let read = vitral_files::read(&path, BUNDLE);
    let bytes = read.map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
    if Bundle::from_bytes(&path.display().to_string(), &bytes)?.signing_key().is_none() {
        note("it is not signed, so nobody can install it without explicitly allowing that");
    }
    let how = Push { replace: arguments.replace, plain_image: arguments.plain_image };
    let pushed = registries.push(&arguments.reference, &bytes, how)?;
    let verb = if pushed.was_there { "already there:" } else { "pushed" };
    println!("{verb} {}", pushed.reference);
    println!("  sha256:{}", pushed.digest);
    if pushed.is_plain_image && !arguments.plain_image {
        println!("  as a container image, since the registry accepts nothing else");
    }
    Ok(())
}

/// The bundle that `pack` has written for a name, below the folder in which the user is.
fn packed(reference: &Reference) -> Result<PathBuf, Failure> {
    let name = reference.plugin();
    if let Which::Version(version) = reference.which() {
        return Ok(Path::new("dist").join(format!("{name}-{version}.{EXTENSION}")));
    }
    let files = std::fs::read_dir("dist").into_iter().flatten().flatten().map(|file| file.path());
    let is_one = |path: &PathBuf| {
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let version = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        let version = version.and_then(|rest| rest.strip_suffix(&format!(".{EXTENSION}")));
        version.is_some_and(|version| semver::Version::parse(version).is_ok())
    };
    let mut found: Vec<PathBuf> = files.filter(is_one).collect();
    found.sort();
    let only = found.pop();
    match (only, found.is_empty()) {
        (Some(only), true) => Ok(only),
        (None, _) => Err(Failure::Usage(format!(
            "there is no bundle of `{name}` in the folder `dist` here; `vitral plugin pack` makes one, or name \
             its file"
        ))),
        (Some(_), false) => Err(Failure::Usage(format!(
            "there are several bundles of `{name}` in the folder `dist` here; name the file, or the version"
        ))),
    }
}

#[derive(Debug, Args)]
pub struct PullArguments {
    /// The plugin, as in `ghcr.io/lab/blur:1.2.0`; `:1.2` is the newest of 1.2.
    pub reference: Reference,
    /// The folder to write the bundle to.
    #[arg(long, default_value = ".")]
    pub output: PathBuf,
    #[command(flatten)]
    pub reached: Reached,
}

/// `vitral plugin pull`.
pub fn pull(arguments: &PullArguments) -> Result<(), Failure> {
    let (found, bytes) = arguments.reached.client()?.pull(&arguments.reference)?;
    let from = &found.reference;
    let manifest = found.card.manifest(&from.to_string())?;
    let path = arguments.output.join(format!("{}.{EXTENSION}", manifest.id()));
    let at = |error| BundleError::Io { action: "write", path: path.clone(), error };
    std::fs::create_dir_all(&arguments.output).map_err(at)?;
    if vitral_files::read(&path, BUNDLE).is_ok_and(|there| there == bytes) {
        println!("{} already exists", path.display());
        return Ok(());
    }
    vitral_files::write(&path, &bytes, Existing::Refuse, Access::Usual).map_err(at)?;
    println!("pulled {from}");
    println!("  sha256:{}", found.digest);
    println!("  to {}", path.display());
    Ok(())
}
