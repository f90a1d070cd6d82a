//! What is not opened, and why.

use std::fs;

use vitral_host::{Declared, Plugin, WasmEngine};

use crate::{guests, support::*};

const UNCHANGED: &str = "(i32.store (i32.const 256) (i32.const 0)) (i32.const 256)";

/// Why a component, as text, is not opened.
fn refusal_of(component: &str) -> String {
    refusal(&wat::parse_str(component).unwrap())
}

#[test]
fn what_is_no_component_is_refused() {
    for bytes in [&b""[..], b"hello", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"] {
        let text = refusal(bytes);
        assert!(text.contains("component") || text.contains("no plugin"), "{text}");
    }
}

#[test]
fn cut_and_flipped_components_do_no_harm() {
    let whole = guests::image(UNCHANGED);
    for length in (0..whole.len()).step_by(97) {
        let text = refusal(&whole[..length]);
        assert!(text.contains("cannot be opened"), "{text}");
    }
    // A flipped bit may be harmless; it must not crash, hang or open as something else.
    for at in (0..whole.len()).step_by(41) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        if let Ok(plugin) = open(&flipped)
            && let Ok(mut instance) = plugin.image_augmentation(&defaults(&plugin))
        {
            let _ = augment(&mut *instance);
        }
    }
}

#[test]
fn foreign_imports_are_named() {
    let text = refusal_of(
        r#"(component (import "evil:thing/files@1.0.0" (instance (export "open" (func)))))"#,
    );
    assert!(text.contains("imports `evil:thing/files@1.0.0`, which does not exist"), "{text}");
}

#[test]
fn a_newer_contract_is_named_with_both_versions() {
    let text = refusal_of(
        r#"(component (import "vitral:plugin/logging@2.0.0" (instance (export "log" (func)))))"#,
    );
    let (major, minor) = vitral_abi::VERSION;
    let spoken = format!("supports {major}.{minor}.0");
    assert!(text.contains("contract 2.0.0") && text.contains(&spoken), "{text}");
}

#[test]
fn a_component_without_a_kind_is_no_plugin() {
    let text = refusal_of("(component)");
    assert!(text.contains("exports none of `vitral:plugin/image-augmentations`"), "{text}");
}

#[test]
fn a_component_of_two_kinds_is_refused() {
    let text = refusal_of(
        r#"(component
            (instance $none)
            (export "vitral:plugin/monitors@1.0.0" (instance $none))
            (export "vitral:plugin/attentions@1.0.0" (instance $none)))"#,
    );
    assert!(text.contains("several kinds (monitor, attention)"), "{text}");
}

#[test]
fn patches_of_the_contract_load_and_newer_minor_versions_do_not() {
    let with = |version: &str| {
        refusal_of(&format!(
            r#"(component
                (instance $none) (export "vitral:plugin/monitors@{version}" (instance $none)))"#
        ))
    };
    assert!(with("1.0.7").contains("its exports are not those"), "{}", with("1.0.7"));
    let newer = format!("1.{}.0", vitral_abi::VERSION.1 + 1);
    assert!(with(&newer).contains(&format!("built for contract {newer}")), "{}", with(&newer));
}

#[test]
fn a_component_that_asks_for_wasi_that_there_is_not_is_refused() {
    let text = refusal_of(
        r#"(component
            (import "wasi:nn/graph@0.2.0" (instance (export "x" (func))))
            (instance $none) (export "vitral:plugin/monitors@1.0.0" (instance $none)))"#,
    );
    assert!(text.contains("wasi:nn/graph@0.2.0"), "{text}");
}

#[test]
fn a_component_that_says_otherwise_than_its_manifest_is_refused() {
    let component = guests::image(UNCHANGED);
    let plugin = open(&component).unwrap();
    let declared = |version: &str| {
        let mut description = plugin.description().clone();
        description.version = version.into();
        Declared { kind: plugin.kind(), description }
    };
    assert!(Plugin::wasm(engine(), &component, Some(&declared("1.0.0")), options()).is_ok());
    let other = Plugin::wasm(engine(), &component, Some(&declared("1.2.0")), options());
    let text = other.err().unwrap().to_string();
    assert!(text.contains("declares version 1.2.0, but the plugin says 1.0.0"), "{text}");
}

#[test]
fn compiled_components_are_kept_and_damage_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let component = guests::image(UNCHANGED);
    let open = || {
        let engine = WasmEngine::new(Some(folder.path())).unwrap();
        let plugin = Plugin::wasm(&engine, &component, None, options()).unwrap();
        augment(&mut *plugin.image_augmentation(&defaults(&plugin)).unwrap()).unwrap()
    };
    open();
    let entries: Vec<_> = fs::read_dir(folder.path().join("wasm")).unwrap().flatten().collect();
    assert_eq!(entries.len(), 1);
    let path = entries[0].path();
    let whole = fs::read(&path).unwrap();
    open();
    assert_eq!(fs::read(&path).unwrap(), whole);
    for damaged in [whole[..whole.len() / 2].to_vec(), Vec::new(), {
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        flipped
    }] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(open(), image());
        assert!(fs::read(&path).unwrap().starts_with(b"vitral-compiled1"), "written anew");
    }
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_can_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("wasm");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).unwrap();
    let engine = WasmEngine::new(Some(folder.path())).unwrap();
    let component = guests::image(UNCHANGED);
    assert!(Plugin::wasm(&engine, &component, None, options()).is_ok());
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(Plugin::wasm(&engine, &component, None, options()).is_ok());
    let entry = fs::read_dir(&cache).unwrap().next().unwrap().unwrap();
    assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}
