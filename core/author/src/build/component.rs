//! From a core WebAssembly module to a component.

use std::path::Path;

use wit_component::ComponentEncoder;

use crate::AuthorError;

/// The component of a module whose custom sections say of which world it is.
///
/// # Errors
/// It is no module, or not what its world asks for.
pub(super) fn of(path: &Path, module: &[u8]) -> Result<Vec<u8>, AuthorError> {
    let encode = || ComponentEncoder::default().validate(true).module(module)?.encode();
    encode().map_err(|error| AuthorError::Component {
        module: path.to_owned(),
        problem: format!("{error:#}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_module_is_refused_by_name() {
        let error = of(Path::new("x.wasm"), b"nothing").unwrap_err().to_string();
        assert!(error.starts_with("x.wasm does not become a component: "), "{error}");
    }
}
