//! Which plugin an experiment gets, before anything of it runs.

use std::sync::Arc;

use vitral_bundle::{
    Digest, Fetched, PackInput, Reference, SourceManifest, Store, Target, Which, pack,
};
use vitral_host::Description;

use super::*;

/// A store with these versions of plugin `x`.
fn store(versions: &[&str]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("plugins"));
    for version in versions {
        store.install(&bundle(version)).unwrap();
    }
    (folder, store)
}

/// A bundle of a version of plugin `x`.
fn bundle(version: &str) -> Bundle {
    let description = Description {
        name: "x".into(),
        version: version.into(),
        summary: "x".into(),
        parameters: Vec::new(),
        examples: Vec::new(),
    };
    let input = PackInput::new(Kind::Monitor, description, SourceManifest::default());
    let packed = pack(&input.wasm(version.as_bytes().to_vec()), None).unwrap();
    Bundle::from_bytes("x", &packed).unwrap()
}

fn found(registry: &Registry, wanted: &str, run: Option<RunAs>) -> Option<String> {
    let used = PluginUse { version: wanted.parse().unwrap(), ..PluginUse::new("x") };
    let config = PluginConfig { run, ..PluginConfig::default() };
    match registry.find(&used, &config).ok()? {
        Found::Own(..) => Some("own".into()),
        Found::Package(package) => Some(package.manifest().version.to_string()),
        Found::Local(_) => Some("local".into()),
    }
}

fn lock(version: &str, origin: Origin) -> Lock {
    let version = version.parse().unwrap();
    let (sha256, bundle, signer, from) = (None, None, None, None);
    Lock::new([Locked { name: "x".into(), version, origin, sha256, bundle, signer, from }])
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

fn fetched(registry: &Registry, from: &str, wanted: &str) -> Result<String, String> {
    let used = PluginUse { version: wanted.parse().unwrap(), ..PluginUse::new("x") };
    let config = PluginConfig { from: Some(from.parse().unwrap()), ..PluginConfig::default() };
    match registry.find(&used, &config) {
        Ok(Found::Package(package)) => Ok(package.manifest().version.to_string()),
        Ok(Found::Own(..) | Found::Local(_)) => panic!("nothing is compiled in or local"),
        Err(Refusal::Field { message, help, .. }) => Err(format!("{message}\n{help}")),
        Err(Refusal::NotAllowed(_) | Refusal::Path { .. }) => panic!("nothing is asked"),
    }
}

#[test]
fn what_was_installed_from_a_registry_counts_and_else_it_is_fetched() {
    let (_folder, store) = store(&["1.0.0", "1.1.0", "2.0.0"]);
    for from in ["r.org/lab/x:1.0.0", "r.org/lab/x:1.1.0"] {
        let from: Reference = from.parse().unwrap();
        let Which::Version(which) = from.which() else { panic!() };
        let digest = store.open("x", which).unwrap().digest();
        store.note_origin(&from, Fetched { registry: digest, bundle: digest }).unwrap();
    }
    let fetches = Arc::new(Mutex::new(Vec::new()));
    let asked = fetches.clone();
    let fetch = move |from: &Reference| {
        asked.lock().unwrap().push(from.to_string());
        match from.which() {
            Which::Version(which) if *which == Version::new(0, 1, 0) => {
                Err("it is gone".to_owned())
            }
            _ => Ok(bundle("1.2.0")),
        }
    };
    let trust = || Trust::new(Some(store.clone()), []);
    let without = Registry::new(Vec::new(), trust(), None);
    let registry = Registry::new(Vec::new(), trust(), None).fetching(Box::new(fetch));
    // What came from there, although there is a newer one from elsewhere.
    assert_eq!(fetched(&without, "r.org/lab/x", "*").unwrap(), "1.1.0");
    assert_eq!(fetched(&without, "r.org/lab/x:1.0.0", "*").unwrap(), "1.0.0");
    assert_eq!(fetched(&without, "r.org/lab/x", "=1.0.0").unwrap(), "1.0.0");
    let missing = fetched(&without, "r.org/lab/x:1.2.0", "*").unwrap_err();
    assert!(missing.contains("`vitral plugin install r.org/lab/x:1.2.0`"), "{missing}");
    assert!(fetched(&without, "s.org/lab/x", "*").is_err(), "it came from elsewhere");
    assert_eq!(fetched(&registry, "s.org/lab/x@^1.2", "*").unwrap(), "1.2.0");
    assert_eq!(fetched(&registry, "s.org/lab/x@^1.2", "^1").unwrap(), "1.2.0");
    assert!(fetched(&registry, "s.org/lab/x@^1.2", "^2").unwrap_err().contains("is required"));
    assert_eq!(*fetches.lock().unwrap(), ["s.org/lab/x@^1.2"], "it is fetched once");
    let wrong = fetched(&registry, "s.org/lab/y", "*").unwrap_err();
    assert!(wrong.contains("is plugin `y`, not `x`"), "{wrong}");
    // A run that goes on asks for the version that it was begun with.
    let resumed = registry;
    resumed.state().fetched.clear();
    resumed.go_on_with(&lock("0.1.0", Origin::Wasm));
    let gone = fetched(&resumed, "s.org/lab/x@^0.1", "*").unwrap_err();
    assert!(gone.contains("it is gone") && gone.contains("s.org/lab/x:0.1.0"), "{gone}");
}

#[test]
fn a_newer_version_from_the_same_place_is_not_for_a_run_that_goes_on() {
    let (_folder, store) = store(&["1.1.0"]);
    let digest = store.open("x", &Version::new(1, 1, 0)).unwrap().digest();
    let from: Reference = "r.org/lab/x:1.1.0".parse().unwrap();
    store.note_origin(&from, Fetched { registry: digest, bundle: digest }).unwrap();
    let resumed = |before: Lock| {
        let fetch = |from: &Reference| match from.which() {
            Which::Version(which) => Ok(bundle(&which.to_string())),
            _ => panic!("a run that goes on asks for one version"),
        };
        let trust = Trust::new(Some(store.clone()), []);
        let registry = Registry::new(Vec::new(), trust, None).fetching(Box::new(fetch));
        registry.go_on_with(&before);
        registry
    };
    let begun = |version: &str| lock(version, Origin::Wasm);
    assert_eq!(fetched(&resumed(begun("1.1.0")), "r.org/lab/x", "*").unwrap(), "1.1.0");
    assert_eq!(fetched(&resumed(begun("1.0.0")), "r.org/lab/x", "*").unwrap(), "1.0.0");
    assert_eq!(fetched(&resumed(begun("1.0.0")), "r.org/lab/x@^1", "*").unwrap(), "1.0.0");
    // Where the experiment was changed, that counts.
    assert_eq!(fetched(&resumed(begun("1.0.0")), "r.org/lab/x:1.1.0", "*").unwrap(), "1.1.0");
    assert_eq!(fetched(&resumed(begun("1.0.0")), "r.org/lab/x", "^1.1").unwrap(), "1.1.0");
    // Nor does another bundle of the same version.
    let of = |bundle: Digest| {
        let (version, origin) = (Version::new(1, 1, 0), Origin::Wasm);
        let (name, bundle) = ("x".into(), Some(bundle));
        Lock::new([Locked {
            name,
            version,
            origin,
            sha256: None,
            bundle,
            signer: None,
            from: None,
        }])
    };
    let is_installed = |before: Lock| {
        let used = PluginUse::new("x");
        let from = Some("r.org/lab/x".parse().unwrap());
        let config = PluginConfig { from, ..PluginConfig::default() };
        match resumed(before).find(&used, &config) {
            Ok(Found::Package(package)) => matches!(*package, Package::Installed(_)),
            _ => panic!("it is found"),
        }
    };
    assert!(is_installed(of(digest)));
    assert!(!is_installed(of(Digest::of(b"other"))));
}

#[test]
fn no_run_begins_with_what_was_taken_back() {
    let (_folder, store) = store(&["1.0.0"]);
    let digest = store.open("x", &Version::new(1, 0, 0)).unwrap().digest();
    let yanked = || vec![Yanked { digest, why: "it darkens".into() }];
    let registry = || Registry::new(Vec::new(), Trust::new(Some(store.clone()), []), None);
    assert!(found(&registry(), "*", None).is_some());
    assert!(found(&registry().without(yanked()), "*", None).is_none());
    let resumed = registry().without(yanked());
    resumed.go_on_with(&lock("1.0.0", Origin::Wasm));
    assert_eq!(found(&resumed, "*", None).as_deref(), Some("1.0.0"));
}

/// Gives the component of a fixture as what it has built, and counts how often it builds.
struct Folders {
    component: Vec<u8>,
    is_built: bool,
    builds: Arc<Mutex<u32>>,
}

impl Build for Folders {
    fn look(&self, _: &Path, _: &Target) -> Result<Source, String> {
        let digest = Digest::of(b"source");
        let built = self.is_built.then(|| self.component.clone());
        Ok(Source { digest, manifest: SourceManifest::default(), built })
    }

    fn build(&self, _: &Path, _: &Target, _: Digest, _: fn(&str)) -> Result<Vec<u8>, String> {
        *self.builds.lock().unwrap() += 1;
        Ok(self.component.clone())
    }
}

#[test]
fn a_folder_is_built_once_it_is_allowed_and_locked_by_what_was_built() {
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/plugins/contract-1.0.0/early-stop-1.0.0.vitral"
    );
    let component = Bundle::open(Path::new(fixture)).unwrap();
    let component = component.artifact(&Target::Wasm).unwrap().to_vec();
    let digest = Digest::of(&component);
    let folder = tempfile::tempdir().unwrap();
    let builds = Arc::new(Mutex::new(0));
    let registry = |allowed: &str, is_built: bool| {
        let allowed = vec![allowed.parse().unwrap()];
        let trust = Trust::new(None, []).allowing(allowed);
        let (component, builds) = (component.clone(), builds.clone());
        let folders = Folders { component, is_built, builds };
        Registry::new(Vec::new(), trust, None).building(Box::new(folders))
    };
    let text = r#"(data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])))"#;
    let mut experiment: Experiment = vitral_config::Document::new("test", text).parse().unwrap();
    let path = Some(folder.path().to_owned());
    let config = PluginConfig { path, ..PluginConfig::default() };
    experiment.plugins.insert("early-stop".into(), config);
    let used = PluginUse::new("early-stop");
    experiment.monitors.push(used.clone());
    let open = |registry: &Registry| {
        registry.check_allowed(&experiment)?;
        registry.open(&experiment, &used, Kind::Monitor, "monitors[0]")
    };
    for (allowed, is_built, would) in [
        ("early-stop:run", false, "be built"),
        ("early-stop:build", false, "in the sandbox"),
        ("early-stop:build", true, "in the sandbox"),
    ] {
        let refused = open(&registry(allowed, is_built)).err().unwrap().to_string();
        assert!(refused.contains(would), "{would}: {refused}");
    }
    assert_eq!(*builds.lock().unwrap(), 0);
    open(&registry("early-stop:run", true)).map(drop).unwrap();
    assert_eq!(*builds.lock().unwrap(), 0, "it is as its source is");
    let built = registry("early-stop:run,build", false);
    open(&built).map(drop).unwrap();
    open(&built).map(drop).unwrap();
    assert_eq!(*builds.lock().unwrap(), 1);
    let lock = built.lock();
    let locked = lock.get("early-stop").unwrap();
    assert_eq!((locked.sha256, locked.bundle, &locked.origin), (Some(digest), None, &Origin::Wasm));
    assert!(built.relock(&lock).is_ok());
    let before = Locked { sha256: Some(Digest::of(b"before")), ..locked.clone() };
    let refused = built.relock(&Lock::new([before])).unwrap_err().to_string();
    assert!(refused.contains("be what it was then"), "{refused}");
}
