//! A plugin that is no bundle: a component's file, or the folder of its source.

use std::path::PathBuf;

use crate::digest::Digest;

/// A plugin that is no bundle. Of what it is nothing is known before it runs, except its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The name under which an experiment uses it.
    pub name: String,
    /// Its file or folder.
    pub place: PathBuf,
    /// What lies there.
    pub form: Form,
    /// The digest of all that lies there.
    pub digest: Digest,
}

/// What there is of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A bundle.
    Bundle,
    /// A WebAssembly component.
    Component,
    /// Its source.
    Sources,
}

impl Form {
    /// Of what its digest is.
    pub(crate) const fn digested(self) -> &'static str {
        match self {
            Self::Bundle => "its SHA256SUMS",
            Self::Component => "the component",
            Self::Sources => "its source",
        }
    }

    /// Why nobody vouches for it, where that has one reason.
    pub(crate) const fn doubt(self) -> &'static str {
        match self {
            Self::Bundle => "it is not signed",
            Self::Component => "it is not signed: a component cannot be, a bundle can",
            Self::Sources => "it is not signed: a plugin's source cannot be, a bundle can",
        }
    }
}
