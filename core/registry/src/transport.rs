//! What a user says about transfers, and hears of them.

use std::path::PathBuf;
use std::sync::Arc;

use semver::Version;

/// How registries are reached.
#[derive(Clone, Default)]
pub struct Options {
    /// Which registries are spoken to without TLS.
    pub plain_http: PlainHttp,
    /// Where what has come so far of a transfer is kept, so that it can go on.
    pub cache: Option<PathBuf>,
    /// Versions that are not taken where another one will do: places as in `ghcr.io/lab/blur`, and versions.
    pub avoid: Vec<(String, Version)>,
    /// Hears how far a transfer is.
    pub on_progress: Option<OnProgress>,
}

/// Which registries are spoken to without TLS, so that all on the way can read and change what is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PlainHttp {
    /// None.
    #[default]
    Never,
    /// Those on this machine.
    ThisMachine,
    /// This one: a machine, and its port if it says one.
    Registry(String),
}

/// Hears how far a transfer is.
pub type OnProgress = Arc<dyn Fn(Transfer) + Send + Sync>;

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Which way it goes.
    pub direction: Direction,
    /// Bytes that are there.
    pub done: u64,
    /// All bytes.
    pub total: u64,
}

/// Which way a transfer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the registry.
    Up,
    /// From the registry.
    Down,
}

/// How a bundle is published.
#[derive(Clone, Copy, Debug, Default)]
pub struct Push {
    /// Put it in the place of another one of the same version.
    pub replace: bool,
    /// As an image, which every registry takes, at once.
    pub plain_image: bool,
}

/// What came of publishing a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Under which name.
    pub reference: vitral_bundle::Reference,
    /// The digest under which the registry has it.
    pub digest: vitral_bundle::Digest,
    /// Whether it was there before.
    pub was_there: bool,
    /// Whether it is an image, because the registry takes nothing else or it was to be one.
    pub is_plain_image: bool,
}

/// A plugin that a registry has.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it is, with its version, or its digest where that was asked for.
    pub reference: vitral_bundle::Reference,
    /// The digest under which the registry has it.
    pub digest: vitral_bundle::Digest,
    /// How many bytes there are to fetch.
    pub bytes: u64,
    /// What is told about it.
    pub card: crate::Card,
    /// What is to be fetched.
    #[cfg(feature = "client")]
    pub(crate) layer: crate::client::Layer,
}
