//! What files are, and how large they may be.

use std::fmt;

/// What a file is, and how many bytes it has at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    what: &'static str,
    most: u64,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

impl Kind {
    /// An experiment, a manifest, or a lock of plugins.
    pub const CONFIGURATION: Self = Self::new("a configuration", 4 * MIB);
    /// An encoded image.
    pub const IMAGE: Self = Self::new("an image", 256 * MIB);
    /// The names of classes.
    pub const CLASS_NAMES: Self = Self::new("a list of classes", 4 * MIB);
    /// Images and labels of CIFAR.
    pub const CIFAR: Self = Self::new("a CIFAR file", 4 * GIB);
    /// Images or labels in IDX.
    pub const IDX: Self = Self::new("an IDX file", 64 * GIB);
    /// A shard of WebDataset.
    pub const SHARD: Self = Self::new("a shard", 16 * TIB);
    /// A Parquet file.
    pub const PARQUET: Self = Self::new("a Parquet file", 16 * TIB);
    /// A cache of images.
    pub const CACHE: Self = Self::new("a cache", 64 * TIB);
    /// What is known of an unfinished cache.
    pub const JOURNAL: Self = Self::new("the journal of a cache", 4 * GIB);
    /// Tensors of a checkpoint.
    pub const TENSORS: Self = Self::new("a file of tensors", 256 * GIB);
    /// Weights of a model of any origin.
    pub const WEIGHTS: Self = Self::new("a file of weights", 256 * GIB);
    /// What lies beside weights: settings, and which file has which tensor.
    pub const SETTINGS: Self = Self::new("a file of settings", 16 * MIB);
    /// Where a run was, and its checksums.
    pub const STATE: Self = Self::new("the state of a checkpoint", 16 * MIB);
    /// A tensor program.
    pub const PROGRAM: Self = Self::new("a tensor program", 64 * MIB);
    /// What a monitor needs to go on.
    pub const MONITOR: Self = Self::new("the state of a monitor", 64 * MIB);
    /// The name of a checkpoint in a run's `best` or `last`.
    pub const POINTER: Self = Self::new("the name of a checkpoint", 256);
    /// A file that is there to be locked.
    pub const LOCK: Self = Self::new("a lock", 4 * KIB);
    /// The metrics of a run.
    pub const METRICS: Self = Self::new("metrics", 4 * GIB);
    /// A WebAssembly component or module.
    pub const COMPONENT: Self = Self::new("a component", 256 * MIB);
    /// A native library.
    pub const LIBRARY: Self = Self::new("a library", GIB);
    /// A compiled component.
    pub const COMPILED: Self = Self::new("a compiled component", GIB);
    /// A public or secret key.
    pub const KEY: Self = Self::new("a key", 4 * KIB);

    /// A kind of file that only its caller knows: `what` with its article, and the bytes that one has at
    /// most.
    pub const fn new(what: &'static str, most: u64) -> Self {
        Self { what, most }
    }

    /// The same, with so many bytes at most.
    #[must_use]
    pub const fn at_most(self, most: u64) -> Self {
        Self { most, ..self }
    }

    /// The bytes that such a file has at most.
    pub const fn most(self) -> u64 {
        self.most
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }
}
