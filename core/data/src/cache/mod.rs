//! One file with all images of a data set, which is mapped into memory and read without a copy.
//!
//! ```text
//! 0          header: version, where the rest is, checksums of index and names, its own checksum
//! 4096       payload: each sample at a multiple of 64 bytes, pixels (HWC) or an encoded image
//! (page)     index: 32 bytes for each sample: where it is, its size, class, checksum
//! (then)     names of the classes, as JSON
//! ```
//!
//! Numbers are little-endian and checksums XXH3 of 64 bits. Opening checks the file's length, the
//! header, the index and the names; a sample is checked when it is first read.

mod format;
mod journal;
mod map;
mod pack;
mod plan;
mod read;

#[cfg(test)]
mod tests;

pub use pack::{PackEvent, PackOptions, PackReport, pack};
pub use plan::Keep;
pub use read::{Cache, CacheConfig};
