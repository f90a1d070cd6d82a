//! File paths as text. A path is bytes, and a text is Unicode: a byte that is not part of valid UTF-8
//! is written as a NUL, which no path has, and two hexadecimal digits. So every path comes back as it
//! was, and one that is Unicode is simply itself.
//!
//! As serde sees it, for a field: `#[serde(with = "vitral_config::path_text")]`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

const MARK: char = '\0';

/// A path as text.
pub fn to_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("{MARK}{byte:02x}"));
        }
    }
    text
}

/// A path as RON has it: its text in quotes, which can be an argument of a command, too.
pub fn quoted(path: &Path) -> String {
    crate::set::quoted(&to_text(path)).replace(MARK, "\\u{0}")
}

/// The path that a text stands for.
///
/// # Errors
/// The text has a NUL without a byte behind it, or such a path cannot be on this system; in words.
pub fn from_text(text: &str) -> Result<PathBuf, String> {
    if !text.contains(MARK) {
        return Ok(text.into());
    }
    let mut parts = text.split(MARK);
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or("a path has a NUL that stands for no byte")?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    of_bytes(bytes)
}

#[cfg(unix)]
fn of_bytes(bytes: Vec<u8>) -> Result<PathBuf, String> {
    use std::os::unix::ffi::OsStringExt as _;

    Ok(std::ffi::OsString::from_vec(bytes).into())
}

#[cfg(not(unix))]
fn of_bytes(bytes: Vec<u8>) -> Result<PathBuf, String> {
    let text = String::from_utf8(bytes);
    text.map(PathBuf::from).map_err(|_| "paths of this system are Unicode, and this is not".into())
}

/// Writes one path.
///
/// # Errors
/// The serializer's own.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_text(path))
}

/// Reads one path.
///
/// # Errors
/// There is no text, or it stands for no path.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    from_text(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The same for a list of paths.
pub mod list {
    use std::path::PathBuf;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{from_text, to_text};

    /// Writes paths.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(paths.iter().map(|path| to_text(path)))
    }

    /// Reads paths.
    ///
    /// # Errors
    /// There is no list of texts, or one stands for no path.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| from_text(text).map_err(D::Error::custom)).collect()
    }
}

/// The same for a path that may be left out.
pub mod option {
    use std::path::PathBuf;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::{from_text, to_text};

    /// Writes a path, or none.
    ///
    /// # Errors
    /// The serializer's own.
    pub fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match path {
            Some(path) => serializer.serialize_some(&to_text(path)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a path, or none.
    ///
    /// # Errors
    /// There is something else than a text, or it stands for no path.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<PathBuf>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| from_text(&text).map_err(D::Error::custom)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{Document, to_ron};

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Paths {
        #[serde(with = "crate::path_text")]
        #[schemars(with = "PathBuf")]
        one: PathBuf,
        #[serde(with = "crate::path_text::list")]
        #[schemars(with = "Vec<PathBuf>")]
        many: Vec<PathBuf>,
        #[serde(with = "crate::path_text::option", default)]
        #[schemars(with = "Option<PathBuf>")]
        perhaps: Option<PathBuf>,
    }

    fn read(text: &str) -> Result<Paths, String> {
        Document::new("paths", text).parse().map_err(|error| error.to_string())
    }

    #[test]
    fn unicode_is_itself() {
        let path = Path::new("bilder/käse [1]/\"a\".png");
        assert_eq!(to_text(path), "bilder/käse [1]/\"a\".png");
        let read = read(r#"(one: "a/ä", many: ["b", "c/d"], perhaps: "e")"#).unwrap();
        assert_eq!((read.one, read.perhaps), ("a/ä".into(), Some("e".into())));
        assert_eq!(read.many, ["b", "c/d"].map(PathBuf::from));
    }

    #[cfg(unix)]
    #[test]
    fn every_byte_comes_back() {
        let odd = of_bytes(b"latin1_\xe4\xc3/\xff00".to_vec()).unwrap();
        let paths =
            Paths { one: odd.clone(), many: vec!["a".into(), odd.clone()], perhaps: Some(odd) };
        let text = to_ron(&paths).unwrap();
        assert_eq!(read(&text).unwrap(), paths, "{text}");
        let one = quoted(&paths.one);
        assert!(!one.contains(MARK));
        assert_eq!(read(&format!("(one: {one}, many: [])")).unwrap().one, paths.one, "{one}");
    }

    #[test]
    fn what_is_no_path_is_told() {
        let error = read("(one: \"a\\u{0}\", many: [])").unwrap_err();
        assert!(error.contains("stands for no byte"), "{error}");
        assert!(read("(one: 3, many: [])").unwrap_err().contains('3'));
    }
}
