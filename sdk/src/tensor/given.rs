//! What methods of tensors take: sizes and dimensions in whatever form is at hand.

use vitral_abi::AttributeValue;

use super::Dim;

/// An integer: an axis, a size, a count.
pub trait Size: Copy {
    /// The integer.
    fn integer(self) -> i64;
}

impl Size for i32 {
    fn integer(self) -> i64 {
        self.into()
    }
}

impl Size for i64 {
    fn integer(self) -> i64 {
        self
    }
}

impl Size for u32 {
    fn integer(self) -> i64 {
        self.into()
    }
}

impl Size for usize {
    fn integer(self) -> i64 {
        // Anything that large is out of every op's range.
        self.try_into().unwrap_or(i64::MAX)
    }
}

/// Several integers: `[0, 2, 1]`, `&[0, 2, 1]`, a vector or a slice.
pub trait Sizes {
    /// The integers.
    fn integers(self) -> Vec<i64>;
}

/// A shape: [`shape!`](crate::shape), or dimensions or integers in an array, a vector or a slice.
pub trait Dims {
    /// The dimensions.
    fn dims(self) -> Vec<Dim>;
}

macro_rules! containers {
    ($(($($generics:tt)*) $Container:ty;)*) => {$(
        impl<T: Size, $($generics)*> Sizes for $Container {
            fn integers(self) -> Vec<i64> {
                self.iter().map(|&item| item.integer()).collect()
            }
        }

        impl<T: Copy + Into<Dim>, $($generics)*> Dims for $Container {
            fn dims(self) -> Vec<Dim> {
                self.iter().map(|&item| item.into()).collect()
            }
        }
    )*};
}

containers! {
    () Vec<T>;
    () &Vec<T>;
    () &[T];
    (const N: usize) [T; N];
    (const N: usize) &[T; N];
}

pub(super) fn integer(size: impl Size) -> AttributeValue {
    AttributeValue::Integer(size.integer())
}

pub(super) fn integers(sizes: impl Sizes) -> AttributeValue {
    AttributeValue::Integers(sizes.integers())
}

pub(super) fn number(number: f64) -> AttributeValue {
    AttributeValue::Number(number)
}

pub(super) fn boolean(boolean: bool) -> AttributeValue {
    AttributeValue::Boolean(boolean)
}

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::Text(text.into())
}

pub(super) fn dims(dims: &[Dim]) -> AttributeValue {
    let dims: Vec<_> = dims.iter().map(Dim::to_string).collect();
    text(format!("[{}]", dims.join(", ")))
}
