//! `SHA256SUMS`: one line for each file, as the `sha256sum` tool writes and checks it.

use std::fmt::Write;

use crate::digest::Digest;
use crate::error::BundleError;
use crate::paths::CHECKSUMS;
use crate::text::shown;

/// `SHA256SUMS`.
pub(crate) const FILE: crate::files::Kind =
    crate::files::Kind::new("a list of checksums", 256 << 10);

/// The digests of a bundle's files, in the bundle's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checksums(Vec<(String, Digest)>);

impl Checksums {
    /// The digests of some files.
    pub(crate) fn of<'f>(files: impl IntoIterator<Item = (&'f str, &'f [u8])>) -> Self {
        let line = |(path, content): (&str, &[u8])| (path.to_owned(), Digest::of(content));
        Self(files.into_iter().map(line).collect())
    }

    /// Reads the text, which has one form.
    pub(crate) fn parse(bundle: &str, bytes: &[u8]) -> Result<Self, BundleError> {
        let wrong = |problem: String| BundleError::entry(bundle, CHECKSUMS, problem);
        let text = str::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".to_owned()))?;
        let mut lines = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let parts = line.split_once("  ");
            let parsed =
                parts.and_then(|(digest, path)| Some((path.to_owned(), digest.parse().ok()?)));
            lines.push(parsed.ok_or_else(|| {
                wrong(format!(
                    "has `{}` in line {}; lines are a SHA-256 in lower case, two spaces and a path",
                    shown(line.as_bytes()),
                    index + 1
                ))
            })?);
        }
        let sums = Self(lines);
        match sums.to_text() == text {
            true => Ok(sums),
            false => Err(wrong("has something other than a line break after a line".to_owned())),
        }
    }

    /// The text of the file.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for (path, digest) in &self.0 {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{digest}  {path}");
        }
        text
    }

    /// The paths in their order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(path, _)| path.as_str())
    }

    /// The digest that a file should have.
    pub(crate) fn get(&self, bundle: &str, path: &str) -> Result<Digest, BundleError> {
        let found = self.0.iter().find(|(other, _)| other == path);
        found.map(|(_, digest)| *digest).ok_or_else(|| {
            BundleError::entry(bundle, path, "has no line in SHA256SUMS; every file has one")
        })
    }

    /// Checks the bytes of one file.
    pub(crate) fn check(
        &self,
        bundle: &str,
        path: &str,
        content: &[u8],
    ) -> Result<(), BundleError> {
        let (expected, found) = (self.get(bundle, path)?, Digest::of(content));
        if expected == found {
            return Ok(());
        }
        Err(BundleError::changed(bundle, path, CHECKSUMS, expected, found))
    }

    /// Checks that these are the paths, in this order.
    pub(crate) fn check_paths<'p>(
        &self,
        bundle: &str,
        there: impl Iterator<Item = &'p str> + Clone,
    ) -> Result<(), BundleError> {
        for path in there.clone() {
            self.get(bundle, path)?;
        }
        for path in self.paths() {
            if !there.clone().any(|other| other == path) {
                let problem = "is in SHA256SUMS, but not in the bundle";
                return Err(BundleError::entry(bundle, shown(path.as_bytes()), problem));
            }
        }
        match self.paths().eq(there) {
            true => Ok(()),
            false => Err(BundleError::entry(
                bundle,
                CHECKSUMS,
                "does not have one line for each file in the bundle's order",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_one_form() {
        let sums = Checksums::of([("plugin.ron", b"()".as_slice()), ("wasm/x.wasm", b"")]);
        let text = sums.to_text();
        assert_eq!(Checksums::parse("b", text.as_bytes()).unwrap(), sums);
        for wrong in [
            text.trim_end().to_owned(),
            text.replace("  ", " "),
            text.replace("  ", " *"),
            text.to_uppercase(),
            text.replace('\n', "\r\n"),
            text.clone() + "\n",
            text[1..].to_owned(),
        ] {
            assert!(Checksums::parse("b", wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Checksums::parse("b", b"\xff").is_err());
    }
}
