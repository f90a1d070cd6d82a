//! What stands in for the client in a build without HTTP. Nobody can have one.

use std::convert::Infallible;

use semver::Version;
use vitral_bundle::Reference;

use crate::error::RegistryError;
use crate::transport::{Found, Options, Push, Pushed};

/// A client of registries, which this build does not have.
pub struct Client(Infallible);

impl Client {
    /// Says how to get a build that has one.
    ///
    /// # Errors
    /// Always.
    pub fn new(_: Options) -> Result<Self, RegistryError> {
        Err(RegistryError::NotBuilt)
    }

    /// The versions of a plugin.
    pub fn versions(&self, _: &Reference) -> Result<Vec<Version>, RegistryError> {
        match self.0 {}
    }

    /// Finds a plugin.
    pub fn find(&self, _: &Reference) -> Result<Found, RegistryError> {
        match self.0 {}
    }

    /// Fetches a bundle.
    pub fn pull(&self, _: &Found) -> Result<Vec<u8>, RegistryError> {
        match self.0 {}
    }

    /// Publishes a bundle.
    pub fn push(&self, _: &Reference, _: &[u8], _: Push) -> Result<Pushed, RegistryError> {
        match self.0 {}
    }

    /// Fetches a file of at most so many bytes from a web server.
    pub fn get(&self, _: &str, _: u64) -> Result<Vec<u8>, RegistryError> {
        match self.0 {}
    }
}
