//! Symbolic tensors: ops on them are recorded, not computed.
//!
//! Ops have the names and meanings of the W3C WebNN operators where it has them; their full text is
//! in the documentation of `vitral-program`. An op that does not fit is reported by the host when
//! the trace ends, and whatever is made from its result is ignored.

mod arrange;
mod create;
mod dim;
mod elementwise;
mod given;
mod label;
mod operators;
mod reduce;
mod structured;

use std::fmt;
use std::marker::PhantomData;

use vitral_abi::{Attribute, AttributeValue};

use crate::boundary;

pub use arrange::concat;
pub use create::{Distribution, constant, constant_bool, constant_i32, parameter, random, range};
pub use dim::{B, Dim};
pub use elementwise::Operand;
pub use given::{Dims, Size, Sizes};
pub use label::label;
pub use structured::{Convolution, Layout};

pub(crate) use label::current as current_label;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// Floating point.
    F32,
    /// Integers of 32 bits.
    I32,
    /// Truth values.
    Bool,
}

impl DType {
    /// Its name in text: `f32`, `i32` or `bool`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I32 => "i32",
            Self::Bool => "bool",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::F32, Self::I32, Self::Bool].into_iter().find(|dtype| dtype.name() == name)
    }
}

/// A symbolic tensor of the trace that is going on.
///
/// It is of use only during the call that gave it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tensor {
    raw: u64,
    /// A trace is one thread's.
    not_send: PhantomData<*const ()>,
}

impl Tensor {
    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self { raw, not_send: PhantomData }
    }

    pub(crate) const fn raw(self) -> u64 {
        self.raw
    }

    /// The dimensions; `None` if the tensor follows from an error.
    pub fn shape(self) -> Option<Vec<Dim>> {
        let text = boundary::tensor_type(self)?;
        let (_, dims) = text.split_once('[')?;
        let dims = dims.strip_suffix(']')?;
        if dims.is_empty() {
            return Some(Vec::new());
        }
        dims.split(',').map(Dim::parse).collect()
    }

    /// The elements' type; `None` if the tensor follows from an error.
    pub fn dtype(self) -> Option<DType> {
        let text = boundary::tensor_type(self)?;
        DType::from_name(text.split_once('[')?.0)
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({:#x})", self.raw)
    }
}

/// How many results an op may have that is applied by name.
const MAX_RESULTS: usize = 256;

/// Applies an op by name, for ops that have no method; gives its results, at most 256.
///
/// # Panics
/// If no trace is going on.
pub fn apply(op: &str, attributes: &[Attribute], operands: &[Tensor]) -> Vec<Tensor> {
    boundary::apply(op, attributes, operands, &current_label(), MAX_RESULTS)
}

/// Applies an op of one result.
fn one<const N: usize>(
    op: &str,
    attributes: [(&str, AttributeValue); N],
    operands: &[Tensor],
) -> Tensor {
    many::<N>(op, attributes, operands, 1)[0]
}

/// Applies an op of several results. If it does not fit there are as many, all poisoned.
fn many<const N: usize>(
    op: &str,
    attributes: [(&str, AttributeValue); N],
    operands: &[Tensor],
    count: usize,
) -> Vec<Tensor> {
    let attributes = attributes.map(|(name, value)| Attribute { name: name.to_owned(), value });
    let mut results = boundary::apply(op, &attributes, operands, &current_label(), count);
    // No tensor has this number, so what is made from it is an error too.
    let poison = results.first().copied().unwrap_or(Tensor::from_raw(u64::MAX));
    results.resize(count.max(1), poison);
    results
}

/// What a plugin gives as a result. It must be a tensor of its own: neither an operand of the trace
/// nor another result, since those belong to someone already.
pub(crate) fn result(tensor: Tensor, taken: &[Tensor]) -> Tensor {
    if taken.contains(&tensor) { tensor.identity() } else { tensor }
}
