//! Which plugin an experiment gets, before anything of it runs.

use vitral_bundle::{PackInput, SourceManifest, Store, pack};
use vitral_host::Description;

use super::*;

/// A store with these versions of plugin `x`.
fn store(versions: &[&str]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("plugins"));
    for version in versions {
        let description = Description {
            name: "x".into(),
            version: (*version).into(),
            summary: "x".into(),
            parameters: Vec::new(),
            examples: Vec::new(),
        };
        let input = PackInput::new(Kind::Monitor, description, SourceManifest::default());
        let packed = pack(&input.wasm(version.as_bytes().to_vec()), None).unwrap();
        store.install(&Bundle::from_bytes("x", &packed).unwrap()).unwrap();
    }
    (folder, store)
}

fn found(registry: &Registry, wanted: &str, run: Option<RunAs>) -> Option<String> {
    let used = PluginUse { version: wanted.parse().unwrap(), ..PluginUse::new("x") };
    let config = PluginConfig { run, ..PluginConfig::default() };
    match registry.find(&used, &config).ok()? {
        Found::Own(..) => Some("own".into()),
        Found::Package(package) => Some(package.manifest().version.to_string()),
    }
}

fn lock(version: &str, origin: Origin) -> Lock {
    let version = version.parse().unwrap();
    Lock::new([Locked { name: "x".into(), version, origin, sha256: None }])
}

#[test]
fn a_run_that_goes_on_keeps_the_version_that_it_was_started_with() {
    let (_folder, store) = store(&["1.0.0", "1.1.0", "2.0.0"]);
    let registry = || Registry::new(Vec::new(), Trust::new(Some(store.clone()), []), None);
    assert_eq!(found(&registry(), "*", None).as_deref(), Some("2.0.0"));
    let resumed = registry();
    resumed.go_on_with(&lock("1.0.0", Origin::Wasm));
    assert_eq!(found(&resumed, "*", None).as_deref(), Some("1.0.0"));
    assert_eq!(found(&resumed, "^1", Some(RunAs::Wasm)).as_deref(), Some("1.0.0"));
    // Where the experiment was changed, that counts, and the lock is compared with what it comes to.
    assert_eq!(found(&resumed, "^2", None).as_deref(), Some("2.0.0"));
    assert_eq!(found(&resumed, "*", Some(RunAs::Native)).as_deref(), Some("2.0.0"));
    // So it does where that version is gone.
    let resumed = registry();
    resumed.go_on_with(&lock("0.9.0", Origin::Wasm));
    assert_eq!(found(&resumed, "*", None).as_deref(), Some("2.0.0"));
}

#[test]
fn a_plugin_that_is_no_longer_there_is_named_with_how_to_get_it() {
    let (_folder, store) = store(&["1.1.0"]);
    let registry = || Registry::new(Vec::new(), Trust::new(Some(store.clone()), []), None);
    let resumed = registry();
    resumed.go_on_with(&lock("0.9.0", Origin::Wasm));
    let used = PluginUse { version: "^0.9".parse().unwrap(), ..PluginUse::new("x") };
    let refused =
        resumed.find(&used, &PluginConfig::default()).err().map(|refusal| match refusal {
            Refusal::Field { message, help, .. } => (message, help),
            _ => panic!("the version is what is wrong"),
        });
    let (message, help) = refused.unwrap();
    assert!(message.contains("started with 0.9.0 (WebAssembly)"), "{message}");
    assert!(help.contains("bundle of its version 0.9.0 again"), "{help}");
}
