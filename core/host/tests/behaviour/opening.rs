//! What is not opened, and why.

use std::fs;

use vitral_host::{Declared, Plugin, WasmEngine};

use crate::{guests, support::*};

const UNCHANGED: &str = "(i32.store (i32.const 256) (i32.const 0)) (i32.const 256)";

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
    let text = refusal(
        br#"(component (import "evil:thing/files@1.0.0" (instance (export "open" (func)))))"#,
    );
    assert!(text.contains("imports `evil:thing/files@1.0.0`, which there is not"), "{text}");
}

#[test]
fn a_newer_contract_is_named_with_both_versions() {
    let text = refusal(
        br#"(component (import "vitral:plugin/logging@2.0.0" (instance (export "log" (func)))))"#,
    );
    assert!(text.contains("contract 2.0.0") && text.contains("speaks 1.0.0"), "{text}");
}

#[test]
fn a_component_without_a_kind_is_no_plugin() {
    let text = refusal(b"(component)");
    assert!(text.contains("exports none of `vitral:plugin/image-augmentations`"), "{text}");
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
