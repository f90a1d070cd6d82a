//! Making an index.

use std::{path::PathBuf, str::FromStr};

use clap::Args;
use semver::Version;
use vitral_bundle::{Bundle, Reference, SigningKey, Store};
use vitral_files::{Access, Existing};
use vitral_registry::Index;

use super::FILE;
use crate::failure::Failure;

#[derive(Debug, Args)]
pub struct MakeArguments {
    /// The index's file. If it exists, it must be signed with the same key, and is added to.
    pub index: PathBuf,
    /// The bundles to list, each signed with this key or one that you trust.
    pub bundles: Vec<PathBuf>,
    /// Where the bundles are: a registry and the path before a plugin's name, as in `ghcr.io/lab`.
    #[arg(long, value_name = "REGISTRY", required_unless_present = "yank")]
    pub at: Option<String>,
    /// Yank a version: no new run starts with it any more. Can be given several times.
    #[arg(long, value_name = "NAME@VERSION=WHY")]
    pub yank: Vec<Yank>,
    /// The secret key that signs the index.
    #[arg(long, value_name = "NAME.key")]
    pub key: PathBuf,
}

/// A version to take back, and why.
#[derive(Clone, Debug)]
pub struct Yank {
    name: String,
    version: Version,
    why: String,
}

impl FromStr for Yank {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(plugin, why)| {
            let (name, version) = plugin.split_once('@')?;
            let version = version.parse().ok()?;
            Some(Self { name: name.to_owned(), version, why: why.to_owned() })
        });
        parts
            .ok_or_else(|| "expected NAME@VERSION=WHY, as in `blur@1.0.0=it darkens images`".into())
    }
}

/// `vitral plugin index make`.
pub fn make(arguments: &MakeArguments) -> Result<(), Failure> {
    let password = std::env::var("VITRAL_KEY_PASSWORD").ok();
    let key = SigningKey::read(&arguments.key, password.as_deref())?;
    let place = arguments.index.display().to_string();
    let mut index = match arguments.index.exists() {
        false => Index::default(),
        true => {
            let read = vitral_files::read(&arguments.index, FILE);
            let file = read.map_err(|error| Failure::Other(format!("{place}: {error}")))?;
            Index::open(&place, &file, &[key.public()?])?.0
        }
    };
    let mut trusted = Store::of_user()?.trusted_keys()?;
    trusted.push(key.public()?);
    for path in &arguments.bundles {
        let bundle = Bundle::open(path)?;
        let signer = bundle.require_trusted(&trusted)?;
        let at =
            format!("{}/{}", arguments.at.as_deref().unwrap_or_default(), bundle.manifest().name);
        let at: Reference = at.parse().map_err(|error| Failure::Usage(format!("--at: {error}")))?;
        index.add(&bundle, &at, signer)?;
    }
    for Yank { name, version, why } in &arguments.yank {
        index.yank(name, version, why)?;
    }
    index.serial += 1;
    let file = index.signed(&key)?;
    let written =
        vitral_files::write(&arguments.index, &file, Existing::ReplaceFile, Access::Usual);
    written.map_err(|error| Failure::Other(format!("{place}: {error}")))?;
    println!("{place} lists {} plugins, number {}", index.plugins.len(), index.serial);
    println!("  signed with key {}", key.public()?.fingerprint());
    Ok(())
}
