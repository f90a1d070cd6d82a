//! Installed plugins.

use std::fs;

use semver::{Version, VersionReq};
use vitral_abi::Kind;
use vitral_bundle::{BundleError, Distrusted, Signature, Store, Target, TrustedKey, pack, resolve};

use crate::support::{LINUX, description, input, keys, open, packed};

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::at(folder.path().join("plugins"));
    (folder, store)
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

#[test]
fn an_installed_plugin_is_what_the_bundle_was() {
    let (_folder, store) = store();
    let bundle = open(&packed("1.2.0")).unwrap();
    store.install(&bundle).unwrap();
    let plugin = store.open("window", &version("1.2.0")).unwrap();
    assert_eq!(plugin.declared(), (Kind::Attention, description("1.2.0")));
    assert_eq!(plugin.manifest(), bundle.manifest());
    assert_eq!(plugin.digest(), bundle.digest());
    assert_eq!(plugin.artifact(&Target::Wasm).unwrap(), b"\0asm");
    assert_eq!(plugin.file("README.md").unwrap(), b"# Window\n");
    let library = plugin.artifact_path(&Target::Native(LINUX.into())).unwrap();
    assert_eq!(fs::read(library).unwrap(), b"\x7fELF");
    plugin.verify().unwrap();
    let there: Vec<_> = fs::read_dir(store.root()).unwrap().collect();
    assert_eq!(there.len(), 1, "nothing temporary stays: {there:?}");
}

#[test]
fn the_newest_version_that_fits_is_found() {
    let (_folder, store) = store();
    assert!(store.list().unwrap().plugins.is_empty());
    for text in ["1.2.0", "1.10.0", "2.0.0"] {
        store.install(&open(&packed(text)).unwrap()).unwrap();
    }
    let installed = store.list().unwrap().plugins;
    let best = resolve(&installed, "window", &"^1".parse().unwrap()).unwrap();
    assert_eq!(best.version(), &version("1.10.0"));
    let error = resolve(&installed, "windows", &VersionReq::STAR).unwrap_err().to_string();
    assert_eq!(error, "plugin `windows` is not installed; did you mean `window`?");
    store.remove("window", &version("1.10.0")).unwrap();
    let installed = store.list().unwrap().plugins;
    let best = resolve(&installed, "window", &"^1".parse().unwrap()).unwrap();
    assert_eq!(best.version(), &version("1.2.0"));
}

#[test]
fn installing_again_changes_nothing_but_adds_a_signature() {
    let (_folder, store) = store();
    let (secret, pair) = keys();
    let trusted = std::slice::from_ref(pair.public());
    let unsigned = open(&packed("1.2.0")).unwrap();
    let signed = open(&pack(&input("1.2.0"), Some(&secret)).unwrap()).unwrap();
    let plugin = store.install(&unsigned).unwrap();
    assert_eq!(plugin.signature(trusted).unwrap(), Signature::Unsigned);
    store.install(&signed).unwrap().require_trusted(trusted).unwrap();
    store.install(&unsigned).unwrap().require_trusted(trusted).unwrap();
}

#[test]
fn other_contents_of_the_same_version_are_a_conflict_with_both_digests() {
    let (_folder, store) = store();
    let one = open(&packed("1.2.0")).unwrap();
    let other = input("1.2.0").document("examples/more.ron", Vec::new());
    let other = open(&pack(&other, None).unwrap()).unwrap();
    store.install(&one).unwrap();
    let error = store.install(&other).unwrap_err().to_string();
    for digest in [one.digest(), other.digest()] {
        assert!(error.contains(&digest.to_string()), "{error}");
    }
}

#[test]
fn a_file_that_changes_after_installing_is_found_when_it_is_read() {
    let (_folder, store) = store();
    let plugin = store.install(&open(&packed("1.2.0")).unwrap()).unwrap();
    for path in ["wasm/window.wasm", "README.md"] {
        fs::write(plugin.folder().join(path), "other").unwrap();
    }
    for error in [
        plugin.artifact(&Target::Wasm).unwrap_err(),
        plugin.artifact_path(&Target::Wasm).unwrap_err(),
        plugin.file("README.md").unwrap_err(),
        plugin.verify().unwrap_err(),
        store.install(&open(&packed("1.2.0")).unwrap()).unwrap_err(),
    ] {
        assert!(matches!(error, BundleError::Changed { .. }), "{error}");
    }
    assert!(plugin.artifact(&Target::Native(LINUX.into())).is_ok());
    assert!(plugin.file("../../secret").is_err());
}

#[cfg(unix)]
#[test]
fn links_in_an_installed_plugin_are_not_followed() {
    let (_folder, store) = store();
    let plugin = store.install(&open(&packed("1.2.0")).unwrap()).unwrap();
    let readme = plugin.folder().join("README.md");
    fs::rename(&readme, plugin.folder().join("moved")).unwrap();
    std::os::unix::fs::symlink("moved", &readme).unwrap();
    let error = plugin.file("README.md").unwrap_err().to_string();
    assert!(error.contains("regular"), "{error}");
}

#[test]
fn a_broken_plugin_is_told_and_hides_no_other() {
    let (_folder, store) = store();
    let broken = store.install(&open(&packed("1.2.0")).unwrap()).unwrap();
    store.install(&open(&packed("1.3.0")).unwrap()).unwrap();
    fs::write(broken.folder().join("plugin.ron"), "()").unwrap();
    let moved = store.root().join("window-9.9.9");
    fs::create_dir(&moved).unwrap();
    let listing = store.list().unwrap();
    assert_eq!(listing.plugins.len(), 1);
    assert_eq!(listing.broken.len(), 2);
    assert!(listing.broken[0].1.to_string().contains("`plugin.ron` has changed"));
    store.remove("window", &version("1.2.0")).unwrap();
    assert!(!broken.folder().exists());
}

#[test]
fn a_plugin_in_the_folder_of_another_is_refused() {
    let (_folder, store) = store();
    let plugin = store.install(&open(&packed("1.2.0")).unwrap()).unwrap();
    fs::rename(plugin.folder(), store.root().join("window-2.0.0")).unwrap();
    let error = store.open("window", &version("2.0.0")).unwrap_err().to_string();
    assert!(error.contains("`window-1.2.0`"), "{error}");
}

#[test]
fn what_is_not_installed_cannot_be_opened_or_removed() {
    let (folder, store) = store();
    fs::create_dir_all(folder.path().join("x-1.0.0")).unwrap();
    fs::create_dir_all(store.root()).unwrap();
    for name in ["window", "../x", "keys"] {
        let error = store.remove(name, &version("1.0.0")).unwrap_err().to_string();
        assert!(error.contains("1.0.0 is not installed in"), "{error}");
        assert!(store.open(name, &version("1.0.0")).is_err());
    }
    assert!(folder.path().join("x-1.0.0").exists());
}

#[test]
fn trusted_keys_are_kept_with_the_plugins() {
    let (_folder, store) = store();
    let (_, pair) = keys();
    assert!(store.trusted_keys().unwrap().is_empty());
    store.trust(pair.public()).unwrap();
    store.trust(pair.public()).unwrap();
    let fingerprint = pair.public().fingerprint();
    let trusted: Vec<_> =
        store.trusted_keys().unwrap().iter().map(|key| key.fingerprint()).collect();
    assert_eq!(trusted, [fingerprint]);
    assert!(store.list().unwrap().broken.is_empty());
    let start = &fingerprint.to_string()[..8];
    assert!(matches!(store.distrust(&start[..7]), Err(BundleError::TooShort(_))));
    assert_eq!(
        store.distrust(start).unwrap(),
        Distrusted::Key { key: fingerprint, bundles: Vec::new() }
    );
    assert!(matches!(store.distrust(start), Err(BundleError::NotTrusted(_))));
    assert!(store.trusted_keys().unwrap().is_empty());
}

#[test]
fn a_key_with_the_number_of_a_trusted_one_takes_nothing_from_it() {
    let (_folder, store) = store();
    let ((secret, pair), (_, other)) = (keys(), keys());
    store.trust(pair.public()).unwrap();
    store.trust(&renumbered(other.public(), pair.public())).unwrap();
    let trusted = store.trusted_keys().unwrap();
    assert_eq!(trusted.len(), 2);
    assert_eq!(trusted[0].id(), trusted[1].id());
    let bundle = open(&pack(&input("1.2.0"), Some(&secret)).unwrap()).unwrap();
    let fingerprint = pair.public().fingerprint();
    assert_eq!(bundle.signature(&trusted).unwrap(), Signature::Trusted(fingerprint));
}

/// A key under the number of another one.
fn renumbered(key: &TrustedKey, number_of: &TrustedKey) -> TrustedKey {
    // 42 bytes in base64: two for the algorithm, eight for the number, then the key. Whole groups of
    // four letters are three bytes, so that the letters of the first twelve bytes have two of the key.
    let letters = |key: &TrustedKey| key.to_text().lines().nth(1).unwrap().to_owned();
    let (key, other) = (letters(key), letters(number_of));
    TrustedKey::parse("renumbered", &format!("{}{}", &other[..16], &key[16..])).unwrap()
}

#[cfg(unix)]
#[test]
fn a_store_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;

    let (_folder, store) = store();
    let (secret, pair) = keys();
    store.trust(pair.public()).unwrap();
    let signed = open(&pack(&input("1.2.0"), Some(&secret)).unwrap()).unwrap();
    let plugin = store.install(&signed).unwrap();
    let set = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = fs::read_dir(store.root().join("keys")).unwrap().next().unwrap().unwrap().path();
    let library = plugin.artifact_path(&Target::Native(LINUX.into())).unwrap();
    for path in [store.root(), &store.root().join("keys"), &key] {
        let before = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(before & 0o022, 0, "{} was made for everyone", path.display());
        set(path, 0o777);
        let error = store.trusted_keys().unwrap_err();
        assert!(matches!(error, BundleError::NotOwn { .. }), "{error}");
        set(path, before);
    }
    set(store.root(), 0o777);
    for error in [
        store.list().map(drop).unwrap_err(),
        store.open("window", &version("1.2.0")).map(drop).unwrap_err(),
        store.install(&signed).map(drop).unwrap_err(),
        store.trust(pair.public()).map(drop).unwrap_err(),
        store.decisions().map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, BundleError::NotOwn { .. }), "{error}");
    }
    set(store.root(), 0o700);
    set(plugin.folder(), 0o777);
    assert_eq!(store.list().unwrap().broken.len(), 1);
    assert!(store.open("window", &version("1.2.0")).is_err());
    set(plugin.folder(), 0o700);
    set(library.parent().unwrap(), 0o777);
    assert!(plugin.artifact_path(&Target::Native(LINUX.into())).is_err());
    set(library.parent().unwrap(), 0o700);
    assert!(plugin.artifact_path(&Target::Native(LINUX.into())).is_ok());
}
