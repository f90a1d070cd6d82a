//! Attributes of ops in a form that needs no knowledge of the op: names and simple values, as files
//! and plugins hand them over. [`AttributeType`] turns them into an op's typed fields and back.

use std::fmt;

use crate::misfit::Misfit;
use crate::shape::{Dim, Shape, dims_text, parse_dims};
use crate::types::{DType, TensorType};

/// How many numbers of a list are shown.
const SHOWN: usize = 8;

/// One attribute of an op by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Its name, as the op declares it.
    pub name: String,
    /// Its value.
    pub value: AttributeValue,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum AttributeValue {
    /// Yes or no.
    Bool(bool),
    /// An integer: a size, an axis.
    Int(i64),
    /// A number.
    Float(f64),
    /// A list of integers.
    Ints(Vec<i64>),
    /// A list of numbers.
    Floats(Vec<f64>),
    /// A word, a dimension (`4B`), a shape (`[B, 49]`) or a type (`f32[B,49]`).
    Text(String),
}

/// Which values an attribute takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// [`AttributeValue::Bool`]
    Bool,
    /// [`AttributeValue::Int`]
    Int,
    /// [`AttributeValue::Float`], or an integer
    Float,
    /// [`AttributeValue::Ints`]
    Ints,
    /// [`AttributeValue::Floats`], or integers
    Floats,
    /// [`AttributeValue::Text`]
    Text,
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
            let shown: Vec<_> = items.iter().take(SHOWN).map(T::to_string).collect();
            write!(f, "[{}", shown.join(", "))?;
            match items.len() {
                0..=SHOWN => f.write_str("]"),
                count => write!(f, ", .. {count} values]"),
            }
        }
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Float(value) => write!(f, "{value}"),
            Self::Ints(values) => list(f, values),
            Self::Floats(values) => list(f, values),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A type that an op's field may have.
pub(crate) trait AttributeType: Sized {
    /// Which values it is made from.
    const KIND: AttributeKind;
    /// What a wrong value should have been.
    const WANTED: &'static str;

    /// The value to hand over.
    fn to_value(&self) -> AttributeValue;

    /// The field; `None` if the value is of another kind or out of range.
    ///
    /// # Errors
    /// If the value is of the right kind, but there is more to say about it.
    fn from_value(value: AttributeValue) -> Result<Option<Self>, Misfit>;
}

impl AttributeType for bool {
    const KIND: AttributeKind = AttributeKind::Bool;
    const WANTED: &'static str = "true or false";

    fn to_value(&self) -> AttributeValue {
        AttributeValue::Bool(*self)
    }

    fn from_value(value: AttributeValue) -> Result<Option<Self>, Misfit> {
        Ok(if let AttributeValue::Bool(value) = value { Some(value) } else { None })
    }
}

impl AttributeType for i32 {
    const KIND: AttributeKind = AttributeKind::Int;
    const WANTED: &'static str = "an integer of 32 bits";

    fn to_value(&self) -> AttributeValue {
        AttributeValue::Int((*self).into())
    }

    fn from_value(value: AttributeValue) -> Result<Option<Self>, Misfit> {
        Ok(if let AttributeValue::Int(value) = value { value.try_into().ok() } else { None })
    }
}

/// Sizes, axes and counts fit 32 bits.
fn size(value: i64) -> Option<usize> {
    u32::try_from(value).ok()?.try_into().ok()
}

fn size_value(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

impl AttributeType for usize {
    const KIND: AttributeKind = AttributeKind::Int;
    const WANTED: &'static str = "an integer, not negative, of 32 bits";

    fn to_value(&self) -> AttributeValue {
        AttributeValue::Int(size_value(*self))
    }

    fn from_value(value: AttributeValue) -> Result<Option<Self>, Misfit> {
        Ok(if let AttributeValue::Int(value) = value { size(value) } else { None })
    }
}

impl AttributeType for f64 {
    const KIND: AttributeKind = AttributeKind::Float;
    const WANTED: &'static str = "a number";

    fn to_value(&self) -> AttributeValue {
        AttributeValue::Float(*self)
    }

    fn from_value(value: AttributeValue) -> Result<Option<Self>, Misfit> {
        Ok(match value {
            AttributeValue::Float(value) => Some(value),
            AttributeValue::Int(value) => Some(value as f64),
            _ => None,
        })
    }
}

impl AttributeType for Vec<usize> {
    const KIND: AttributeKind = AttributeKind::Ints;
    const WANTED: &'static str = "a list of integers, not negative, of 32 bits";

    fn to_value(&self) -> AttributeValue {
        AttributeValue::Ints(self.iter().copied().map(size_value).collect())
    }

    fn from_value(value: AttributeValue) -> Result<Option<Self>, Misfit> {
        let AttributeValue::Ints(values) = value else { return Ok(None) };
        Ok(values.into_iter().map(size).collect())
    }
}

impl<const N: usize> AttributeType for [usize; N] {
    const KIND: AttributeKind = AttributeKind::Ints;
    const WANTED: &'static str = match N {
        2 => "a list of 2 integers, not negative, of 32 bits",
        _ => "a list of 4 integers, not negative, of 32 bits",
    };

    fn to_value(&self) -> AttributeValue {
        self.to_vec().to_value()
    }

    fn from_value(value: AttributeValue) -> Result<Option<Self>, Misfit> {
        Ok(Vec::from_value(value)?.and_then(|values| values.try_into().ok()))
    }
}

impl AttributeType for Vec<f64> {
    const KIND: AttributeKind = AttributeKind::Floats;
    const WANTED: &'static str = "a list of numbers";

    /// Integers where all are, which is shorter.
    fn to_value(&self) -> AttributeValue {
        let exact = |&value: &f64| {
            let integer = value as i32;
            (f64::from(integer).to_bits() == value.to_bits()).then_some(i64::from(integer))
        };
        match self.iter().map(exact).collect() {
            Some(integers) => AttributeValue::Ints(integers),
            None => AttributeValue::Floats(self.clone()),
        }
    }

    fn from_value(value: AttributeValue) -> Result<Option<Self>, Misfit> {
        Ok(match value {
            AttributeValue::Floats(values) => Some(values),
            AttributeValue::Ints(values) => {
                Some(values.into_iter().map(|value| value as f64).collect())
            }
            _ => None,
        })
    }
}

impl AttributeType for Vec<Dim> {
    const KIND: AttributeKind = AttributeKind::Text;
    const WANTED: &'static str = "dimensions like [B, 49]";

    fn to_value(&self) -> AttributeValue {
        AttributeValue::Text(dims_text(self))
    }

    fn from_value(value: AttributeValue) -> Result<Option<Self>, Misfit> {
        let AttributeValue::Text(text) = value else { return Ok(None) };
        parse_dims(&text).map(Some)
    }
}

/// Types whose value is their text.
macro_rules! text_attribute {
    ($($type:ty: $wanted:literal),* $(,)?) => {$(
        impl crate::attribute::AttributeType for $type {
            const KIND: crate::attribute::AttributeKind = crate::attribute::AttributeKind::Text;
            const WANTED: &'static str = $wanted;

            fn to_value(&self) -> crate::attribute::AttributeValue {
                crate::attribute::AttributeValue::Text(self.to_string())
            }

            fn from_value(
                value: crate::attribute::AttributeValue,
            ) -> Result<Option<Self>, crate::misfit::Misfit> {
                match value {
                    crate::attribute::AttributeValue::Text(text) => text.parse().map(Some),
                    _ => Ok(None),
                }
            }
        }
    )*};
}
pub(crate) use text_attribute;

text_attribute! {
    DType: "an element type like f32",
    Dim: "a dimension like 49 or 4B",
    Shape: "a shape like [B, 49]",
    TensorType: "a type like f32[B,49]",
}

/// Attributes of one op while its fields are made from them.
pub(crate) struct Attributes(Vec<Attribute>);

impl Attributes {
    pub(crate) fn new(attributes: Vec<Attribute>) -> Self {
        Self(attributes)
    }

    /// Takes one attribute out.
    pub(crate) fn take<T: AttributeType>(
        &mut self,
        name: &str,
        default: Option<T>,
    ) -> Result<T, Misfit> {
        let Some(position) = self.0.iter().position(|attribute| attribute.name == name) else {
            return default.ok_or_else(|| Misfit::new(format!("attribute `{name}` is missing")));
        };
        let value = self.0.swap_remove(position).value;
        let shown = value.to_string();
        let wrong = |problem| Misfit::new(format!("attribute `{name}`: {problem}"));
        match T::from_value(value) {
            Ok(Some(field)) => Ok(field),
            Ok(None) => Err(wrong(format!("{shown} is not {}", T::WANTED))),
            Err(misfit) => Err(wrong(misfit.to_string())),
        }
    }

    /// Checks that every attribute has been taken.
    pub(crate) fn finish(self, known: impl Iterator<Item = &'static str>) -> Result<(), Misfit> {
        let Some(left) = self.0.first() else { return Ok(()) };
        let known: Vec<_> = known.collect();
        let known = match known.is_empty() {
            true => "it takes none".to_owned(),
            false => format!("it takes {}, each once", known.join(", ")),
        };
        Err(Misfit::new(format!(
            "unknown or repeated attribute `{}`: {known}",
            left.name.escape_debug()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_integers_only_where_nothing_is_lost() {
        assert_eq!(vec![1.0, -2.0].to_value(), AttributeValue::Ints(vec![1, -2]));
        for values in [vec![0.5], vec![-0.0], vec![f64::NEG_INFINITY], vec![1e10]] {
            assert_eq!(values.to_value(), AttributeValue::Floats(values));
        }
    }

    #[test]
    fn long_lists_are_cut_in_text() {
        let value = AttributeValue::Ints((0..100).collect());
        assert_eq!(value.to_string(), "[0, 1, 2, 3, 4, 5, 6, 7, .. 100 values]");
        assert_eq!(AttributeValue::Floats(vec![0.5, 2.0]).to_string(), "[0.5, 2]");
    }
}
