//! What a registry tells about a plugin beside its bundle, so that it can be looked at without that.

use serde::{Deserialize, Serialize};
use vitral_bundle::{Bundle, Digest, KeyId, Manifest};
use vitral_config::Document;

use crate::error::RegistryError;

/// The most bytes of a card.
#[cfg(feature = "client")]
pub(crate) const MOST: u64 = 4 << 20;

/// The most bytes of a text for people in a card.
const MOST_TEXT: usize = 256 << 10;

/// What is told about a bundle beside it. It is not signed: once the bundle is there, it is compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The bundle's `plugin.ron`.
    manifest: String,
    /// The digest of its checksums, which stands for all of its files.
    pub digest: Digest,
    /// The key that its signature names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<KeyId>,
    /// Its `README.md`, unless that is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readme: Option<String>,
    /// Its `CHANGELOG.md`, unless that is long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<String>,
}

impl Card {
    /// The card of a bundle.
    pub fn of(bundle: &Bundle) -> Self {
        let text = |path| {
            let text = bundle.file(path).filter(|text| text.len() <= MOST_TEXT);
            text.map(|text| String::from_utf8_lossy(text).into_owned())
        };
        Self {
            // A bundle has a manifest, which is UTF-8.
            manifest: bundle.file("plugin.ron").map_or_else(String::new, |manifest| {
                String::from_utf8_lossy(manifest).into_owned()
            }),
            digest: bundle.digest(),
            signer: bundle.signing_key(),
            readme: text("README.md"),
            changes: text("CHANGELOG.md"),
        }
    }

    /// Reads a card; `name` is what messages call it.
    pub fn parse(name: &str, json: &[u8]) -> Result<Self, RegistryError> {
        let wrong = |problem: String| RegistryError::NoPlugin { what: name.to_owned(), problem };
        serde_json::from_slice(json)
            .map_err(|error| wrong(format!("what it says about itself cannot be read: {error}")))
    }

    /// What the plugin is, asks for, and consists of.
    pub fn manifest(&self, name: &str) -> Result<Manifest, RegistryError> {
        let document = Document::new(format!("{name}: plugin.ron"), self.manifest.as_str());
        Ok(Manifest::parse(&document)?)
    }

    /// Makes sure that it is the card of a bundle.
    pub fn check(&self, name: &str, bundle: &Bundle) -> Result<(), RegistryError> {
        match *self == Self::of(bundle) {
            true => Ok(()),
            false => Err(RegistryError::NoPlugin {
                what: name.to_owned(),
                problem: "what the registry says about the bundle does not match its \
                          contents"
                    .into(),
            }),
        }
    }
}
