//! How plugins get to others: registries, which hold bundles, and indexes, which say what there is.
//!
//! A registry is any that speaks the distribution protocol of the Open Container Initiative, as those of
//! container images do. A bundle is there as it is, with its signature in it, under a name ([`Reference`](vitral_bundle::Reference)) such as
//! `ghcr.io/lab/blur:1.2.0`; a [`Card`] beside it says what it is. [`Client`] pushes, finds and pulls. It needs
//! the feature `client`, since HTTP and TLS take minutes to compile; without, [`Client::new`] says so.
//!
//! An [`Index`] is one signed file with the names, versions and keys of many plugins, on a web server or
//! anywhere else.

#[cfg(not(feature = "client"))]
mod absent;
mod card;
mod choice;
#[cfg(feature = "client")]
mod client;
mod error;
mod index;
mod indexes;
mod transport;

#[cfg(not(feature = "client"))]
pub use absent::Client;
pub use card::Card;
pub use choice::{choose, newest};
#[cfg(feature = "client")]
pub use client::Client;
pub use error::RegistryError;
pub use index::{Index, Listed, Release};
pub use indexes::{Indexes, Known};
pub use transport::{Direction, Found, OnProgress, Options, PlainHttp, Push, Pushed, Transfer};
