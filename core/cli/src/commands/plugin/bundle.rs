//! Bundles: checking, signing, listing, removing, and whom to trust.

use std::path::{Path, PathBuf, is_separator};

use semver::{Version, VersionReq};
use vitral_bundle::{
    Bundle, Distrusted, Installed, KeyPair, SigningKey, Store, TrustedKey, resolve,
};
use vitral_files::{Access, Existing};
use vitral_host::{Description, Kind};

use super::inspect::signature;
use crate::{failure::Failure, plugins};

/// `vitral plugin verify`: checksums and signature of a bundle or an installed plugin.
pub fn verify(path: &Path, key: Option<&Path>) -> Result<(), Failure> {
    let keys = match key {
        Some(path) => vec![TrustedKey::read(path)?],
        None => trusted()?,
    };
    let (what, found, required) = if path.is_file() {
        let bundle = Bundle::open(path)?;
        let required = key.map(|_| bundle.require_trusted(&keys));
        (bundle.manifest().id(), bundle.signature(&keys)?, required)
    } else {
        let installed = installed(as_name(path)?)?;
        installed.verify()?;
        let required = key.map(|_| installed.require_trusted(&keys));
        (installed.manifest().id(), installed.signature(&keys)?, required)
    };
    if let Some(required) = required {
        required?;
    }
    println!("{what}: every file matches its checksum; {}", signature(&found));
    Ok(())
}

/// `vitral plugin list`.
pub fn list() -> Result<(), Failure> {
    for kind in Kind::ALL {
        println!("{kind}");
        for plugin in plugins::compiled_in()?.iter().filter(|plugin| plugin.kind() == kind) {
            line(plugin.description(), "compiled in");
        }
        if let Ok(store) = Store::of_user() {
            for installed in &store.list()?.plugins {
                let (of, description) = installed.declared();
                if of == kind {
                    line(&description, &installed.folder().display().to_string());
                }
            }
        }
    }
    if let Ok(store) = Store::of_user() {
        for (folder, error) in &store.list()?.broken {
            println!("{} cannot be used: {error}", folder.display());
        }
    }
    Ok(())
}

/// `vitral plugin remove`.
pub fn remove(plugin: &str) -> Result<(), Failure> {
    let store = Store::of_user()?;
    let (name, version) = match plugin.split_once('@') {
        Some((name, version)) => (name, parse_version(version)?),
        None => (plugin, only_version(&store, plugin)?),
    };
    store.remove(name, &version)?;
    println!("removed {name} {version}");
    Ok(())
}

/// The version of a plugin that is installed in one alone.
fn only_version(store: &Store, name: &str) -> Result<Version, Failure> {
    let installed = installed(name)?;
    let listing = store.list()?.plugins;
    let all = listing.iter().filter(|plugin| plugin.name() == name);
    let all: Vec<String> = all.map(|plugin| format!("{name}@{}", plugin.version())).collect();
    match all.len() {
        0 | 1 => Ok(installed.version().clone()),
        _ => Err(Failure::Usage(format!(
            "`{name}` is installed in several versions; say which: {}",
            all.join(", ")
        ))),
    }
}

/// `vitral plugin keygen`: `NAME.pub` and `NAME.key`.
pub fn keygen(name: &Path) -> Result<(), Failure> {
    // What follows a dot in the name is a part of it.
    let with = |extension: &str| {
        let mut path = name.as_os_str().to_owned();
        path.push(extension);
        PathBuf::from(path)
    };
    let ends_in_separator =
        name.as_os_str().as_encoded_bytes().last().is_some_and(|&end| is_separator(end.into()));
    let usable = vitral_files::check_place(name).map_err(|error| error.to_string());
    usable
        .and_then(|()| match ends_in_separator {
            true => Err("this is a folder: add the keys' name to it, as in `keys/me`".into()),
            false => Ok(()),
        })
        .map_err(|problem| Failure::Other(format!("{}: {problem}", name.display())))?;
    let (public, secret) = (with(".pub"), with(".key"));
    let password = password();
    let pair = KeyPair::generate(password.as_deref())?;
    pair.write(&public, &secret)?;
    println!("fingerprint {}", pair.public().fingerprint());
    println!("{}  share this, for `vitral plugin trust`", public.display());
    println!("{}  keep this, for `vitral plugin sign`", secret.display());
    if password.is_none() {
        println!("the secret key has no password; set VITRAL_KEY_PASSWORD to give it one");
    }
    Ok(())
}

/// `vitral plugin sign`: the bundle's file is replaced by a signed one.
pub fn sign(bundle: &Path, key: &Path) -> Result<(), Failure> {
    let key = SigningKey::read(key, password().as_deref())?;
    let signed = Bundle::open(bundle)?.signed(&key)?;
    let written = vitral_files::write(bundle, &signed, Existing::ReplaceFile, Access::Usual);
    written.map_err(|error| Failure::Other(format!("{}: {error}", bundle.display())))?;
    println!("signed {}", bundle.display());
    Ok(())
}

/// `vitral plugin trust`.
pub fn trust(key: &Path) -> Result<(), Failure> {
    let key = TrustedKey::read(key)?;
    let path = Store::of_user()?.trust(&key)?;
    println!("now trusting key {}", key.fingerprint());
    println!("  it is kept in {}", path.display());
    println!(
        "  compare its fingerprint with the one its owner publishes; `vitral plugin distrust` undoes this"
    );
    Ok(())
}

/// `vitral plugin distrust`: a key, by its file or fingerprint, or what a bundle may do.
pub fn distrust(what: &Path) -> Result<(), Failure> {
    let start = match what.is_file() {
        true => TrustedKey::read(what)?.fingerprint().to_string(),
        false => what.to_string_lossy().into_owned(),
    };
    match Store::of_user()?.distrust(&start)? {
        Distrusted::Key { key, bundles } => {
            println!("key {key} is no longer trusted; what it signed no longer runs");
            for (plugin, digest) in bundles {
                println!("  nor may {plugin} ({digest}), which it signed, do what you had allowed");
            }
        }
        Distrusted::Bundle(plugin, digest) => {
            println!("{plugin} ({digest}) no longer has more permissions than any other plugin");
        }
    }
    Ok(())
}

/// `vitral plugin keys`.
pub fn keys() -> Result<(), Failure> {
    let store = Store::of_user()?;
    let (keys, decisions) = (store.trusted_keys()?, store.decisions()?);
    println!("trusted keys{}", if keys.is_empty() { "  none" } else { "" });
    for key in keys {
        println!("  {}  (signatures name it {})", key.fingerprint(), key.id());
        let names = decisions.names.iter().filter(|(_, owner)| **owner == key.fingerprint());
        let names: Vec<&str> = names.map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            println!("      its names: {}", names.join(", "));
        }
    }
    println!("also allowed{}", if decisions.allowed.is_empty() { "  nothing" } else { "" });
    for allowed in &decisions.allowed {
        println!("  {}  {}", allowed.digest, allowed.plugin);
        let permits: Vec<String> = allowed.permits.iter().map(ToString::to_string).collect();
        println!("      {}", permits.join(", "));
        if allowed.has_lapsed() {
            println!(
                "      no longer valid: it does not say who signed the bundle, so you will be \
                 asked again"
            );
        }
    }
    Ok(())
}

fn password() -> Option<String> {
    std::env::var("VITRAL_KEY_PASSWORD").ok()
}

pub fn trusted() -> Result<Vec<TrustedKey>, Failure> {
    Ok(Store::of_user().and_then(|store| store.trusted_keys())?)
}

fn installed(plugin: &str) -> Result<Installed, Failure> {
    let (name, wanted) = name_and_version(plugin)?;
    let listing = Store::of_user()?.list()?;
    let found = resolve(&listing.plugins, name, &wanted);
    found.cloned().map_err(|error| Failure::Other(error.to_string()))
}

/// A plugin's name where a file's might have been given.
pub fn as_name(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| Failure::Other(format!("{} is not a file", path.display())))
}

/// `name` or `name@version`.
pub fn name_and_version(plugin: &str) -> Result<(&str, VersionReq), Failure> {
    match plugin.split_once('@') {
        None => Ok((plugin, VersionReq::STAR)),
        Some((name, version)) => {
            let version = parse_version(version)?;
            let exactly = VersionReq::parse(&format!("={version}"));
            Ok((name, exactly.map_err(|error| Failure::Other(error.to_string()))?))
        }
    }
}

fn parse_version(version: &str) -> Result<Version, Failure> {
    let parsed = Version::parse(version);
    parsed.map_err(|error| Failure::Other(format!("`{version}` is not a version: {error}")))
}

fn line(description: &Description, origin: &str) {
    let Description { name, version, summary, .. } = description;
    println!("  {name:16} {version:8} {summary}  ({origin})");
}
