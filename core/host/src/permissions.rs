//! What a WebAssembly plugin may be granted beside memory and time.

use std::{
    fmt,
    path::{Component, PathBuf},
    str::FromStr,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a user grants to a WebAssembly plugin. Without an entry it has no files, no network, and a
/// clock that stands still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Permissions {
    /// Folders that it sees.
    pub files: Vec<FileGrant>,
    /// Hosts that it may connect to, each with a port, as in `"localhost:5000"`.
    #[schemars(with = "Vec<String>")]
    pub network: Vec<Peer>,
    /// Whether it may read the time.
    pub clock: bool,
}

/// A folder that a plugin sees under the same path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileGrant {
    /// The folder.
    pub path: PathBuf,
    /// Whether it may write there, too.
    #[serde(default)]
    pub write: bool,
}

/// A host, by its name or address, and a port of it: `mlflow.lab:5000`, `[::1]:5000`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Peer {
    /// In lower case, without the brackets of an IPv6 address.
    host: String,
    port: u16,
}

impl Peer {
    /// Whether a host of this name or address is meant.
    pub fn is_host(&self, name: &str) -> bool {
        self.host.eq_ignore_ascii_case(unbracketed(name))
    }

    /// Its name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` must be a host and a port, as in `localhost:5000`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|&port| port > 0).ok_or_else(wrong)?;
        let name = unbracketed(host);
        let is_part = |c: char| c.is_alphanumeric() || "-._".contains(c);
        let is_host = match name.len() == host.len() {
            true => !name.is_empty() && name.chars().all(is_part),
            false => name.parse::<std::net::Ipv6Addr>().is_ok(),
        };
        if !is_host {
            return Err(wrong());
        }
        Ok(Self { host: name.to_lowercase(), port })
    }
}

impl TryFrom<String> for Peer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Peer> for String {
    fn from(peer: Peer) -> Self {
        peer.to_string()
    }
}

impl Permissions {
    /// Whether whoever has them calls the system for more than memory, threads and time.
    #[cfg(feature = "wasm")]
    pub(crate) fn need_system(&self) -> bool {
        !self.network.is_empty() || !self.files.is_empty()
    }

    /// What is asked for here and not granted, in words; nothing if all is.
    /// ```
    /// use vitral_host::Permissions;
    ///
    /// let asked = Permissions { network: vec!["lab:5000".parse()?], clock: true, ..Default::default() };
    /// let granted = Permissions { clock: true, ..Default::default() };
    /// assert_eq!(asked.missing(&granted), ["connect to lab:5000"]);
    /// # Ok::<(), String>(())
    /// ```
    pub fn missing(&self, granted: &Self) -> Vec<String> {
        let mut missing = Vec::new();
        for asked in &self.files {
            let covers = |grant: &FileGrant| {
                asked.path.starts_with(&grant.path) && (grant.write || !asked.write)
            };
            if asked.path.components().any(|part| part == Component::ParentDir)
                || !granted.files.iter().any(covers)
            {
                let how = if asked.write { "read and write" } else { "read" };
                missing.push(format!("{how} files in {}", asked.path.display()));
            }
        }
        let peers = self.network.iter().filter(|peer| !granted.network.contains(peer));
        missing.extend(peers.map(|peer| format!("connect to {peer}")));
        if self.clock && !granted.clock {
            missing.push("read the time".into());
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(path: &str, write: bool) -> Permissions {
        Permissions { files: vec![FileGrant { path: path.into(), write }], ..Default::default() }
    }

    #[test]
    fn what_is_not_granted_is_named() {
        let network = ["lab:80", "LAB:81"].map(|peer| peer.parse().unwrap()).to_vec();
        let asked = Permissions { network, clock: true, ..files("/data", true) };
        assert_eq!(
            asked.missing(&Permissions::default()),
            [
                "read and write files in /data",
                "connect to lab:80",
                "connect to lab:81",
                "read the time"
            ]
        );
        let granted = Permissions { network: asked.network[1..].to_vec(), ..asked.clone() };
        assert_eq!(asked.missing(&granted), ["connect to lab:80"]);
        assert!(asked.missing(&asked).is_empty());
        assert!(Permissions::default().missing(&Permissions::default()).is_empty());
    }

    #[test]
    fn a_folder_is_granted_with_what_is_in_it() {
        let read = files("/data/cats", false);
        assert!(read.missing(&files("/data", false)).is_empty());
        assert!(read.missing(&files("/data", true)).is_empty());
        assert_eq!(read.missing(&files("/dat", true)).len(), 1);
        assert_eq!(files("/data/cats", true).missing(&files("/data", false)).len(), 1);
        assert_eq!(files("/data/../etc", false).missing(&files("/data", false)).len(), 1);
    }

    #[test]
    fn a_peer_is_a_host_and_a_port_and_has_one_text() {
        for (text, shown, name) in [
            ("localhost:5000", "localhost:5000", "LocalHost"),
            ("MLflow.Lab:80", "mlflow.lab:80", "mlflow.lab"),
            ("10.0.0.1:65535", "10.0.0.1:65535", "10.0.0.1"),
            ("[::1]:5000", "[::1]:5000", "::1"),
        ] {
            let peer: Peer = text.parse().unwrap();
            assert_eq!(peer.to_string(), shown);
            assert!(peer.is_host(name) && !peer.is_host("elsewhere"));
        }
        for wrong in
            ["", "lab", ":80", "lab:", "lab:0", "lab:65536", "::1:80", "[lab]:80", "http://lab:80"]
        {
            let error = wrong.parse::<Peer>().unwrap_err();
            assert!(error.contains("a host and a port"), "{wrong}: {error}");
        }
    }
}
