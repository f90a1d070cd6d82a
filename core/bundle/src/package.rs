//! A bundle, as a file or installed.

use std::path::PathBuf;

use vitral_abi::{Description, Kind};

use crate::archive::Bundle;
use crate::contents::Contents;
use crate::digest::Digest;
use crate::error::BundleError;
use crate::installed::Installed;
use crate::manifest::Manifest;
use crate::target::Target;

/// A plugin that is no part of the program: a bundle's file, or what was installed of one.
#[derive(Clone, Debug)]
pub enum Package {
    /// A bundle's file, read.
    File(Bundle),
    /// An installed bundle.
    Installed(Installed),
}

impl Package {
    /// What the plugin is, asks for, and consists of.
    pub fn manifest(&self) -> &Manifest {
        &self.contents().manifest
    }

    /// Kind and description, for the host to compare with what the code says.
    pub fn declared(&self) -> (Kind, Description) {
        self.contents().declared()
    }

    /// The digest of `SHA256SUMS`, which stands for all files but the signature.
    pub fn digest(&self) -> Digest {
        self.contents().digest()
    }

    /// The code for a target, checked.
    pub fn artifact(&self, target: &Target) -> Result<Vec<u8>, BundleError> {
        match self {
            Self::File(bundle) => bundle.artifact(target).map(<[u8]>::to_vec),
            Self::Installed(installed) => installed.artifact(target),
        }
    }

    /// Where the code for a target lies as a file, if it does, checked just now.
    pub fn artifact_path(&self, target: &Target) -> Option<Result<PathBuf, BundleError>> {
        match self {
            Self::File(_) => None,
            Self::Installed(installed) => Some(installed.artifact_path(target)),
        }
    }

    pub(crate) fn contents(&self) -> &Contents {
        match self {
            Self::File(bundle) => bundle.contents(),
            Self::Installed(installed) => installed.contents(),
        }
    }
}

impl From<Bundle> for Package {
    fn from(bundle: Bundle) -> Self {
        Self::File(bundle)
    }
}

impl From<Installed> for Package {
    fn from(installed: Installed) -> Self {
        Self::Installed(installed)
    }
}
