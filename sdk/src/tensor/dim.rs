//! Dimensions with a symbolic batch.

use std::fmt;
use std::ops::{Div, Mul};

/// The batch, as a dimension.
pub const B: Dim = Dim::Batch(1);

/// One dimension of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A number.
    Fixed(u32),
    /// A multiple of the batch.
    Batch(u32),
}

impl Dim {
    /// The number; `None` for a multiple of the batch.
    pub const fn fixed(self) -> Option<u32> {
        match self {
            Self::Fixed(size) => Some(size),
            Self::Batch(_) => None,
        }
    }

    /// The number, or the multiple of the batch.
    pub const fn per_item(self) -> u32 {
        let (Self::Fixed(size) | Self::Batch(size)) = self;
        size
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('B') {
            Some("") => Some(B),
            Some(factor) => factor.parse().ok().map(Self::Batch),
            None => text.parse().ok().map(Self::Fixed),
        }
    }

    fn with(self, size: u32) -> Self {
        match self {
            Self::Fixed(_) => Self::Fixed(size),
            Self::Batch(_) => Self::Batch(size),
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(size) => write!(f, "{size}"),
            Self::Batch(1) => f.write_str("B"),
            Self::Batch(factor) => write!(f, "{factor}B"),
        }
    }
}

impl From<u32> for Dim {
    fn from(size: u32) -> Self {
        Self::Fixed(size)
    }
}

macro_rules! from {
    ($($Integer:ty),*) => {$(
        impl From<$Integer> for Dim {
            /// # Panics
            /// If the size is negative or has more than 32 bits.
            fn from(size: $Integer) -> Self {
                let fits = u32::try_from(size);
                Self::Fixed(fits.unwrap_or_else(|_| panic!("{size} cannot be a dimension")))
            }
        }
    )*};
}

from! { i32, i64, usize }

impl<D: Into<Dim>> Mul<D> for Dim {
    type Output = Self;

    /// # Panics
    /// If both are multiples of the batch, or the product has more than 32 bits.
    fn mul(self, other: D) -> Self {
        let other = other.into();
        let product = self.per_item().checked_mul(other.per_item());
        let product = product.unwrap_or_else(|| panic!("{self} * {other} is too large"));
        match (self, other) {
            (Self::Batch(_), Self::Batch(_)) => {
                panic!("{self} * {other} has the batch in it twice")
            }
            (Self::Fixed(_), Self::Fixed(_)) => Self::Fixed(product),
            _ => Self::Batch(product),
        }
    }
}

impl Mul<Dim> for u32 {
    type Output = Dim;

    fn mul(self, dim: Dim) -> Dim {
        dim * self
    }
}

impl Div<u32> for Dim {
    type Output = Self;

    /// # Panics
    /// If something is left over.
    fn div(self, by: u32) -> Self {
        let quotient = self.per_item().checked_div(by).filter(|&part| part * by == self.per_item());
        self.with(quotient.unwrap_or_else(|| panic!("{self} / {by} is no whole number")))
    }
}

/// A shape as a list of dimensions: `shape![B, heads, tokens, 16]`. Each is an integer or a
/// [`Dim`](crate::Dim).
#[macro_export]
macro_rules! shape {
    ($($dim:expr),* $(,)?) => {{
        let dims: ::std::vec::Vec<$crate::Dim> = ::std::vec![$($crate::Dim::from($dim)),*];
        dims
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_take_any_integers() {
        let heads = 3_u32;
        let shape = crate::shape![B, heads, 7_usize, 16, B * 4];
        let text: Vec<_> = shape.iter().map(Dim::to_string).collect();
        assert_eq!(text, ["B", "3", "7", "16", "4B"]);
        assert!(shape.iter().all(|&dim| Dim::parse(&dim.to_string()) == Some(dim)));
    }

    #[test]
    fn products_and_quotients() {
        assert_eq!(4 * B, Dim::Batch(4));
        assert_eq!(B * 4 * 2_usize, Dim::Batch(8));
        assert_eq!(Dim::from(6) / 3, Dim::Fixed(2));
        assert_eq!(B * 4 / 4, B);
    }

    #[test]
    #[should_panic(expected = "4B / 3 is no whole number")]
    fn nothing_may_be_left_over() {
        let _ = B * 4 / 3;
    }

    #[test]
    #[should_panic(expected = "B * B has the batch in it twice")]
    fn the_batch_may_be_there_once() {
        let _ = B * B;
    }
}
