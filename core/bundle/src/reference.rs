//! How a plugin in a registry is named.

use std::fmt;
use std::str::FromStr;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::archive::EXTENSION;
use crate::digest::Digest;
use crate::text::is_plugin_name;

/// A plugin in a registry: `ghcr.io/lab/blur`, with `:1.2.0` or `@1.2` for a version, or `@sha256:...`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    registry: String,
    repository: String,
    which: Which,
}

/// Which of a plugin's versions is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest one.
    Newest,
    /// This one.
    Version(Version),
    /// The newest that will do.
    Wanted(VersionReq),
    /// Whatever has this digest in the registry.
    Digest(Digest),
}

impl Reference {
    /// Whether a text looks like a name in a registry and not like one of a file: it starts with the name
    /// of a machine.
    pub fn is_meant(text: &str) -> bool {
        let is_bundle = text.ends_with(&format!(".{EXTENSION}"));
        !is_bundle && text.split_once('/').is_some_and(|(host, _)| is_host(host))
    }

    /// The registry's machine, and its port if it says one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Where the plugin is in the registry.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The plugin's name, which is the last part of where it is.
    pub fn plugin(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or(&self.repository)
    }

    /// The version that is meant.
    pub fn which(&self) -> &Which {
        &self.which
    }

    /// The same plugin in another version.
    pub fn with(&self, which: Which) -> Self {
        Self { which, ..self.clone() }
    }

    /// Registry and repository, as in `ghcr.io/lab/blur`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Whether the registry is on this machine.
    pub fn is_on_this_machine(&self) -> bool {
        Self::is_this_machine(&self.registry)
    }

    /// Whether a registry, named by its machine and port, is on this machine.
    pub fn is_this_machine(registry: &str) -> bool {
        let host = registry.split_once(':').map_or(registry, |(host, _)| host);
        let is_loopback = |address: std::net::Ipv4Addr| address.is_loopback();
        host == "localhost" || host.parse().is_ok_and(is_loopback)
    }

    /// A version as a registry's tag, which has no `+`.
    pub fn tag(version: &Version) -> String {
        version.to_string().replace('+', "_")
    }

    /// The version of a tag; other tags are no versions of a plugin.
    pub fn version(tag: &str) -> Option<Version> {
        Version::parse(&tag.replace('_', "+")).ok()
    }
}

/// Labels joined by dots, of which there are two unless there is a port or it is this machine.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && label.bytes().all(plain)
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    host.split('.').all(is_label)
        && port.is_none_or(is_port)
        && (host.contains('.') || port.is_some() || host == "localhost")
}

/// As the specification of registries has it: lower-case words with `.`, `_`, `__` or dashes between.
fn is_repository_part(part: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [part.bytes().next(), part.bytes().next_back()];
    ends.iter().all(|byte| byte.is_some_and(is_word))
        && part.bytes().all(|byte| is_word(byte) || b"._-".contains(&byte))
        && !["..", "._", "_.", "-.", ".-", "___", "-_", "_-"].iter().any(|two| part.contains(two))
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = "a plugin in a registry is named as in `ghcr.io/lab/blur:1.2.0`";
        let (registry, rest) = text.split_once('/').ok_or(form)?;
        if !is_host(registry) {
            return Err(format!("{registry:?} is not the name of a registry's machine; {form}"));
        }
        let digest = rest.split_once("@sha256:");
        let (repository, which) = match digest {
            Some((repository, digest)) => (repository, Which::Digest(digest.parse()?)),
            None => match rest.split_once(['@', ':']) {
                None => (rest, Which::Newest),
                Some((repository, wanted)) => {
                    (repository, which(wanted, rest[repository.len()..].starts_with('@'))?)
                }
            },
        };
        if !repository.split('/').all(is_repository_part) {
            return Err(format!(
                "{repository:?} is not a place in a registry, which has lower-case words between `/`; {form}"
            ));
        }
        let (registry, repository) = (registry.to_owned(), repository.to_owned());
        let reference = Self { registry, repository, which };
        match is_plugin_name(reference.plugin()) {
            true => Ok(reference),
            false => Err(format!("{:?} is not the name of a plugin; {form}", reference.plugin())),
        }
    }
}

/// `1.2.0` is that version, `:1.2` the newest of `1.2`, and after `@` there is what experiments write.
fn which(wanted: &str, is_requirement: bool) -> Result<Which, String> {
    let wrong = || {
        format!(
            "{wanted:?} is not a version: plugins are published under versions such as `1.2.0`, of which \
             `:1.2` takes the newest of 1.2, and `@^1.2` the newest that matches"
        )
    };
    if let Some(version) = Reference::version(wanted) {
        return Ok(match is_requirement {
            true => Which::Wanted(VersionReq::parse(wanted).map_err(|_| wrong())?),
            false => Which::Version(version),
        });
    }
    let starts = wanted.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
    let text = if starts && !is_requirement { format!("~{wanted}") } else { wanted.to_owned() };
    match is_requirement || starts {
        true => VersionReq::parse(&text).map(Which::Wanted).map_err(|_| wrong()),
        false => Err(wrong()),
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match &self.which {
            Which::Newest => Ok(()),
            Which::Version(version) => write!(f, ":{}", Self::tag(version)),
            Which::Wanted(wanted) => write!(f, "@{wanted}"),
            Which::Digest(digest) => write!(f, "@sha256:{digest}"),
        }
    }
}

impl TryFrom<String> for Reference {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Reference {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_name_says_where_a_plugin_is_and_which_version() {
        let digest = Digest::of(b"x");
        for (text, place, expected) in [
            ("ghcr.io/lab/blur", "ghcr.io/lab/blur", Which::Newest),
            ("ghcr.io/lab/blur:1.2.0", "ghcr.io/lab/blur", Which::Version(Version::new(1, 2, 0))),
            (
                "localhost:5000/blur:1.2",
                "localhost:5000/blur",
                Which::Wanted(VersionReq::parse("~1.2").unwrap()),
            ),
            (
                "r.org/a/b/blur@1.2",
                "r.org/a/b/blur",
                Which::Wanted(VersionReq::parse("1.2").unwrap()),
            ),
            (
                "r.org/blur:1.0.0-rc.1_linux",
                "r.org/blur",
                Which::Version(Version::parse("1.0.0-rc.1+linux").unwrap()),
            ),
        ] {
            let reference = parse(text);
            assert_eq!(
                (reference.place().as_str(), reference.which()),
                (place, &expected),
                "{text}"
            );
            assert_eq!(reference.plugin(), "blur");
            assert_eq!(parse(&reference.to_string()), reference, "{text}");
            assert!(Reference::is_meant(text), "{text}");
        }
        let text = format!("r.org/blur@sha256:{digest}");
        assert_eq!(parse(&text).which(), &Which::Digest(digest));
        assert_eq!(parse(&text).to_string(), text);
    }

    #[test]
    fn files_are_not_taken_for_names_and_other_texts_are_refused() {
        for file in
            ["blur.vitral", "./blur", "../x/blur", "dist/blur", "r.org/blur-1.0.0.vitral", "/a"]
        {
            assert!(!Reference::is_meant(file), "{file}");
        }
        for wrong in [
            "blur",
            "lab/blur",
            "r.org/Blur",
            "r.org/a//blur",
            "r.org/blur:latest",
            "r.org/blur:",
            "r.org/blur@sha256:12",
            "r.org/../blur",
            "r.org:0/blur",
            "r.org/blur:1.0.0/x",
            "r.org/a_b",
            "r.org/blur:>1",
        ] {
            assert!(wrong.parse::<Reference>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for (text, expected) in [
            ("localhost:5000/blur", true),
            ("127.0.0.1:5000/blur", true),
            ("127.8.8.8:1/blur", true),
            ("localhost.evil.org/blur", false),
            ("10.0.0.1:5000/blur", false),
        ] {
            assert_eq!(parse(text).is_on_this_machine(), expected, "{text}");
        }
    }
}
