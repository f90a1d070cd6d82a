//! What packs, installs and refuses bundles, as a user of the crate sees it.

mod damage;
mod hostile;
mod packing;
mod signatures;
mod store;
mod support;
mod trust;
