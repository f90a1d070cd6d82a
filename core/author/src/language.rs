//! The languages that plugins are written in.

use std::{fmt, path::Path};

use vitral_abi::Kind;

use crate::AuthorError;

/// A language that plugins are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust, with the SDK's crate.
    Rust,
    /// C, with the contract's header.
    C,
    /// Python, with the SDK's package.
    Python,
    /// JavaScript, with the SDK's module.
    JavaScript,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 4] = [Self::Rust, Self::C, Self::Python, Self::JavaScript];

    /// Its name in text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::C => "C",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
        }
    }

    /// How its files end.
    pub(crate) const fn extension(self) -> &'static str {
        match self {
            Self::Rust => "rs",
            Self::C => "c",
            Self::Python => "py",
            Self::JavaScript => "js",
        }
    }

    /// Whether a plugin has a native form beside the one of WebAssembly.
    pub const fn has_native(self) -> bool {
        matches!(self, Self::Rust | Self::C)
    }

    /// The file that a plugin in another language than Rust is in. Its name says the kind.
    pub(crate) fn file(self, kind: Kind) -> String {
        format!("{}.{}", kind.name().replace('-', "_"), self.extension())
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a plugin's folder has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A crate.
    Rust,
    /// A file in another language.
    File { language: Language, kind: Kind },
}

impl Source {
    /// Looks into a plugin's folder.
    ///
    /// # Errors
    /// There is no plugin, or more than one.
    pub(crate) fn find(folder: &Path) -> Result<Self, AuthorError> {
        let wrong =
            |problem: String| Err(AuthorError::Source { folder: folder.to_owned(), problem });
        let mut found = Vec::new();
        for language in Language::ALL {
            for kind in Kind::ALL {
                let path = folder.join(language.file(kind));
                if language != Language::Rust && path.is_file() {
                    found.push((language.file(kind), Self::File { language, kind }));
                }
            }
        }
        if folder.join("Cargo.toml").is_file() {
            found.push(("Cargo.toml".into(), Self::Rust));
        }
        match &found[..] {
            [(_, source)] => Ok(source.clone()),
            [] => wrong(
                "there is no plugin: no Cargo.toml, and no file that is named for its kind, as `attention.c`, \
                 `monitor.py` or `image_augmentation.js`; `vitral plugin new` makes one to start from"
                    .into(),
            ),
            [(first, _), (second, _), ..] => wrong(format!(
                "there are {first} and {second}, but a folder is one plugin, in one language"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_plugin_in_one_language() {
        let folder = tempfile::tempdir().unwrap();
        let error = || Source::find(folder.path()).unwrap_err().to_string();
        assert!(error().contains("vitral plugin new"), "{}", error());
        std::fs::write(folder.path().join("helper.py"), "").unwrap();
        assert!(error().contains("named for its kind"), "{}", error());
        let path = folder.path().join("batch_augmentation.py");
        std::fs::write(path, "").unwrap();
        let (language, kind) = (Language::Python, Kind::BatchAugmentation);
        let found = Source::find(folder.path()).unwrap();
        assert_eq!(found, Source::File { language, kind });
        std::fs::write(folder.path().join("Cargo.toml"), "").unwrap();
        assert!(error().contains("batch_augmentation.py and Cargo.toml"), "{}", error());
    }
}
