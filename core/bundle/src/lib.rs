//! Plugin bundles: what they are made of, whether they can be trusted, and where they live.
//!
//! A bundle is one file, `name-version.vitral`: a zstd-compressed tar archive in exactly one form,
//! followed by a seal (a digest of all bytes before it). Its [`Manifest`] says what the plugin is,
//! its `SHA256SUMS` covers every file, and a minisign signature may cover `SHA256SUMS`. A change of
//! any byte, and anything that the one form does not have, is refused with a [`BundleError`] that
//! names the file and the entry.
//!
//! - [`pack()`] makes a bundle, [`Bundle`] reads one.
//! - [`Store`] is a folder of unpacked bundles, [`Installed`] is one of them.
//! - [`Trust`] answers whether a bundle may run, and do what else an experiment has it do.
//! - [`resolve`] picks the version that an experiment asks for, [`Lock`] writes down what a run used.
//!
//! The crate does not know how plugins run.
//!
//! A name in a registry, and a signature:
//!
//! ```
//! use vitral_bundle::{KeyPair, Reference, SigningKey, sign_text, verify_text};
//!
//! let blur: Reference = "ghcr.io/lab/blur:1.2.0".parse()?;
//! assert_eq!((blur.registry(), blur.plugin()), ("ghcr.io", "blur"));
//!
//! let pair = KeyPair::generate(None)?;
//! let key = SigningKey::parse("my.key", pair.secret_text(), None)?;
//! let signature = sign_text(&key, b"what is signed", "a comment", "my text")?;
//! let trusted = [pair.public().clone()];
//! assert!(verify_text(b"what is signed", &signature, &trusted).is_ok());
//! assert!(verify_text(b"what is altered", &signature, &trusted).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod allowance;
mod archive;
mod checksums;
mod contents;
mod contract;
mod decisions;
mod describe;
mod digest;
mod entries;
mod error;
mod files;
mod installed;
mod key_id;
mod keys;
mod local;
mod lock;
mod manifest;
mod origins;
mod ownership;
mod pack;
mod package;
mod paths;
mod permit;
mod reference;
mod resolve;
mod seal;
mod sign;
mod signature;
mod source;
mod store;
mod swap;
mod target;
mod text;
mod trust;
mod ustar;

pub use allowance::Allowance;
pub use archive::{Bundle, EXTENSION};
pub use contract::Contract;
pub use decisions::{Allowed, Decisions, Signer};
pub use describe::{
    ManifestExample, ManifestKind, ManifestParameter, ManifestSetting, ManifestType,
};
pub use digest::Digest;
pub use error::{BundleError, Mismatch};
pub use installed::Installed;
pub use key_id::{Fingerprint, KeyId};
pub use keys::{KeyPair, SigningKey, TrustedKey};
pub use local::{Form, Local};
pub use lock::{Difference, Lock, LockError, Locked, Origin};
pub use manifest::{Artifact, Limits, Manifest, Permissions};
pub use origins::{Fetched, Origins};
pub use ownership::check as check_own;
pub use pack::{PackInput, pack, pack_to_folder};
pub use package::Package;
pub use permit::Permit;
pub use reference::{Reference, Which};
pub use resolve::{Demand, ResolveError, resolve, resolve_all};
pub use sign::{sign_text, verify_text};
pub use signature::{Signature, SignatureError};
pub use source::SourceManifest;
pub use store::{Distrusted, Listing, Store};
pub use target::Target;
pub use text::is_plugin_name;
pub use trust::{Request, Trust, TrustError};

/// The most bytes that a bundle's files may have together.
pub const MAX_UNPACKED_BYTES: u64 = 512 << 20;

/// A file of a bundle.
const PART: files::Kind = files::Kind::new("a file of a bundle", MAX_UNPACKED_BYTES);

/// The most files that a bundle may have.
pub const MAX_FILES: usize = 1000;
