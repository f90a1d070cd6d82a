//! What a plugin may do only where the user has said so.

use std::fmt;
use std::path::{Component, Path};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Something that a plugin may do only where the user has said so. It has one text form, in which
/// it is given on the command line and kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Permit {
    /// `run`: run in the sandbox, although no key that the user trusts vouches for it.
    Run,
    /// `native`: run as native code.
    Native,
    /// `build`: be built from its source, by programs that may do whatever the user may.
    Build,
    /// `network=HOST:PORT`: connections to a port of a host.
    Network(String),
    /// `clock`: the time of day.
    Clock,
    /// `memory_mib=N`: memory of each instance, in MiB.
    MemoryMib(u32),
    /// `call_ms=N`: time of each call, in milliseconds.
    CallMs(u32),
    /// `read=FOLDER`: read what is in a folder.
    Read(String),
    /// `write=FOLDER`: read and write what is in a folder.
    Write(String),
}

impl Permit {
    /// Whether what is allowed here includes something.
    pub fn covers(&self, wanted: &Self) -> bool {
        let within = |folder: &str, wanted: &str| {
            let wanted = Path::new(wanted);
            let leaves = wanted.components().any(|part| part == Component::ParentDir);
            !leaves && wanted.starts_with(folder)
        };
        match (self, wanted) {
            (Self::Native, Self::Run) => true,
            (Self::MemoryMib(most), Self::MemoryMib(wanted))
            | (Self::CallMs(most), Self::CallMs(wanted)) => wanted <= most,
            (Self::Read(folder) | Self::Write(folder), Self::Read(wanted))
            | (Self::Write(folder), Self::Write(wanted)) => within(folder, wanted),
            _ => self == wanted,
        }
    }

    /// Whether its text may have commas, so that nothing can follow it in a list.
    pub(crate) fn ends_a_list(&self) -> bool {
        matches!(self, Self::Read(_) | Self::Write(_))
    }

    /// What it lets a plugin do, for people.
    pub fn words(&self) -> String {
        match self {
            Self::Run => "run its code in the sandbox".into(),
            Self::Native => "run native code, which may do whatever you may do".into(),
            Self::Build => {
                "be built from its source, whose build scripts may do whatever you may do".into()
            }
            Self::Network(peer) => format!("connect to {peer}"),
            Self::Clock => "read the time".into(),
            Self::MemoryMib(mib) => format!("take {mib} MiB of memory for each instance"),
            Self::CallMs(ms) => format!("take {ms} ms for each call"),
            Self::Read(folder) => format!("read the files in {folder:?}"),
            Self::Write(folder) => format!("read, change and remove the files in {folder:?}"),
        }
    }
}

impl fmt::Display for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => f.write_str("run"),
            Self::Native => f.write_str("native"),
            Self::Build => f.write_str("build"),
            Self::Network(peer) => write!(f, "network={peer}"),
            Self::Clock => f.write_str("clock"),
            Self::MemoryMib(mib) => write!(f, "memory_mib={mib}"),
            Self::CallMs(ms) => write!(f, "call_ms={ms}"),
            Self::Read(folder) => write!(f, "read={folder}"),
            Self::Write(folder) => write!(f, "write={folder}"),
        }
    }
}

impl FromStr for Permit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |value: &str| {
            value.parse().map_err(|_| format!("`{value}` in `{text}` is no whole number"))
        };
        let folder = |value: &str| match Path::new(value).is_absolute() {
            true => Ok(value.to_owned()),
            false => Err(format!("`{text}` needs the whole path of a folder")),
        };
        let peer = |value: &str| match value.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(value.to_lowercase())
            }
            _ => Err(format!("`{text}` needs a host and a port, as in `network=localhost:5000`")),
        };
        Ok(match text.split_once('=') {
            None if text == "run" => Self::Run,
            None if text == "native" => Self::Native,
            None if text == "build" => Self::Build,
            None if text == "clock" => Self::Clock,
            Some(("network", value)) => Self::Network(peer(value)?),
            Some(("memory_mib", value)) => Self::MemoryMib(number(value)?),
            Some(("call_ms", value)) => Self::CallMs(number(value)?),
            Some(("read", value)) => Self::Read(folder(value)?),
            Some(("write", value)) => Self::Write(folder(value)?),
            _ => {
                return Err(format!(
                    "`{text}` is nothing that can be allowed: these are run, native, build, \
                     clock, network=HOST:PORT, memory_mib=N, call_ms=N, read=FOLDER and write=FOLDER"
                ));
            }
        })
    }
}

impl TryFrom<String> for Permit {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Permit> for String {
    fn from(permit: Permit) -> Self {
        permit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_permit_has_one_text() {
        for text in [
            "run",
            "native",
            "build",
            "network=localhost:5000",
            "network=[::1]:80",
            "clock",
            "memory_mib=256",
            "call_ms=60000",
            "read=/data/a,b=c",
            "write=/data",
        ] {
            assert_eq!(text.parse::<Permit>().unwrap().to_string(), text);
        }
        for (wrong, words) in [
            ("", "nothing that can be allowed"),
            ("files", "read=FOLDER"),
            ("network", "network=HOST:PORT"),
            ("network=lab", "a host and a port"),
            ("native=1", "nothing that can be allowed"),
            ("memory_mib=-1", "no whole number"),
            ("read=data", "whole path"),
        ] {
            let error = wrong.parse::<Permit>().unwrap_err();
            assert!(error.contains(words), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_permit_covers_what_is_less_and_nothing_else() {
        let covers = |allowed: &str, wanted: &str| {
            let permit = |text: &str| text.parse::<Permit>().unwrap();
            permit(allowed).covers(&permit(wanted))
        };
        for (allowed, wanted) in [
            ("run", "run"),
            ("native", "run"),
            ("memory_mib=512", "memory_mib=256"),
            ("call_ms=9", "call_ms=9"),
            ("network=Lab:80", "network=lab:80"),
            ("read=/data", "read=/data/cats"),
            ("write=/data", "read=/data"),
            ("write=/data", "write=/data/cats"),
        ] {
            assert!(covers(allowed, wanted), "{allowed} {wanted}");
        }
        for (allowed, wanted) in [
            ("run", "native"),
            ("run", "build"),
            ("native", "build"),
            ("build", "run"),
            ("network=lab:80", "clock"),
            ("network=lab:80", "network=lab:81"),
            ("network=lab:80", "network=other:80"),
            ("native", "network=lab:80"),
            ("memory_mib=256", "memory_mib=257"),
            ("memory_mib=4096", "call_ms=1"),
            ("read=/data", "write=/data"),
            ("read=/data/cats", "read=/data"),
            ("read=/dat", "read=/data"),
            ("read=/data", "read=/data/../etc"),
        ] {
            assert!(!covers(allowed, wanted), "{allowed} {wanted}");
        }
    }
}
