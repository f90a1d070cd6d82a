//! What a value of a program is: an element type and a shape.

use std::fmt;
use std::str::FromStr;

use crate::misfit::Misfit;
use crate::shape::{Dim, Shape};

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// Floating point. A trainer may compute it in less or more than 32 bits.
    F32,
    /// Integers of 32 bits: indices.
    I32,
    /// Truth values: conditions.
    Bool,
}

impl DType {
    /// Every element type.
    pub const ALL: [Self; 3] = [Self::F32, Self::I32, Self::Bool];
    pub(crate) const NUMBERS: &[Self] = &[Self::F32, Self::I32];

    /// Its name in text: `f32`, `i32` or `bool`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::I32 => "i32",
            Self::Bool => "bool",
        }
    }

    /// Why a value cannot be an element of this type, if it cannot.
    pub(crate) fn check(self, value: f64) -> Result<(), Misfit> {
        let fits = match self {
            Self::F32 => {
                !value.is_nan() && (value.is_infinite() || value.abs() <= f64::from(f32::MAX))
            }
            Self::I32 => value == f64::from(value as i32),
            Self::Bool => value == 0.0 || value == 1.0,
        };
        let wanted = match self {
            Self::F32 => "a number that fits 32 bits",
            Self::I32 => "an integer of 32 bits",
            Self::Bool => "0 or 1",
        };
        if fits { Ok(()) } else { Err(Misfit::new(format!("{value} is not {wanted}"))) }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DType {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let found = Self::ALL.into_iter().find(|dtype| dtype.name() == text);
        found.ok_or_else(|| {
            Misfit::new(format!("`{text}` is not an element type; there are f32, i32 and bool"))
        })
    }
}

/// Element type and shape of one value. Its text is like `f32[B,4,49,16]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorType {
    /// Type of the elements.
    pub dtype: DType,
    /// Shape, with a symbolic batch.
    pub shape: Shape,
}

impl TensorType {
    /// A type from its parts.
    pub const fn new(dtype: DType, shape: Shape) -> Self {
        Self { dtype, shape }
    }

    /// The same element type with another shape.
    pub(crate) fn with(&self, shape: Shape) -> Self {
        Self { dtype: self.dtype, shape }
    }

    /// Elements per batch item.
    pub(crate) fn elements(&self) -> u64 {
        self.shape.elements().per_item() as u64
    }

    pub(crate) fn rank(&self) -> usize {
        self.shape.rank()
    }

    pub(crate) fn dims(&self) -> &[Dim] {
        self.shape.dims()
    }

    /// Checks the element type.
    pub(crate) fn expect(&self, name: &str, allowed: &[DType]) -> Result<(), Misfit> {
        if allowed.contains(&self.dtype) {
            return Ok(());
        }
        let names: Vec<_> = allowed.iter().map(|dtype| dtype.name()).collect();
        Err(Misfit::new(format!("{name} is {}, but must be {}", self.dtype, names.join(" or "))))
    }

    /// Checks that an axis exists, and gives its dimension.
    pub(crate) fn axis(&self, axis: usize) -> Result<Dim, Misfit> {
        self.dims().get(axis).copied().ok_or_else(|| {
            let rank = self.rank();
            let allowed = match rank {
                0 => "a scalar has no axes".to_owned(),
                _ => format!("axes of {} are 0 to {}", self.shape, rank - 1),
            };
            Misfit::new(format!("there is no axis {axis}: {allowed}"))
        })
    }

    /// Checks that axes exist, are in ascending order and at least one.
    pub(crate) fn axes(&self, axes: &[usize]) -> Result<(), Misfit> {
        for &axis in axes {
            self.axis(axis)?;
        }
        if axes.is_empty() || !axes.is_sorted_by(|a, b| a < b) {
            let problem =
                format!("axes are {axes:?}, but must be at least one, in ascending order");
            return Err(Misfit::new(problem));
        }
        Ok(())
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<_> = self.dims().iter().map(Dim::to_string).collect();
        write!(f, "{}[{}]", self.dtype, dims.join(","))
    }
}

impl FromStr for TensorType {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let bracket = text.find('[').ok_or_else(|| {
            Misfit::new(format!("`{text}` is not a type; a type is written like f32[B,4,49,16]"))
        })?;
        Ok(Self { dtype: text[..bracket].parse()?, shape: text[bracket..].parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["f32[B,4,49,16]", "i32[4B,49]", "bool[]", "f32[1]"] {
            assert_eq!(text.parse::<TensorType>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_text_says_what_a_type_looks_like() {
        for (text, message) in [
            ("f32", "like f32[B,4,49,16]"),
            ("f64[2]", "there are f32, i32 and bool"),
            ("f32[2", "`[2` is not a shape"),
            ("f32[2,x]", "`x` is not a dimension"),
            ("f32[0]", "at least 1"),
        ] {
            let error = text.parse::<TensorType>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
