//! Bundles: looking into them, checking, signing, installing.

use std::path::{Path, PathBuf, is_separator};

use clap::Args;
use semver::{Version, VersionReq};
use vitral_bundle::{
    Allowance, Bundle, Digest, Distrusted, Installed, KeyPair, Manifest, Signature, SigningKey,
    Store, TrustedKey, resolve,
};
use vitral_files::{Access, Existing};
use vitral_host::{Description, Kind};
use vitral_train::plugins::instead_of;

use crate::{failure::Failure, plugins};

/// `vitral plugin inspect`: a bundle's file, or a plugin that is installed or compiled in.
pub fn inspect(path: &Path) -> Result<(), Failure> {
    if path.is_file() {
        let bundle = Bundle::open(path)?;
        describe(&bundle.declared(), None);
        contents(bundle.manifest(), bundle.digest());
        println!("signature   {}", signature(&bundle.signature(&trusted()?)?));
        for (path, content) in bundle.files() {
            println!("  {:>9}  {path}", content.len());
        }
        return Ok(());
    }
    let plugin = as_name(path)?;
    let (name, wanted) = name_and_version(plugin)?;
    if let Ok(store) = Store::of_user()
        && let Ok(installed) = resolve(&store.list()?.plugins, name, &wanted)
    {
        describe(&installed.declared(), Some(&installed.folder().display().to_string()));
        contents(installed.manifest(), installed.digest());
        println!("signature   {}", signature(&installed.signature(&trusted()?)?));
        return Ok(());
    }
    let compiled_in = plugins::compiled_in()?;
    let found = compiled_in.iter().find(|plugin| plugin.description().name == name);
    let found = found.ok_or_else(|| {
        let names = plugins::names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let help = match (instead_of(name), vitral_config::nearest(name, &names)) {
            (Some(instead), _) => instead.to_owned(),
            (None, Some(meant)) => format!("did you mean `{meant}`?"),
            (None, None) => "`vitral plugin list` shows the available ones".to_owned(),
        };
        Failure::Other(format!(
            "{plugin} is not a file, and no plugin of that name is installed or compiled in\n  help: {help}"
        ))
    })?;
    describe(&(found.kind(), found.description().clone()), Some("compiled in"));
    Ok(())
}

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
    println!("{what}: every file is as it was packed; {}", signature(&found));
    Ok(())
}

#[derive(Debug, Args)]
pub struct InstallArguments {
    /// The bundle's file.
    pub bundle: PathBuf,
    /// Allow the plugin what needs your permission, from now on: `blur:run` lets it run although
    /// nobody you trust has signed it, `blur:run,network` also grants it the network. Can be given
    /// several times.
    #[arg(long = "allow", value_name = "PLUGIN:WHAT")]
    pub allow: Vec<Allowance>,
}

/// `vitral plugin install`.
pub fn install(arguments: &InstallArguments) -> Result<(), Failure> {
    let bundle = Bundle::open(&arguments.bundle)?;
    let installed = plugins::trust(&arguments.allow)?.install(&bundle)?;
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

/// What a plugin asks for, in words.
fn asked(manifest: &Manifest) -> Vec<&'static str> {
    let asked = &manifest.permissions;
    let all = [("files", asked.files), ("the network", asked.network), ("the clock", asked.clock)];
    all.into_iter().filter_map(|(name, asked)| asked.then_some(name)).collect()
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
        None => (plugin, installed(plugin)?.version().clone()),
    };
    store.remove(name, &version)?;
    println!("removed {name} {version}");
    Ok(())
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
    println!("trusting key {} from now on", key.fingerprint());
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
            println!("key {key} is no longer trusted; what it has signed no longer runs");
            for (plugin, digest) in bundles {
                println!(
                    "  nor may {plugin} ({digest}), which it has signed, do what you had allowed"
                );
            }
        }
        Distrusted::Bundle(plugin, digest) => {
            println!("{plugin} ({digest}) may no longer do more than any other plugin");
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
                "      holds no more: it does not say who had signed the bundle; you are asked again"
            );
        }
    }
    Ok(())
}

fn password() -> Option<String> {
    std::env::var("VITRAL_KEY_PASSWORD").ok()
}

fn trusted() -> Result<Vec<TrustedKey>, Failure> {
    Ok(Store::of_user().and_then(|store| store.trusted_keys())?)
}

fn installed(plugin: &str) -> Result<Installed, Failure> {
    let (name, wanted) = name_and_version(plugin)?;
    let listing = Store::of_user()?.list()?;
    let found = resolve(&listing.plugins, name, &wanted);
    found.cloned().map_err(|error| Failure::Other(error.to_string()))
}

/// A plugin's name where a file's might have been given.
fn as_name(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| Failure::Other(format!("{} is not a file", path.display())))
}

/// `name` or `name@version`.
fn name_and_version(plugin: &str) -> Result<(&str, VersionReq), Failure> {
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
    parsed.map_err(|error| Failure::Other(format!("`{version}` is no version: {error}")))
}

fn signature(signature: &Signature) -> String {
    match signature {
        Signature::Unsigned => "not signed".into(),
        Signature::Trusted(key) => format!("signed with key {key}, which you trust"),
        Signature::Unknown(key) => format!("signed with key {key}, which you do not trust"),
    }
}

fn line(description: &Description, origin: &str) {
    let Description { name, version, summary, .. } = description;
    println!("  {name:16} {version:8} {summary}  ({origin})");
}

fn describe((kind, description): &(Kind, Description), origin: Option<&str>) {
    println!("{} {}: {}", description.name, description.version, description.summary);
    println!("kind        {kind}");
    if let Some(origin) = origin {
        println!("from        {origin}");
    }
    println!("parameters{}", if description.parameters.is_empty() { "  none" } else { "" });
    for parameter in &description.parameters {
        let default = match &parameter.default {
            Some(value) => format!("default {value}"),
            None => "must be set".into(),
        };
        println!("  {}: {} ({default})", parameter.name, parameter.r#type);
        println!("      {}", parameter.doc);
    }
    for example in &description.examples {
        let settings: Vec<_> = example
            .settings
            .iter()
            .map(|setting| format!("{:?}: {}", setting.name, setting.value))
            .collect();
        println!("example     {}: settings: {{{}}}", example.title, settings.join(", "));
    }
}

fn contents(manifest: &Manifest, digest: Digest) {
    println!("contract    {}", manifest.contract);
    println!("digest      {digest}, the SHA-256 of its SHA256SUMS");
    let asked = asked(manifest);
    println!("asks for    {}", if asked.is_empty() { "nothing".into() } else { asked.join(", ") });
    let limits = &manifest.limits;
    println!("needs       {} MiB of memory, {} ms a call", limits.memory_mib, limits.call_ms);
    for artifact in &manifest.artifacts {
        println!(
            "runs on     {}  {} bytes, SHA-256 {}",
            artifact.kind, artifact.bytes, artifact.sha256
        );
    }
    if let Some(license) = &manifest.license {
        println!("license     {license}");
    }
}
