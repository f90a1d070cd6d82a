//! An index: one signed file that says which plugins there are, in which versions and with whose keys.

use std::cmp::Reverse;

use semver::Version;
use serde::{Deserialize, Serialize};
use vitral_bundle::{
    Bundle, Contract, Digest, Fingerprint, ManifestKind, Reference, Signature, SigningKey,
    TrustedKey, Which, sign_text, verify_text,
};
use vitral_config::is_deceptive;

use crate::error::RegistryError;

/// The most bytes of an index.
pub(crate) const MOST: u64 = 64 << 20;

/// What the format is called in a file, with its version.
const FORMAT: &str = "vitral-index-1";

/// Which plugins there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Grows with each change, so that nobody can pass off an older index as the newest.
    pub serial: u64,
    /// The plugins, by name.
    pub plugins: Vec<Listed>,
}

/// A plugin in an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Where its versions are: registry and repository, as in `ghcr.io/lab/blur`.
    pub at: Reference,
    /// What it does.
    pub kind: ManifestKind,
    /// What it does, in one line.
    pub summary: String,
    /// Who wrote it.
    #[serde(default)]
    pub authors: Vec<String>,
    /// SPDX expression of its licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
    /// Its versions, newest first.
    pub versions: Vec<Release>,
}

/// A version of a plugin in an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Which one.
    pub version: Version,
    /// The digest of its bundle's checksums, which stands for all of its files.
    pub digest: Digest,
    /// The key that has signed it.
    pub key: Fingerprint,
    /// The version of the plugin contract that it was built for.
    pub contract: Contract,
    /// Why it should not be used any more, if it should not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yanked: Option<String>,
}

/// An index and its signature in one file.
#[derive(Serialize, Deserialize)]
struct Envelope {
    format: String,
    content: String,
    signature: String,
}

impl Index {
    /// Reads an index that one of the trusted keys has signed; `name` is what messages call it.
    ///
    /// # Errors
    /// It is no index, nobody who is trusted has signed it, or it was changed since.
    pub fn open(
        name: &str,
        file: &[u8],
        trusted: &[TrustedKey],
    ) -> Result<(Self, Fingerprint), RegistryError> {
        let wrong = |problem: String| RegistryError::Index { index: name.to_owned(), problem };
        let envelope: Envelope = serde_json::from_slice(file)
            .map_err(|error| wrong(format!("this is not an index of plugins: {error}")))?;
        if envelope.format != FORMAT {
            return Err(wrong(format!(
                "this is an index of format {:?}, and this vitral knows {FORMAT:?}",
                envelope.format
            )));
        }
        let content = envelope.content.as_bytes();
        let key = match verify_text(content, &envelope.signature, trusted) {
            Ok(Signature::Trusted(key)) => key,
            Ok(Signature::Unknown(key)) => {
                return Err(wrong(format!(
                    "the index is signed with key {key}, which you do not trust; `vitral plugin trust \
                     KEY.pub` trusts the key of whoever publishes it"
                )));
            }
            Ok(Signature::Unsigned) | Err(_) => {
                return Err(wrong(
                    "its signature is wrong: the index was changed after it was signed".into(),
                ));
            }
        };
        let index: Self = serde_json::from_slice(content).map_err(|error| {
            wrong(format!("what is signed is not an index of plugins: {error}"))
        })?;
        index.check().map_err(wrong)?;
        Ok((index, key))
    }

    /// What types do not say.
    fn check(&self) -> Result<(), String> {
        for listed in &self.plugins {
            if listed.name != listed.at.plugin() || *listed.at.which() != Which::Newest {
                return Err(format!("plugin {:?} would be at {}", listed.name, listed.at));
            }
            let reasons = listed.versions.iter().filter_map(|release| release.yanked.as_ref());
            let texts = [&listed.summary].into_iter().chain(&listed.authors).chain(&listed.license);
            if let Some(text) = texts.chain(reasons).find(|text| text.chars().any(is_deceptive)) {
                return Err(format!("{:?} has {text:?}, which is not one line", listed.name));
            }
        }
        Ok(())
    }

    /// The file: the index, signed.
    ///
    /// # Errors
    /// The key cannot sign.
    pub fn signed(&self, key: &SigningKey) -> Result<Vec<u8>, RegistryError> {
        let failed = |error: serde_json::Error| RegistryError::Usage(error.to_string());
        let content = serde_json::to_string(self).map_err(failed)?;
        let comment = format!("vitral index {}", self.serial);
        let signature = sign_text(key, content.as_bytes(), &comment, "an index")?;
        let envelope = Envelope { format: FORMAT.to_owned(), content, signature };
        serde_json::to_vec(&envelope).map_err(failed)
    }

    /// Lists a bundle, which this key has signed, under a place in a registry.
    ///
    /// # Errors
    /// Another plugin of that name is listed, or the same version with other contents.
    pub fn add(
        &mut self,
        bundle: &Bundle,
        at: &Reference,
        key: Fingerprint,
    ) -> Result<(), RegistryError> {
        let manifest = bundle.manifest();
        let release = Release {
            version: manifest.version.clone(),
            digest: bundle.digest(),
            key,
            contract: manifest.contract,
            yanked: None,
        };
        let wrong = |problem: String| RegistryError::Usage(format!("{}: {problem}", manifest.id()));
        let index = self.plugins.iter().position(|listed| listed.name == manifest.name);
        let index = index.unwrap_or_else(|| {
            self.plugins.push(Listed {
                name: manifest.name.clone(),
                at: at.clone(),
                kind: manifest.kind,
                summary: String::new(),
                authors: Vec::new(),
                license: None,
                versions: Vec::new(),
            });
            self.plugins.len() - 1
        });
        let listed = &mut self.plugins[index];
        if listed.at != *at {
            return Err(wrong(format!("the index has it at {}, not at {at}", listed.at)));
        }
        match listed.versions.iter().find(|other| other.version == release.version) {
            Some(same) if same.digest == release.digest => return Ok(()),
            Some(other) => {
                return Err(wrong(format!(
                    "the index has this version with digest {}, and the bundle has {}; publish a new version",
                    other.digest, release.digest
                )));
            }
            None => listed.versions.push(release),
        }
        listed.versions.sort_by_key(|release| Reverse(release.version.clone()));
        if listed.versions.first().is_some_and(|newest| newest.version == manifest.version) {
            listed.kind = manifest.kind;
            listed.summary.clone_from(&manifest.summary);
            listed.authors.clone_from(&manifest.authors);
            listed.license.clone_from(&manifest.license);
        }
        self.plugins.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(())
    }

    /// Says that a version should not be used any more, and why.
    ///
    /// # Errors
    /// It is not listed, or the reason is not one line.
    pub fn yank(&mut self, name: &str, version: &Version, why: &str) -> Result<(), RegistryError> {
        if why.is_empty() || why.chars().any(is_deceptive) {
            return Err(RegistryError::Usage(format!(
                "{why:?} is not a reason: give one line of text"
            )));
        }
        let listed = self.plugins.iter_mut().find(|listed| listed.name == name);
        let release = listed.and_then(|l| l.versions.iter_mut().find(|r| r.version == *version));
        let release = release.ok_or_else(|| RegistryError::NotFound {
            what: format!("{name} {version}"),
            help: " in the index".into(),
        })?;
        release.yanked = Some(why.to_owned());
        Ok(())
    }

    /// A plugin by name.
    pub fn get(&self, name: &str) -> Option<&Listed> {
        self.plugins.iter().find(|listed| listed.name == name)
    }

    /// The plugins in which all words occur, best first; all plugins if there are no words.
    pub fn search(&self, words: &[String]) -> Vec<&Listed> {
        let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let found = self.plugins.iter().filter_map(|listed| Some((listed.rank(&words)?, listed)));
        let mut found: Vec<(usize, &Listed)> = found.collect();
        found.sort_by_key(|(rank, listed)| (*rank, &listed.name));
        found.into_iter().map(|(_, listed)| listed).collect()
    }
}

impl Listed {
    /// The newest version that may be used here.
    pub fn newest(&self) -> Option<&Release> {
        let good = |release: &&Release| release.may_be_used();
        let released = |release: &&Release| release.version.pre.is_empty();
        let all = || self.versions.iter().filter(good);
        all().find(released).or_else(|| all().next())
    }

    /// Where a version of it is.
    pub fn at(&self, release: &Release) -> Reference {
        self.at.with(Which::Version(release.version.clone()))
    }

    /// How far a plugin is from what is searched, if it has all words at all: in its name, as its kind, or in
    /// its summary or authors.
    fn rank(&self, words: &[String]) -> Option<usize> {
        let kind = vitral_abi::Kind::from(self.kind).to_string();
        let texts = [&self.summary, &kind].into_iter().chain(&self.authors);
        let texts: Vec<String> = texts.map(|text| text.to_lowercase()).collect();
        let rank = |word: &String| {
            if self.name == *word {
                Some(0)
            } else if self.name.starts_with(word.as_str()) {
                Some(1)
            } else if self.name.contains(word.as_str()) {
                Some(2)
            } else {
                texts.iter().any(|text| text.contains(word.as_str())).then_some(3)
            }
        };
        words.iter().map(rank).try_fold(0, |sum, rank| Some(sum + rank?))
    }
}

impl Release {
    /// Whether it was not taken back, and this build has the contract that it needs.
    pub fn may_be_used(&self) -> bool {
        self.yanked.is_none() && self.contract.is_supported()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use vitral_bundle::KeyPair;

    use super::*;

    pub(crate) fn key() -> (SigningKey, TrustedKey) {
        let pair = KeyPair::generate(None).unwrap();
        (SigningKey::parse("k", pair.secret_text(), None).unwrap(), pair.public().clone())
    }

    pub(crate) fn listed(name: &str, summary: &str, versions: &[&str]) -> Listed {
        let key = key().1.fingerprint();
        let release = |version: &&str| Release {
            version: version.parse().unwrap(),
            digest: Digest::of(format!("{name} {version}").as_bytes()),
            key,
            contract: Contract::CURRENT,
            yanked: None,
        };
        Listed {
            name: name.into(),
            at: format!("r.org/lab/{name}").parse().unwrap(),
            kind: ManifestKind::Attention,
            summary: summary.into(),
            authors: vec!["Ada".into()],
            license: None,
            versions: versions.iter().map(release).collect(),
        }
    }

    #[test]
    fn a_changed_index_or_one_of_somebody_else_is_refused() {
        let ((secret, public), (other, _)) = (key(), key());
        let index = Index { serial: 1, plugins: vec![listed("blur", "Blurs", &["1.0.0"])] };
        let file = index.signed(&secret).unwrap();
        let trusted = [public.clone()];
        assert_eq!(
            Index::open("i", &file, &trusted).unwrap(),
            (index.clone(), public.fingerprint())
        );
        let text = String::from_utf8(file).unwrap();
        let changed = text.replace("Blurs", "Blurt");
        for (file, expected) in [
            (changed.into_bytes(), "changed after it was signed"),
            (index.signed(&other).unwrap(), "which you do not trust"),
            (text.replace("index-1", "index-2").into_bytes(), "of format"),
            (b"{}".to_vec(), "not an index of plugins"),
        ] {
            let error = Index::open("i", &file, &trusted).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let mut wrong = index.clone();
        wrong.plugins[0].summary = "a\u{1b}[2J".into();
        assert!(Index::open("i", &wrong.signed(&secret).unwrap(), &trusted).is_err());
        wrong = index;
        wrong.plugins[0].name = "other".into();
        assert!(Index::open("i", &wrong.signed(&secret).unwrap(), &trusted).is_err());
    }

    #[test]
    fn what_is_searched_comes_best_first() {
        let plugins = vec![
            listed("blur", "Blurs images", &["1.0.0"]),
            listed("blur-more", "More of it", &["1.0.0"]),
            listed("sharpen", "Undoes blur", &["1.0.0"]),
            listed("unblur", "By Ada", &["1.0.0"]),
        ];
        let index = Index { serial: 1, plugins };
        let found = |words: &[&str]| -> Vec<String> {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            index.search(&words).iter().map(|listed| listed.name.clone()).collect()
        };
        assert_eq!(found(&["Blur"]), ["blur", "blur-more", "unblur", "sharpen"]);
        assert_eq!(found(&["blur", "undoes"]), ["sharpen"]);
        assert_eq!(found(&["attention", "ada"]).len(), 4);
        assert!(found(&["none"]).is_empty());
    }

    #[test]
    fn a_yanked_version_is_not_the_newest() {
        let plugins = vec![listed("blur", "Blurs", &["2.0.0-rc.1", "1.1.0", "1.0.0"])];
        let mut index = Index { serial: 1, plugins };
        let newest = |index: &Index| index.plugins[0].newest().map(|r| r.version.to_string());
        assert_eq!(newest(&index).as_deref(), Some("1.1.0"));
        index.yank("blur", &Version::new(1, 1, 0), "it darkens").unwrap();
        assert_eq!(newest(&index).as_deref(), Some("1.0.0"));
        let oldest = index.plugins[0].versions[2].clone();
        index.plugins[0].versions.push(Release { version: Version::new(0, 9, 0), ..oldest });
        index.plugins[0].versions[2].contract.major += 1;
        assert_eq!(newest(&index).as_deref(), Some("0.9.0"), "another is for a later vitral");
        assert!(index.yank("blur", &Version::new(3, 0, 0), "x").is_err());
        assert!(index.yank("blur", &Version::new(1, 0, 0), "").is_err());
    }
}
