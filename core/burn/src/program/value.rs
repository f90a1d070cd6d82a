//! A value of a program as Burn has it, and what an op gets to compute its results from.

use std::vec::IntoIter;

use burn::tensor::{Bool, Device, Float, Int, IntDType, Tensor, TensorData};
use vitral_program::{DType, MAX_RANK};
use vitral_seed::Seed;

/// The rank that every tensor is kept at.
pub const RANK: usize = MAX_RANK;

/// A tensor of any element type, of shape `[1.., dims..]`.
#[derive(Clone, Debug)]
pub enum Value {
    /// Of floats.
    Float(Tensor<RANK>),
    /// Of integers, 32 bits on every device.
    Int(Tensor<RANK, Int>),
    /// Of truth values.
    Bool(Tensor<RANK, Bool>),
}

/// Computes the same from a tensor of any element type.
macro_rules! any {
    ($value:expr, $tensor:ident => $result:expr) => {
        match $value {
            $crate::program::value::Value::Float($tensor) => {
                $crate::program::value::Value::Float($result)
            }
            $crate::program::value::Value::Int($tensor) => {
                $crate::program::value::Value::Int($result)
            }
            $crate::program::value::Value::Bool($tensor) => {
                $crate::program::value::Value::Bool($result)
            }
        }
    };
}

/// Computes the same from a tensor of floats or integers.
macro_rules! number {
    ($value:expr, $tensor:ident => $result:expr) => {
        match $value {
            $crate::program::value::Value::Float($tensor) => {
                $crate::program::value::Value::Float($result)
            }
            $crate::program::value::Value::Int($tensor) => {
                $crate::program::value::Value::Int($result)
            }
            $crate::program::value::Value::Bool(_) => $crate::program::value::mistyped(),
        }
    };
}

pub(super) use {any, number};

/// Where a value's type contradicts the program.
///
/// # Panics
/// Always. Programs are verified and their inputs checked, so that ops get what they are for.
pub(super) fn mistyped() -> ! {
    unreachable!("a verified program gives no op another element type than its own")
}

/// A shape of at most [`RANK`] dimensions with ones in front.
///
/// # Panics
/// If it has more.
pub fn padded(shape: &[usize]) -> [usize; RANK] {
    let mut dims = [1; RANK];
    dims[RANK - shape.len()..].copy_from_slice(shape);
    dims
}

impl Value {
    /// Its element type.
    pub const fn dtype(&self) -> DType {
        match self {
            Self::Float(_) => DType::F32,
            Self::Int(_) => DType::I32,
            Self::Bool(_) => DType::Bool,
        }
    }

    /// Its dimensions, with ones in front.
    pub fn padded(&self) -> [usize; RANK] {
        match self {
            Self::Float(tensor) => tensor.dims(),
            Self::Int(tensor) => tensor.dims(),
            Self::Bool(tensor) => tensor.dims(),
        }
    }

    /// The floats; `None` if it has another element type.
    pub fn float(self) -> Option<Tensor<RANK>> {
        match self {
            Self::Float(tensor) => Some(tensor),
            Self::Int(_) | Self::Bool(_) => None,
        }
    }

    /// The integers; `None` if it has another element type.
    pub fn int(self) -> Option<Tensor<RANK, Int>> {
        match self {
            Self::Int(tensor) => Some(tensor),
            Self::Float(_) | Self::Bool(_) => None,
        }
    }

    /// The truth values; `None` if it has another element type.
    pub fn bool(self) -> Option<Tensor<RANK, Bool>> {
        match self {
            Self::Bool(tensor) => Some(tensor),
            Self::Float(_) | Self::Int(_) => None,
        }
    }

    /// A value of this type and shape from host memory.
    pub fn from_host(dtype: DType, shape: [usize; RANK], values: &[f64], device: &Device) -> Self {
        match dtype {
            DType::F32 => {
                let values: Vec<_> = values.iter().map(|&value| value as f32).collect();
                Self::Float(Tensor::from_data(TensorData::new(values, shape), device))
            }
            DType::I32 => {
                let values = values.iter().map(|&value| value as i32).collect();
                Self::Int(integers(values, shape, device))
            }
            DType::Bool => {
                let values: Vec<_> = values.iter().map(|&value| value != 0.0).collect();
                Self::Bool(Tensor::from_data(TensorData::new(values, shape), device))
            }
        }
    }
}

/// Integers of 32 bits, whatever the device prefers.
pub(super) fn integers<const D: usize>(
    values: Vec<i32>,
    shape: [usize; D],
    device: &Device,
) -> Tensor<D, Int> {
    let dtype = burn::tensor::DType::I32;
    Tensor::from_data(TensorData::new(values, shape), (device, dtype))
}

impl<const D: usize> From<Tensor<D, Float>> for Value {
    fn from(tensor: Tensor<D, Float>) -> Self {
        if D == RANK {
            return Self::Float(Tensor::from_dispatch(tensor.into_dispatch()));
        }
        let dims = padded(&tensor.dims());
        Self::Float(tensor.reshape(dims))
    }
}

impl<const D: usize> From<Tensor<D, Int>> for Value {
    fn from(tensor: Tensor<D, Int>) -> Self {
        let dims = padded(&tensor.dims());
        Self::Int(tensor.cast(IntDType::I32).reshape(dims))
    }
}

impl<const D: usize> From<Tensor<D, Bool>> for Value {
    fn from(tensor: Tensor<D, Bool>) -> Self {
        let dims = padded(&tensor.dims());
        Self::Bool(tensor.reshape(dims))
    }
}

/// What an op gets.
pub struct Call<'c> {
    /// Its operands, to be taken in order.
    pub operands: IntoIter<Value>,
    /// The operands' shapes.
    pub shapes: Vec<&'c [usize]>,
    /// The results' shapes.
    pub results: Vec<&'c [usize]>,
    /// What the executable keeps for it.
    pub constant: Option<&'c Value>,
    /// Where constants are made.
    pub device: &'c Device,
    /// The node's random stream.
    pub stream: Seed,
    /// Whether dropout drops.
    pub training: bool,
    /// Values of the first result that lie before it, where it is a part of a larger batch.
    pub skipped: usize,
}

impl Call<'_> {
    /// The next operand. There are as many as the op has: programs are verified.
    pub fn operand(&mut self) -> Value {
        self.operands.next().unwrap_or_else(|| mistyped())
    }

    /// The next operand, of floats.
    pub fn float(&mut self) -> Tensor<RANK> {
        self.operand().float().unwrap_or_else(|| mistyped())
    }

    /// The next operand, of floats, unless it is left out.
    pub fn optional(&mut self) -> Option<Tensor<RANK>> {
        self.operands.next().map(|value| value.float().unwrap_or_else(|| mistyped()))
    }

    /// The next operand, of integers.
    pub fn int(&mut self) -> Tensor<RANK, Int> {
        self.operand().int().unwrap_or_else(|| mistyped())
    }

    /// The next operand, of truth values.
    pub fn bool(&mut self) -> Tensor<RANK, Bool> {
        self.operand().bool().unwrap_or_else(|| mistyped())
    }

    /// Where an axis of the first operand is in the padded tensor.
    pub fn axis(&self, axis: usize) -> usize {
        RANK - self.shapes[0].len() + axis
    }

    /// The first result's shape, padded.
    pub fn shape(&self) -> [usize; RANK] {
        padded(self.results[0])
    }
}
