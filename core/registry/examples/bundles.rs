//! Writes signed bundles that nobody could run, for tests of how they are shared:
//! `bundles FOLDER SECRET_KEY NAME@VERSION...`, with `+BYTES` for a text that does not compress.

use std::{env, path::Path};

use vitral_abi::{Description, Kind};
use vitral_bundle::{Digest, PackInput, SigningKey, SourceManifest, pack_to_folder};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [folder, key, plugins @ ..] = arguments.as_slice() else {
        panic!("bundles FOLDER SECRET_KEY NAME@VERSION...")
    };
    let key = SigningKey::read(Path::new(key), None).unwrap();
    for plugin in plugins {
        let (name, version) = plugin.split_once('@').unwrap();
        let (version, bytes) = version.split_once('+').unwrap_or((version, "0"));
        let description = Description {
            name: name.into(),
            version: version.into(),
            summary: format!("Does what {name} does"),
            parameters: Vec::new(),
            examples: Vec::new(),
        };
        let source = SourceManifest {
            license: Some("MIT".into()),
            authors: vec!["Ada Lovelace".into()],
            homepage: Some("https://example.org".into()),
            ..SourceManifest::default()
        };
        let digests =
            (0..bytes.parse::<usize>().unwrap() / 32).map(|n| Digest::of(&n.to_le_bytes()));
        let noise: Vec<u8> = digests.flat_map(|digest| *digest.as_bytes()).collect();
        let input = PackInput::new(Kind::ImageAugmentation, description, source)
            .wasm(plugin.as_bytes().to_vec())
            .document("README.md", format!("# {name}\n\nWhat it is for.\n").into_bytes())
            .document("CHANGELOG.md", format!("## {version}\n\nWhat is new.\n").into_bytes())
            .document("LICENSE-NOISE", noise);
        pack_to_folder(&input, Some(&key), Path::new(folder)).unwrap();
    }
}
