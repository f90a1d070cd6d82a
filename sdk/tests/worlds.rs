//! The worlds in `src/wasm/types`, and the exports in `src/wasm/worlds.rs`, are those of `wit/`.

use std::fmt::Write;
use std::path::Path;

use vitral_sdk::Kind;
use wit_component::{StringEncoding, metadata};
use wit_parser::{PackageId, Resolve};

/// Set to rewrite them.
const BLESS: &str = "VITRAL_BLESS";

/// Compares a file with what the WIT gives, and rewrites it where that is asked for.
fn is_in_step(file: &Path, made: &[u8]) {
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(file, made).unwrap();
    }
    assert!(
        std::fs::read(file).is_ok_and(|committed| committed == made),
        "{} is not what sdk/wit gives; run this test with {BLESS}=1 to rewrite it",
        file.display()
    );
}

fn wit() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (package, _) = resolve.push_path(root.join("wit")).unwrap();
    (resolve, package)
}

#[test]
fn worlds_are_in_step_with_the_wit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (resolve, package) = wit();
    for kind in Kind::ALL {
        let world = resolve.select_world(&[package], Some(kind.name())).unwrap();
        let encoded = metadata::encode(&resolve, world, StringEncoding::UTF8, None).unwrap();
        is_in_step(&root.join(format!("src/wasm/types/{kind}.bin")), &encoded);
    }
}

#[test]
fn exports_are_in_step_with_the_wit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (resolve, package) = wit();
    let mut text = String::from(BEFORE);
    for kind in Kind::ALL {
        let name = kind.name().replace('-', "_");
        writeln!(text, "    ($Exported:ident: {name}) => {{").unwrap();
        let world = resolve.select_world(&[package], Some(kind.name())).unwrap();
        for export in resolve.worlds[world].exports.keys() {
            let name = resolve.name_world_key(export);
            let words: String =
                name.chars().map(|it| if it.is_alphanumeric() { it } else { '_' }).collect();
            let interface = name.split(['/', '@']).nth(1).unwrap().replace('-', "_");
            write!(
                text,
                "        $crate::__export_{words}_cabi!($Exported with_types_in\n            \
                 $crate::wasm::bindings::exports::vitral::plugin::{interface});\n"
            )
            .unwrap();
        }
        let constant = name.to_uppercase();
        let section = format!("component-type:vitral:{kind}");
        writeln!(text, "        $crate::__world!({constant} {section:?});\n    }};").unwrap();
    }
    text += "}\n";
    is_in_step(&root.join("src/wasm/worlds.rs"), text.as_bytes());
}

/// What the exports begin with.
const BEFORE: &str = "\
//! What a component of each kind exports. Made from sdk/wit by the tests of sdk; do not edit.

/// A component's exports, and the world that it is of.
#[doc(hidden)]
#[macro_export]
macro_rules! __export_component {
";
