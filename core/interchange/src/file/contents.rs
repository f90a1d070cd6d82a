//! What a file has, as far as it was read.

use std::collections::{BTreeMap, BTreeSet};

use crate::Array;

/// Tensors of a file, by the file's own names.
pub(crate) type Tensors = BTreeMap<String, Array>;

/// Which tensors are to be read, by name; the others take no memory.
pub(crate) type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// What a file has.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// What was wanted.
    pub tensors: Tensors,
    /// What was wanted, but is of integers or truth values, and of which type in the file's words: no
    /// weights are.
    pub integers: BTreeMap<String, String>,
    /// What was not wanted.
    pub unread: BTreeSet<String>,
}

impl Contents {
    /// Whether there is a tensor of that name, of whatever type, wanted or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
            || self.integers.contains_key(name)
            || self.unread.contains(name)
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys().chain(self.integers.keys()).chain(&self.unread)
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.tensors.extend(other.tensors);
        self.integers.extend(other.integers);
        self.unread.extend(other.unread);
    }
}
