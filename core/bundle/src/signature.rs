//! Who signed a bundle, and what can be wrong with a signature.

use crate::key_id::{Fingerprint, KeyId};
use crate::text::list;

/// Who signed a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Nobody.
    Unsigned,
    /// A trusted key; the signature is right.
    Trusted(Fingerprint),
    /// A key that is not trusted; so nothing is known about the signature.
    Unknown(KeyId),
}

/// What is wrong with a signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A signature is required, and there is none.
    #[error("the bundle is not signed, but a signature of a trusted key is required")]
    Missing,
    /// A trusted signature is required, and there is another one.
    #[error(
        "the bundle is signed with key {key}, which is not trusted; trusted is {}",
        list(trusted)
    )]
    UnknownKey {
        /// The key that the signature names.
        key: KeyId,
        /// The keys that would do.
        trusted: Vec<Fingerprint>,
    },
    /// The signature names a trusted key, but is not that key's signature of these checksums.
    #[error(
        "the signature is wrong: it is not the signature of SHA256SUMS with the trusted key {key}; \
         the bundle or its signature was changed"
    )]
    Wrong {
        /// The trusted key.
        key: KeyId,
    },
    /// The file is no signature.
    #[error("SHA256SUMS.minisig is not a minisign signature: {0}")]
    Malformed(String),
}
