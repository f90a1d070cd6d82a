//! The SDK as the author of a plugin and as a host see it.

mod derive;
mod host;
mod monitors;
mod native;
mod ops;
mod trace;
