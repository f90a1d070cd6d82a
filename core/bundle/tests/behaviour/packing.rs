//! Bundles that are made come back as they were, always as the same bytes.

use std::fs;

use vitral_abi::{Kind, Value};
use vitral_bundle::{Bundle, Digest, PackInput, SourceManifest, Target, pack, pack_to_folder};

use crate::support::{LINUX, description, input, open, packed, unsealed};

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(packed("1.2.0"), packed("1.2.0"));
    let other_order = PackInput::new(
        Kind::Attention,
        description("1.2.0"),
        SourceManifest { license: Some("MIT".into()), ..SourceManifest::default() },
    )
    .document("examples/small.ron", b"(size: 4)\n".to_vec())
    .document("LICENSE-MIT", b"MIT\n".to_vec())
    .native(LINUX, "libvitral_window.so", b"\x7fELF".to_vec())
    .document("README.md", b"# Window\n".to_vec())
    .wasm(b"\0asm".to_vec());
    assert_eq!(pack(&other_order, None).unwrap(), packed("1.2.0"));
    assert_ne!(packed("1.2.1"), packed("1.2.0"));
}

#[test]
fn a_bundle_has_what_was_packed() {
    let bundle = open(&packed("1.2.0")).unwrap();
    assert_eq!(bundle.declared(), (Kind::Attention, description("1.2.0")));
    assert_eq!(bundle.file_name(), "window-1.2.0.vitral");
    assert_eq!(bundle.manifest().license.as_deref(), Some("MIT"));
    assert_eq!(bundle.manifest().ops, Some(vitral_program::ops::VERSION));
    assert_eq!(bundle.artifact(&Target::Wasm).unwrap(), b"\0asm");
    assert_eq!(bundle.artifact(&Target::Native(LINUX.into())).unwrap(), b"\x7fELF");
    assert_eq!(bundle.file("README.md"), Some(b"# Window\n".as_slice()));
    let artifact = bundle.manifest().artifact(&Target::Wasm).unwrap();
    assert_eq!((artifact.sha256, artifact.bytes), (Digest::of(b"\0asm"), 4));
    let error = bundle.artifact(&Target::Native("wasm64".into())).unwrap_err().to_string();
    assert!(error.contains("`window` 1.2.0 has no form for wasm64, only for"), "{error}");
}

#[test]
fn what_traces_no_programs_needs_no_ops() {
    let input = PackInput::new(Kind::Monitor, description("1.2.0"), SourceManifest::default());
    let bundle = open(&pack(&input.wasm(b"\0asm".to_vec()), None).unwrap()).unwrap();
    assert_eq!((bundle.manifest().ops, bundle.manifest().needed_ops()), (None, None));
}

#[test]
fn ordinary_tar_readers_read_a_bundle() {
    let archive = unsealed(&packed("1.2.0"));
    let folder = tempfile::tempdir().unwrap();
    tar::Archive::new(archive.as_slice()).unpack(folder.path()).unwrap();
    assert_eq!(fs::read(folder.path().join("wasm/window.wasm")).unwrap(), b"\0asm");
}

#[test]
fn a_source_folder_gives_its_documents() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| fs::write(folder.path().join(path), text).unwrap();
    fs::create_dir_all(folder.path().join("examples/more")).unwrap();
    fs::create_dir_all(folder.path().join("LICENSES")).unwrap();
    for path in ["README.md", "LICENSE", "Cargo.toml", "examples/a.ron", "examples/a.rs"] {
        write(path, path);
    }
    let input = PackInput::new(Kind::Monitor, description("0.1.0"), SourceManifest::default())
        .wasm(Vec::new())
        .documents_of(folder.path())
        .unwrap();
    let path = pack_to_folder(&input, None, folder.path()).unwrap();
    assert_eq!(path, folder.path().join("window-0.1.0.vitral"));
    let bundle = Bundle::open(&path).unwrap();
    let paths: Vec<&str> = bundle.files().map(|(path, _)| path).skip(2).collect();
    assert_eq!(paths, ["LICENSE", "README.md", "examples/a.ron", "wasm/window.wasm"]);
}

#[test]
fn what_would_not_open_is_not_packed() {
    let named = |name: &str| {
        let mut description = description("1.0.0");
        description.name = name.into();
        PackInput::new(Kind::Attention, description, SourceManifest::default()).wasm(Vec::new())
    };
    let mut nan = description("1.0.0");
    nan.parameters[0].default = Some(Value::Number(f64::NAN));
    let nan = PackInput::new(Kind::Attention, nan, SourceManifest::default()).wasm(Vec::new());
    let nothing = PackInput::new(Kind::Attention, description("1.0.0"), SourceManifest::default());
    for (what, input, expected) in [
        ("no artifact", nothing, "there is no artifact"),
        ("two artifacts for a target", input("1.0.0").wasm(Vec::new()), "twice"),
        ("a wrong version", input("1.0"), "not a semantic version"),
        ("a wrong name", named("Window"), "a plugin cannot be called `Window`"),
        ("a name that is a path", named("../x"), "leaves the bundle"),
        ("a long name", named(&"a".repeat(95)), "longer than 100 bytes"),
        (
            "a wrong document",
            input("1.0.0").document("run.sh", Vec::new()),
            "`run.sh` is not a name",
        ),
        ("a document twice", input("1.0.0").document("README.md", Vec::new()), "twice"),
        ("a second manifest", input("1.0.0").document("plugin.ron", Vec::new()), "twice"),
        ("a triple that is a path", input("1.0.0").native("..", "x.so", Vec::new()), "`..`"),
        ("a number that is none", nan, "finite"),
    ] {
        let error = pack(&input, None).unwrap_err().to_string();
        assert!(error.contains(expected), "{what}: {error}");
    }
}

#[test]
fn the_host_is_a_target_triple() {
    let Target::Native(triple) = Target::host() else { panic!("the host is not a sandbox") };
    assert!(triple.split('-').count() >= 3, "{triple}");
}
