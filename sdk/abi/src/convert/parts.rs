//! What records are made of.

use super::list::{items, text, text_of};
use super::traits::{FromC, Kept, ToC};
use super::{ConvertError, Result};
use crate::c::{List, Text};

/// How unknown bytes are handed over.
const UNKNOWN: u64 = u64::MAX;

macro_rules! same {
    ($($Type:ty),*) => {$(
        impl ToC for $Type {
            fn to_c(&self, _: &mut Kept) -> Self {
                *self
            }
        }

        impl FromC for $Type {
            unsafe fn from_c(given: &Self) -> Result<Self> {
                Ok(*given)
            }
        }
    )*};
}

same!(u32, u64, i64, f64, [u64; 18]);

impl ToC for bool {
    fn to_c(&self, _: &mut Kept) -> u8 {
        (*self).into()
    }
}

impl FromC for bool {
    unsafe fn from_c(given: &u8) -> Result<Self> {
        match given {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ConvertError::new(format!("a truth value is 0 or 1, not {given}"))),
        }
    }
}

/// An unknown number is NaN.
impl ToC for Option<f64> {
    fn to_c(&self, _: &mut Kept) -> f64 {
        self.unwrap_or(f64::NAN)
    }
}

impl FromC for Option<f64> {
    unsafe fn from_c(given: &f64) -> Result<Self> {
        Ok(Some(*given).filter(|number| !number.is_nan()))
    }
}

/// An unknown count is the largest.
impl ToC for Option<u64> {
    fn to_c(&self, _: &mut Kept) -> u64 {
        self.unwrap_or(UNKNOWN)
    }
}

impl FromC for Option<u64> {
    unsafe fn from_c(given: &u64) -> Result<Self> {
        Ok(Some(*given).filter(|&count| count != UNKNOWN))
    }
}

impl ToC for String {
    fn to_c(&self, _: &mut Kept) -> Text {
        text_of(self)
    }
}

impl FromC for String {
    unsafe fn from_c(given: &Text) -> Result<Self> {
        // SAFETY: the caller vouches for it.
        unsafe { text(*given) }.map(str::to_owned)
    }
}

impl<T: ToC> ToC for [T] {
    fn to_c(&self, kept: &mut Kept) -> List<T::C> {
        let items = self.iter().map(|item| item.to_c(kept)).collect();
        kept.list(items)
    }
}

impl<T: ToC> ToC for Vec<T> {
    fn to_c(&self, kept: &mut Kept) -> List<T::C> {
        self.as_slice().to_c(kept)
    }
}

impl<T: FromC> FromC for Vec<T> {
    unsafe fn from_c(given: &List<T::C>) -> Result<Self> {
        // SAFETY: the caller vouches for it.
        unsafe { each(*given, None) }
    }

    /// A list of `parameters` has one `parameter` after the other.
    unsafe fn part(given: &List<T::C>, name: &str) -> Result<Self> {
        // SAFETY: the caller vouches for it.
        unsafe { each(*given, Some(name)) }
    }
}

/// Reads each item of a list, naming the place of a bad one: of `parameters`, `parameter 2`.
///
/// # Safety
/// As [`FromC::from_c`].
pub(super) unsafe fn each<T: FromC>(list: List<T::C>, name: Option<&str>) -> Result<Vec<T>> {
    let named = |error: ConvertError| match name {
        Some(name) => error.at(name),
        None => error,
    };
    // SAFETY: the caller vouches for it.
    let items = unsafe { items(list) }.map_err(named)?;
    let one = name.and_then(|name| name.strip_suffix('s')).unwrap_or("item");
    let read = |(index, item)| {
        // SAFETY: the caller vouches for it.
        unsafe { T::from_c(item) }.map_err(|error| error.at(format!("{one} {index}")))
    };
    items.iter().enumerate().map(read).collect()
}
