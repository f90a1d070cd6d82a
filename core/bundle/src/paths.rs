//! The names that files in a bundle may have. Whatever is not listed here is refused.

use crate::target::Target;

/// What the plugin is.
pub(crate) const MANIFEST: &str = "plugin.ron";
/// The digest of every other file but the signature.
pub(crate) const CHECKSUMS: &str = "SHA256SUMS";
/// The signature of the checksums.
pub(crate) const SIGNATURE: &str = "SHA256SUMS.minisig";

/// As many bytes as a plain tar header has for a name.
const MAX_LENGTH: usize = 100;

/// Which job the file of a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Manifest,
    Checksums,
    Signature,
    /// An artifact, which the manifest has to name.
    Artifact,
    /// A file for people: read me, licence, example.
    Document,
}

/// The role of a file's name, or what is wrong with the name and what would be right.
pub(crate) fn role(path: &str) -> Result<Role, String> {
    check_characters(path)?;
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [MANIFEST] => Ok(Role::Manifest),
        [CHECKSUMS] => Ok(Role::Checksums),
        [SIGNATURE] => Ok(Role::Signature),
        ["README.md" | "CHANGELOG.md"] => Ok(Role::Document),
        [name] if name.starts_with("LICENSE") => Ok(Role::Document),
        ["examples", name] if name.ends_with(".ron") => Ok(Role::Document),
        ["wasm", name] if name.ends_with(".wasm") => Ok(Role::Artifact),
        ["native", _, _] => Ok(Role::Artifact),
        _ => Err("is not a name that a bundle's file may have: these are plugin.ron, SHA256SUMS, \
                  SHA256SUMS.minisig, README.md, CHANGELOG.md, LICENSE*, examples/*.ron, wasm/*.wasm and \
                  native/<target triple>/<library>"
            .to_owned()),
    }
}

/// Where the artifact of a target is. `library` is the file's name for native ones.
pub(crate) fn artifact(target: &Target, plugin: &str, library: &str) -> String {
    match target {
        Target::Wasm => format!("wasm/{plugin}.wasm"),
        Target::Native(triple) => format!("native/{triple}/{library}"),
    }
}

/// Whether a path is where the artifact of a target belongs; if not, what would be right.
pub(crate) fn check_artifact(path: &str, target: &Target, plugin: &str) -> Result<(), String> {
    role(path).map_err(|problem| format!("`{path}` {problem}"))?;
    let library = path.rsplit('/').next().unwrap_or_default();
    let right = artifact(target, plugin, library);
    if path == right {
        return Ok(());
    }
    let right = if *target == Target::Wasm { right } else { artifact(target, plugin, "<library>") };
    Err(format!("the artifact for {target} is `{path}`, but belongs to `{right}`"))
}

fn check_characters(path: &str) -> Result<(), String> {
    if path.len() > MAX_LENGTH {
        return Err(format!("is longer than {MAX_LENGTH} bytes"));
    }
    if path.starts_with('/') {
        return Err("is an absolute path; names in a bundle are relative to it".to_owned());
    }
    if path.split('/').any(|part| part == "..") {
        return Err("leaves the bundle with `..`".to_owned());
    }
    let is_plain = |part: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && part.bytes().all(plain)
    };
    match path.split('/').all(is_plain) {
        true => Ok(()),
        false => Err("may only have letters, digits and `.`, `_`, `+`, `-` between its `/`, with \
                      no dot at the start or end of a part"
            .to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_names_are_allowed() {
        for (path, expected) in [
            ("plugin.ron", Role::Manifest),
            ("SHA256SUMS", Role::Checksums),
            ("SHA256SUMS.minisig", Role::Signature),
            ("README.md", Role::Document),
            ("CHANGELOG.md", Role::Document),
            ("LICENSE-MIT", Role::Document),
            ("examples/swin.ron", Role::Document),
            ("wasm/window.wasm", Role::Artifact),
            ("native/x86_64-unknown-linux-gnu/libvitral_window.so", Role::Artifact),
        ] {
            assert_eq!(role(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = format!("LICENSE{}", "x".repeat(100));
        for path in [
            "",
            ".",
            "..",
            "/plugin.ron",
            "./plugin.ron",
            "wasm//x.wasm",
            "wasm/../x.wasm",
            "wasm",
            "wasm/x.wasm/",
            "wasm\\x.wasm",
            "C:/x",
            "examples/x.txt",
            "examples/a/b.ron",
            "native/x.so",
            "native/a/b/c.so",
            "native/a/.so",
            "Plugin.ron",
            "LICENSE\n",
            "LICENSÉ",
            "wasm/a b.wasm",
            "LICENSE.",
            &long,
        ] {
            assert!(role(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn an_artifact_belongs_to_one_place() {
        let linux = Target::Native("x86_64-unknown-linux-gnu".to_owned());
        let library = "native/x86_64-unknown-linux-gnu/libx.so";
        assert_eq!(check_artifact(library, &linux, "x"), Ok(()));
        assert_eq!(check_artifact("wasm/x.wasm", &Target::Wasm, "x"), Ok(()));
        for (path, target) in
            [("wasm/y.wasm", &Target::Wasm), (library, &Target::Wasm), ("wasm/x.wasm", &linux)]
        {
            assert!(check_artifact(path, target, "x").is_err(), "{path}");
        }
    }
}
