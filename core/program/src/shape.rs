//! Shapes with a symbolic batch: a dimension is a number, or a multiple of the batch size.

use std::fmt;
use std::str::FromStr;

use crate::misfit::Misfit;

/// The most dimensions that a tensor may have.
pub const MAX_RANK: usize = 8;

/// The most elements of any tensor per batch item, whatever the limits say. Products of element
/// counts with attributes' sizes stay far from overflow.
const MAX_ELEMENTS: usize = 1 << 40;

/// One dimension of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A number that tracing knows.
    Fixed(usize),
    /// A multiple of the batch size. `Batch(1)` is the batch; `Batch(4)` is a batch with 4 windows
    /// of each item folded into it.
    Batch(usize),
}

impl Dim {
    /// The batch.
    pub const BATCH: Self = Self::Batch(1);

    /// The dimension for a batch size; `None` if it overflows.
    pub const fn at(self, batch: usize) -> Option<usize> {
        match self {
            Self::Fixed(size) => Some(size),
            Self::Batch(factor) => factor.checked_mul(batch),
        }
    }

    /// The number, or the multiple of the batch: the size per batch item.
    pub const fn per_item(self) -> usize {
        let (Self::Fixed(size) | Self::Batch(size)) = self;
        size
    }

    /// The number; `None` for a multiple of the batch.
    pub const fn fixed(self) -> Option<usize> {
        match self {
            Self::Fixed(size) => Some(size),
            Self::Batch(_) => None,
        }
    }

    /// The product; `None` if it overflows or the batch would be in it twice.
    pub const fn times(self, other: Self) -> Option<Self> {
        let product = match self.per_item().checked_mul(other.per_item()) {
            Some(product) => product,
            None => return None,
        };
        match (self, other) {
            (Self::Batch(_), Self::Batch(_)) => None,
            (Self::Fixed(_), Self::Fixed(_)) => Some(Self::Fixed(product)),
            _ => Some(Self::Batch(product)),
        }
    }

    /// The sum; `None` if it overflows or only one is a multiple of the batch.
    pub const fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Fixed(a), Self::Fixed(b)) => match a.checked_add(b) {
                Some(sum) => Some(Self::Fixed(sum)),
                None => None,
            },
            (Self::Batch(a), Self::Batch(b)) => match a.checked_add(b) {
                Some(sum) => Some(Self::Batch(sum)),
                None => None,
            },
            _ => None,
        }
    }

    /// Whether this is at most `other` at every batch size, both being of one kind.
    pub(crate) fn within(self, other: Self) -> bool {
        let same_kind = self.fixed().is_some() == other.fixed().is_some();
        same_kind && self.per_item() <= other.per_item()
    }
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        Self::Fixed(size)
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

impl FromStr for Dim {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten()
        };
        let dim = match text.strip_suffix('B') {
            Some("") => Some(Self::BATCH),
            Some(factor) => number(factor).map(Self::Batch),
            None => number(text).map(Self::Fixed),
        };
        dim.ok_or_else(|| {
            Misfit::new(format!(
                "`{text}` is not a dimension; a dimension is written like 49, B or 4B"
            ))
        })
    }
}

/// The dimensions of a tensor. At most one is a multiple of the batch, none is zero, and they are
/// no more than [`MAX_RANK`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape(Vec<Dim>);

impl Shape {
    /// A shape of these dimensions, outermost first.
    ///
    /// # Errors
    /// If a dimension is zero, the batch is in it twice, or there are too many dimensions or
    /// elements.
    pub fn new(dims: impl Into<Vec<Dim>>) -> Result<Self, Misfit> {
        let shape = Self(dims.into());
        if shape.rank() > MAX_RANK {
            let rank = shape.rank();
            return Err(Misfit::new(format!(
                "{rank} dimensions are too many: at most {MAX_RANK} fit"
            )));
        }
        if shape.0.iter().any(|dim| dim.per_item() == 0) {
            return Err(Misfit::new(format!(
                "{shape} has an empty dimension; each must be at least 1"
            )));
        }
        if shape.0.iter().filter(|dim| dim.fixed().is_none()).count() > 1 {
            let problem =
                format!("{shape} has the batch in two dimensions; it must be in one at most");
            return Err(Misfit::new(problem));
        }
        let count = shape.0.iter().try_fold(Dim::Fixed(1), |product, &dim| product.times(dim));
        match count {
            Some(count) if count.per_item() <= MAX_ELEMENTS => Ok(shape),
            _ => Err(Misfit::new(format!("{shape} has too many elements"))),
        }
    }

    /// A shape without the batch.
    ///
    /// # Errors
    /// As [`Shape::new`].
    pub fn fixed(sizes: &[usize]) -> Result<Self, Misfit> {
        Self::new(sizes.iter().copied().map(Dim::Fixed).collect::<Vec<_>>())
    }

    /// The shape of a single number.
    pub const fn scalar() -> Self {
        Self(Vec::new())
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[Dim] {
        &self.0
    }

    /// How many dimensions there are.
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// How many elements there are, which may be a multiple of the batch.
    pub fn elements(&self) -> Dim {
        let product = |product: Dim, &dim: &Dim| product.times(dim).unwrap_or(product);
        // `new` has seen that the product exists.
        self.0.iter().fold(Dim::Fixed(1), product)
    }

    /// The sizes for a batch size.
    ///
    /// # Errors
    /// If the elements cannot be counted.
    pub fn at(&self, batch: usize) -> Result<Vec<usize>, Misfit> {
        let sizes = self.0.iter().map(|dim| dim.at(batch)).collect();
        let fits = self.elements().at(batch).is_some_and(|count| count <= isize::MAX as usize / 8);
        match sizes {
            Some(sizes) if fits => Ok(sizes),
            _ => Err(Misfit::new(format!("{self} with a batch of {batch} has too many elements"))),
        }
    }

    /// The sizes, if the batch is not among them.
    pub fn sizes(&self) -> Option<Vec<usize>> {
        self.0.iter().map(|dim| dim.fixed()).collect()
    }

    /// The shape that two operands have together: aligned at the last dimension, where each pair is
    /// equal or one of both is 1.
    ///
    /// # Errors
    /// If a pair of dimensions differs, or the result is no shape.
    pub fn broadcast(&self, other: &Self) -> Result<Self, Misfit> {
        let rank = self.rank().max(other.rank());
        let dims = (0..rank).map(|axis| {
            let (a, b) = (self.aligned(axis, rank), other.aligned(axis, rank));
            match (a, b) {
                _ if a == b => Ok(a),
                (Dim::Fixed(1), dim) | (dim, Dim::Fixed(1)) => Ok(dim),
                _ => Err(Misfit::new(format!(
                    "{self} and {other} do not broadcast: {a} and {b} must be equal, or one of \
                     them 1"
                ))),
            }
        });
        Self::new(dims.collect::<Result<Vec<_>, _>>()?)
    }

    /// Whether broadcasting with `target` gives `target`.
    pub(crate) fn broadcasts_to(&self, target: &Self) -> bool {
        self.broadcast(target).is_ok_and(|shape| shape == *target)
    }

    /// The dimension at an axis of a shape of rank `rank`, which has more dimensions in front.
    fn aligned(&self, axis: usize, rank: usize) -> Dim {
        match (axis + self.rank()).checked_sub(rank) {
            Some(own) => self.0[own],
            None => Dim::Fixed(1),
        }
    }

    /// This shape with another dimension at an axis.
    ///
    /// # Errors
    /// If the result is no shape.
    pub(crate) fn replaced(&self, axis: usize, dim: Dim) -> Result<Self, Misfit> {
        let mut dims = self.0.clone();
        dims[axis] = dim;
        Self::new(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&dims_text(&self.0))
    }
}

impl FromStr for Shape {
    type Err = Misfit;

    fn from_str(text: &str) -> Result<Self, Misfit> {
        Self::new(parse_dims(text)?)
    }
}

/// Dimensions as text, like `[B, 49]`. They need not be a shape.
pub(crate) fn dims_text(dims: &[Dim]) -> String {
    let dims: Vec<_> = dims.iter().map(Dim::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// Dimensions from text, like `[B, 49]`. They need not be a shape.
pub(crate) fn parse_dims(text: &str) -> Result<Vec<Dim>, Misfit> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inner = inner.ok_or_else(|| {
        Misfit::new(format!("`{text}` is not a shape; a shape is written like [B, 4, 49, 16]"))
    })?;
    match inner.trim() {
        "" => Ok(Vec::new()),
        inner => inner.split(',').map(|dim| dim.trim().parse()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Shape {
        text.parse().unwrap()
    }

    #[test]
    fn text_round_trips() {
        for text in ["[]", "[B]", "[4B, 49, 64]", "[B, 4, 49, 64]", "[7]"] {
            assert_eq!(shape(text).to_string(), text);
        }
        assert_eq!(shape("[ B,4 ]"), shape("[B, 4]"));
    }

    #[test]
    fn impossible_shapes_are_refused() {
        for (text, message) in [
            ("[B, 2B]", "the batch in two dimensions"),
            ("[B, 0]", "empty dimension"),
            ("[0B]", "empty dimension"),
            ("[1,1,1,1,1,1,1,1,1]", "9 dimensions are too many: at most 8"),
            ("[4294967296, 4294967296]", "too many elements"),
            ("[18446744073709551615, 2]", "too many elements"),
            ("[18446744073709551616]", "not a dimension"),
            ("[-1]", "not a dimension"),
            ("[+1]", "not a dimension"),
            ("[2,]", "not a dimension"),
            ("4", "not a shape"),
        ] {
            let error = text.parse::<Shape>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn broadcasting_follows_numpy_and_keeps_the_batch_apart() {
        for (a, b, expected) in [
            ("[B, 4, 49, 16]", "[16]", "[B, 4, 49, 16]"),
            ("[B, 1, 5]", "[3, 1]", "[B, 3, 5]"),
            ("[]", "[2, 3]", "[2, 3]"),
            ("[1]", "[B]", "[B]"),
            ("[4B, 2]", "[4B, 1]", "[4B, 2]"),
            ("[2, 1, 3]", "[4, 1]", "[2, 4, 3]"),
        ] {
            assert_eq!(shape(a).broadcast(&shape(b)).unwrap(), shape(expected));
            assert_eq!(shape(b).broadcast(&shape(a)).unwrap(), shape(expected));
        }
        for (a, b, message) in [
            ("[2]", "[3]", "2 and 3 must be equal, or one of them 1"),
            ("[B]", "[2]", "B and 2 must be equal"),
            ("[B]", "[2B]", "B and 2B must be equal"),
            ("[B, 1]", "[B]", "the batch in two dimensions"),
        ] {
            let error = shape(a).broadcast(&shape(b)).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_batch_size_makes_sizes_or_overflows() {
        assert_eq!(shape("[4B, 3]").at(5).unwrap(), [20, 3]);
        assert_eq!(shape("[4B, 3]").elements(), Dim::Batch(12));
        assert!(shape("[4B, 3]").at(usize::MAX / 2).is_err());
    }
}
