//! The worlds in `src/wasm/types` are those of `wit/`.

use std::path::Path;

use vitral_sdk::Kind;
use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

/// Set to rewrite them.
const BLESS: &str = "VITRAL_BLESS";

#[test]
fn worlds_are_in_step_with_the_wit() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(root.join("wit")).unwrap();
    for kind in Kind::ALL {
        let world = resolve.select_world(&[package], Some(kind.name())).unwrap();
        let encoded = metadata::encode(&resolve, world, StringEncoding::UTF8, None).unwrap();
        let file = root.join(format!("src/wasm/types/{kind}.bin"));
        if std::env::var_os(BLESS).is_some() {
            std::fs::write(&file, &encoded).unwrap();
        }
        assert!(
            std::fs::read(&file).is_ok_and(|committed| committed == encoded),
            "{} is not what sdk/wit gives; run this test with {BLESS}=1 to rewrite it",
            file.display()
        );
    }
}
