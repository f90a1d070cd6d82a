//! From a core WebAssembly module to a component.

use std::path::Path;

use vitral_host::Kind;
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

use crate::AuthorError;

/// The component of a module whose custom sections say of which world it is.
///
/// # Errors
/// It is no module, or not what its world asks for.
pub(super) fn of(path: &Path, module: &[u8]) -> Result<Vec<u8>, AuthorError> {
    let encode = || ComponentEncoder::default().validate(true).module(module)?.encode();
    encode().map_err(|error| wrong(path, format!("{error:#}")))
}

/// The component of a module that is of a kind's world.
///
/// # Errors
/// As [`of`], or it imports what only a system has.
pub(super) fn of_kind(
    path: &Path,
    mut module: Vec<u8>,
    kind: Kind,
) -> Result<Vec<u8>, AuthorError> {
    let used = system_calls(&module).map_err(|error| wrong(path, error.to_string()))?;
    if !used.is_empty() {
        return Err(wrong(
            path,
            format!("it uses `{}` of the system, which plugins do not have", used.join("`, `")),
        ));
    }
    section(&mut module, &format!("component-type:vitral:{kind}"), world(kind));
    of(path, &module)
}

fn wrong(module: &Path, problem: String) -> AuthorError {
    AuthorError::Component { module: module.to_owned(), problem }
}

/// A kind's world in the form of a component's metadata.
const fn world(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::ImageAugmentation => {
            include_bytes!("../../../../sdk/src/wasm/types/image-augmentation.bin")
        }
        Kind::BatchAugmentation => {
            include_bytes!("../../../../sdk/src/wasm/types/batch-augmentation.bin")
        }
        Kind::Attention => include_bytes!("../../../../sdk/src/wasm/types/attention.bin"),
        Kind::Monitor => include_bytes!("../../../../sdk/src/wasm/types/monitor.bin"),
    }
}

/// What a module imports of WASI's first version.
fn system_calls(module: &[u8]) -> wasmparser::Result<Vec<String>> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        let Payload::ImportSection(section) = payload? else { continue };
        for import in section.into_imports() {
            let import = import?;
            if import.module.starts_with("wasi_") || import.module == "env" {
                found.push(import.name.to_owned());
            }
        }
    }
    Ok(found)
}

/// Appends a custom section to a module.
fn section(module: &mut Vec<u8>, name: &str, content: &[u8]) {
    let mut body = length(name.len());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(content);
    module.push(0);
    module.extend(length(body.len()));
    module.extend(body);
}

/// A length as WebAssembly writes it: seven bits a byte, the lowest first.
fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn what_is_no_module_is_refused_by_name() {
        let error = of(Path::new("x.wasm"), b"nothing").unwrap_err().to_string();
        assert!(error.starts_with("x.wasm does not become a component: "), "{error}");
    }

    #[test]
    fn a_module_that_needs_a_system_is_refused_by_what_it_uses() {
        // One type, and one function of it that is imported.
        let import = b"\x16wasi_snapshot_preview1\x09path_open\0\0";
        let imports = [&[2, 1 + import.len() as u8, 1], &import[..]].concat();
        let module = [HEADER, &[1, 4, 1, 0x60, 0, 0], &imports].concat();
        let error = of_kind(Path::new("x.wasm"), module, Kind::Monitor).unwrap_err().to_string();
        assert!(error.contains("`path_open` of the system"), "{error}");
    }

    #[test]
    fn a_module_without_its_kinds_exports_is_refused() {
        let error = of_kind(Path::new("x.wasm"), HEADER.to_vec(), Kind::Monitor);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("vitral:plugin/description"), "{error}");
    }

    #[test]
    fn lengths_have_seven_bits_a_byte() {
        assert_eq!((length(0), length(127)), (vec![0], vec![127]));
        assert_eq!((length(128), length(300)), (vec![0x80, 1], vec![0xac, 2]));
    }
}
