//! What a pickle makes: objects in one list, which name each other by their place in it, so that neither
//! cycles nor nesting cost more than the bytes that make them.

use super::class::{Class, Kind};

pub(super) const MOST_OBJECTS: usize = 1 << 20;
pub(super) const MOST_DIMENSIONS: usize = 8;

/// An object's place in [`Objects`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(u32);

/// What a pickle has made.
#[derive(Debug)]
pub(super) enum Value {
    /// What no weights are made of: nothing, truth values, floats, bytes, sets, NumPy's numbers.
    Plain,
    Int(i64),
    Text(String),
    /// A list or a tuple.
    Sequence(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Class(Class),
    Storage(Storage),
    Tensor(Box<Tensor>),
}

/// Values that tensors are views of.
#[derive(Debug)]
pub(super) struct Storage {
    pub kind: Kind,
    /// A text: the name of its file in the archive.
    pub key: Id,
    pub count: u64,
}

/// A view of a storage.
#[derive(Debug)]
pub(super) struct Tensor {
    /// A storage.
    pub storage: Id,
    pub offset: u64,
    pub shape: Vec<usize>,
    /// As many as dimensions, in values.
    pub strides: Vec<u64>,
}

impl Tensor {
    /// Whether its values lie one after the other, row by row.
    pub(super) fn is_contiguous(&self) -> bool {
        let mut step = 1u64;
        self.shape.iter().zip(&self.strides).rev().all(|(&length, &stride)| {
            let fits = length == 1 || stride == step;
            step = step.saturating_mul(length as u64);
            fits
        })
    }
}

/// Everything that a pickle has made.
#[derive(Debug, Default)]
pub(super) struct Objects(Vec<Value>);

impl Objects {
    pub(super) fn get(&self, id: Id) -> &Value {
        // Places are handed out by `add`, and nothing is ever taken away.
        &self.0[id.0 as usize]
    }

    pub(super) fn get_mut(&mut self, id: Id) -> &mut Value {
        &mut self.0[id.0 as usize]
    }

    /// What an object is as a text; none if it is something else, here and below.
    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn add(&mut self, value: Value) -> Result<Id, String> {
        if self.0.len() >= MOST_OBJECTS {
            return Err(too_many());
        }
        self.0.push(value);
        Ok(Id(self.0.len() as u32 - 1))
    }

    pub(super) fn sequence(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Value::Sequence(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn number(&self, id: Id) -> Option<u64> {
        match self.get(id) {
            Value::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    pub(super) fn numbers(&self, id: Id) -> Option<Vec<u64>> {
        self.sequence(id)?.iter().map(|&item| self.number(item)).collect()
    }
}

/// More objects than [`MOST_OBJECTS`].
pub(super) fn too_many() -> String {
    "its pickle has more objects than files of weights have".into()
}
