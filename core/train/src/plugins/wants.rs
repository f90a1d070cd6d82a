//! What a plugin would do beyond what every sandboxed one may, as an experiment has it run. Whether
//! it may is for `vitral_bundle::Trust` to say; nothing that is written in an experiment does.

use std::fs;

use vitral_bundle::{Limits, Manifest, Permissions, Permit, SourceManifest};
use vitral_host::FileGrant;

use super::{PluginConfig, RunAs, refusal::Refusal};

/// What a plugin asks for, where it says so before it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks<'a> {
    name: &'a str,
    permissions: Permissions,
    limits: Limits,
}

impl<'a> Asks<'a> {
    /// What the plugin of a name asks for beside its source.
    pub(super) fn beside(name: &'a str, source: &SourceManifest) -> Self {
        Self { name, permissions: source.permissions, limits: source.limits }
    }
}

impl<'a> From<&'a Manifest> for Asks<'a> {
    fn from(manifest: &'a Manifest) -> Self {
        Self { name: &manifest.name, permissions: manifest.permissions, limits: manifest.limits }
    }
}

/// What a plugin would do.
///
/// # Errors
/// The experiment grants less or more than the plugin asks for, or no such folder.
pub(super) fn wants(asks: Asks, config: &PluginConfig) -> Result<Vec<Permit>, Refusal> {
    if config.run == Some(RunAs::Native) {
        return Ok(vec![Permit::Native]);
    }
    check_grants(asks, config)?;
    let grant = &config.grant;
    let mut wants: Vec<Permit> = grant.files.iter().map(folder).collect::<Result<_, _>>()?;
    wants.extend(grant.network.iter().map(|peer| Permit::Network(peer.to_string())));
    wants.extend(grant.clock.then_some(Permit::Clock));
    let (usual, limits) = (Limits::default(), limits(asks, config));
    let (memory, time) = (limits.memory_mib, limits.call_ms);
    wants.extend((memory > usual.memory_mib).then_some(Permit::MemoryMib(memory)));
    wants.extend((time > usual.call_ms).then_some(Permit::CallMs(time)));
    Ok(wants)
}

/// The limits of a sandboxed plugin: the experiment's, or else those that it asks for.
pub(super) fn limits(asks: Asks, config: &PluginConfig) -> Limits {
    Limits {
        memory_mib: config.memory_mib.unwrap_or(asks.limits.memory_mib),
        call_ms: config.call_ms.unwrap_or(asks.limits.call_ms),
    }
}

/// A folder that is what it is called: a link in its path could lead elsewhere tomorrow.
fn folder(grant: &FileGrant) -> Result<Permit, Refusal> {
    let path = &grant.path;
    let found = fs::canonicalize(path).map_err(|error| {
        Refusal::new(
            format!("the granted folder {path:?} cannot be opened: {error}"),
            "`grant` must name existing folders",
        )
    })?;
    if found != *path {
        return Err(Refusal::new(
            format!("the granted folder {path:?} is in fact {found:?}"),
            "name it by its whole path, without links, `.` and `..`",
        ));
    }
    let text = path.to_str().ok_or_else(|| {
        Refusal::new(format!("the name of the granted folder {path:?} is not UTF-8"), "rename it")
    })?;
    Ok(if grant.write { Permit::Write(text.into()) } else { Permit::Read(text.into()) })
}

/// Refuses a plugin that asks for what it is not granted, and grants of what it does not ask for.
fn check_grants(asks: Asks, config: &PluginConfig) -> Result<(), Refusal> {
    let (asked, grant, name) = (asks.permissions, &config.grant, asks.name);
    let all = [
        ("files", "files: [(path: \"...\")]", asked.files, !grant.files.is_empty()),
        ("the network", "network: [\"HOST:PORT\"]", asked.network, !grant.network.is_empty()),
        ("the clock", "clock: true", asked.clock, grant.clock),
    ];
    let names = |which: &dyn Fn(bool, bool) -> bool| -> Vec<(&str, &str)> {
        let which = all.iter().filter(|(.., asked, granted)| which(*asked, *granted));
        which.map(|(name, field, ..)| (*name, *field)).collect()
    };
    let words = |of: &[(&str, &str)]| of.iter().map(|(n, _)| *n).collect::<Vec<_>>().join(" and ");
    let missing = names(&|asked, granted| asked && !granted);
    if !missing.is_empty() {
        let fields: Vec<&str> = missing.iter().map(|(_, field)| *field).collect();
        return Err(Refusal::new(
            format!("plugin `{name}` asks for {}, which is not granted", words(&missing)),
            format!("to grant it: plugins: {{\"{name}\": (grant: ({}))}}", fields.join(", ")),
        ));
    }
    let unasked = names(&|asked, granted| granted && !asked);
    if !unasked.is_empty() {
        return Err(Refusal::new(
            format!("plugin `{name}` does not ask for {}, but is granted it", words(&unasked)),
            "a plugin gets at most what its manifest asks for; `vitral plugin inspect` shows it",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vitral_config::Document;
    use vitral_host::Permissions;

    use super::*;

    fn manifest(more: &str) -> Manifest {
        let text = format!(
            r#"(name: "x", version: "1.0.0", contract: "1.0", kind: Monitor, summary: "x", {more}
                artifacts: [(kind: Wasm, path: "wasm/x.wasm", sha256: "{}", bytes: 0)])"#,
            "0".repeat(64)
        );
        Manifest::parse(&Document::new("plugin.ron", text)).unwrap()
    }

    fn granting(grant: Permissions) -> PluginConfig {
        PluginConfig { grant, ..PluginConfig::default() }
    }

    fn refused(manifest: &Manifest, grant: Permissions) -> String {
        match wants(manifest.into(), &granting(grant)) {
            Err(Refusal::Field { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plugin_within_the_usual_limits_wants_nothing() {
        let wants =
            |manifest: &str, config| wants((&self::manifest(manifest)).into(), &config).ok();
        assert_eq!(wants("", PluginConfig::default()), Some(vec![]));
        let small = "limits: (memory_mib: 64, call_ms: 1000),";
        assert_eq!(wants(small, PluginConfig::default()), Some(vec![]));
        // The experiment may take back what the manifest asks for.
        let large = "limits: (memory_mib: 4096, call_ms: 3600000),";
        let config = PluginConfig { memory_mib: Some(8), ..PluginConfig::default() };
        assert_eq!(wants(large, config), Some(vec![Permit::CallMs(3_600_000)]));
        let both = vec![Permit::MemoryMib(4096), Permit::CallMs(3_600_000)];
        assert_eq!(wants(large, PluginConfig::default()), Some(both));
        // And cannot raise what it does not ask for by itself.
        let config = PluginConfig { memory_mib: Some(65), ..PluginConfig::default() };
        assert_eq!(wants("", config), Some(vec![Permit::MemoryMib(65)]));
        let native = PluginConfig { run: Some(RunAs::Native), ..PluginConfig::default() };
        assert_eq!(wants("", native), Some(vec![Permit::Native]));
    }

    #[test]
    fn grants_are_what_the_manifest_asks_for_no_less_and_no_more() {
        let peers = ["lab:80".parse().unwrap(), "Lab:81".parse().unwrap()];
        let network = || Permissions { network: peers.to_vec(), ..Permissions::default() };
        let asking = manifest("permissions: (network: true),");
        let permits = ["lab:80", "lab:81"].map(|peer| Permit::Network(peer.into()));
        assert_eq!(wants((&asking).into(), &granting(network())).ok(), Some(permits.to_vec()));
        assert!(refused(&asking, Permissions::default()).contains("asks for the network"));
        let clock = Permissions { clock: true, ..network() };
        assert!(refused(&asking, clock).contains("does not ask for the clock"));
        assert!(refused(&manifest(""), network()).contains("does not ask for the network"));
        let files = vec![FileGrant { path: "/".into(), write: false }];
        let files = Permissions { files, ..Permissions::default() };
        assert!(refused(&manifest(""), files).contains("does not ask for files"));
    }

    #[cfg(unix)]
    #[test]
    fn a_granted_folder_is_what_it_is_called() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("real");
        fs::create_dir(&real).unwrap();
        let link = real.with_file_name("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let asking = manifest("permissions: (files: true),");
        let files = |path: &std::path::Path, write| Permissions {
            files: vec![FileGrant { path: path.into(), write }],
            ..Permissions::default()
        };
        let text = real.to_str().unwrap().to_owned();
        let found = wants((&asking).into(), &granting(files(&real, true))).ok();
        assert_eq!(found, Some(vec![Permit::Write(text.clone())]));
        let found = wants((&asking).into(), &granting(files(&real, false))).ok();
        assert_eq!(found, Some(vec![Permit::Read(text.clone())]));
        assert!(refused(&asking, files(&link, false)).contains(&format!("is in fact {text:?}")));
        let around = real.join("../real");
        assert!(refused(&asking, files(&around, false)).contains("in fact"));
        assert!(refused(&asking, files(&real.join("no"), false)).contains("cannot be opened"));
    }
}
