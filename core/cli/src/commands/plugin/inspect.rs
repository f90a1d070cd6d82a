//! What a plugin is: a bundle's file, one in a registry, installed, or compiled in.

use std::path::Path;

use clap::Args;
use vitral_bundle::{Bundle, Digest, Manifest, Reference, Signature, Store, resolve};
use vitral_host::{Description, Kind};
use vitral_train::plugins::instead_of;

use super::{
    bundle::{as_name, name_and_version, trusted},
    registry::reference_in,
};
use crate::{failure::Failure, plugins, registries::Reached};

/// The most lines that are shown of a text about a plugin.
const MOST_LINES: usize = 60;

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// A bundle's file, a plugin in a registry (`ghcr.io/lab/blur:1.2`), or a plugin's name (`name` or
    /// `name@version`).
    pub plugin: std::path::PathBuf,
    #[command(flatten)]
    pub reached: Reached,
}

/// `vitral plugin inspect`.
pub fn inspect(arguments: &InspectArguments) -> Result<(), Failure> {
    let path = arguments.plugin.as_path();
    if path.is_file() {
        return inspect_file(path);
    }
    if let Some(reference) = reference_in(path)? {
        return inspect_remote(&reference, &arguments.reached);
    }
    let plugin = as_name(path)?;
    let (name, wanted) = name_and_version(plugin)?;
    if let Ok(store) = Store::of_user()
        && let Ok(installed) = resolve(&store.list()?.plugins, name, &wanted)
    {
        describe(&installed.declared(), Some(&installed.folder().display().to_string()));
        for origin in store.origins()?.of(installed.digest()) {
            println!("came from   {origin}");
        }
        contents(installed.manifest(), installed.digest());
        println!("signature   {}", signature(&installed.signature(&trusted()?)?));
        texts(|path| installed.file(path).ok());
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

fn inspect_file(path: &Path) -> Result<(), Failure> {
    let bundle = Bundle::open(path)?;
    describe(&bundle.declared(), None);
    contents(bundle.manifest(), bundle.digest());
    println!("signature   {}", signature(&bundle.signature(&trusted()?)?));
    for (path, content) in bundle.files() {
        println!("  {:>9}  {path}", content.len());
    }
    texts(|path| bundle.file(path).map(<[u8]>::to_vec));
    Ok(())
}

/// Shows what a registry tells, without the bundle.
fn inspect_remote(reference: &Reference, reached: &Reached) -> Result<(), Failure> {
    let found = reached.client()?.find(reference)?;
    let manifest = found.card.manifest(&found.reference.to_string())?;
    describe(&(manifest.kind(), manifest.description()), Some(&found.reference.to_string()));
    println!("in registry sha256:{}, {} bytes to fetch", found.digest, found.bytes);
    contents(&manifest, found.card.digest);
    match found.card.signer {
        None => println!("signature   not signed"),
        Some(key) => {
            println!("signature   names key {key}; it is checked once the bundle is fetched")
        }
    }
    let text = |path: &str| match path {
        "README.md" => found.card.readme.clone(),
        _ => found.card.changes.clone(),
    };
    texts(|path| text(path).map(String::into_bytes));
    Ok(())
}

/// Shows the texts for people that a plugin has.
fn texts(file: impl Fn(&str) -> Option<Vec<u8>>) {
    for path in ["README.md", "CHANGELOG.md"] {
        let Some(text) = file(path) else { continue };
        let text = String::from_utf8_lossy(&text).into_owned();
        println!("{path}");
        let lines: Vec<&str> = text.lines().collect();
        lines.iter().take(MOST_LINES).for_each(|line| println!("    {line}"));
        if lines.len() > MOST_LINES {
            println!("    ... and {} lines more", lines.len() - MOST_LINES);
        }
    }
}

/// What a plugin asks for, in words.
pub fn asked(manifest: &Manifest) -> Vec<&'static str> {
    let asked = &manifest.permissions;
    let all = [("files", asked.files), ("the network", asked.network), ("the clock", asked.clock)];
    all.into_iter().filter_map(|(name, asked)| asked.then_some(name)).collect()
}

pub fn signature(signature: &Signature) -> String {
    match signature {
        Signature::Unsigned => "not signed".into(),
        Signature::Trusted(key) => format!("signed with key {key}, which you trust"),
        Signature::Unknown(key) => format!("signed with key {key}, which you do not trust"),
    }
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
    if let Some(ops) = manifest.needed_ops() {
        println!("op set      {ops}");
    }
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
    if !manifest.authors.is_empty() {
        println!("authors     {}", manifest.authors.join(", "));
    }
    if let Some(license) = &manifest.license {
        println!("license     {license}");
    }
    if let Some(homepage) = &manifest.homepage {
        println!("homepage    {homepage}");
    }
}
