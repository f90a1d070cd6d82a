//! What a plain type is in C.

use super::{List, Text};

/// A type that has a form in C.
pub trait Form {
    /// The form.
    type C: Copy + 'static;
}

macro_rules! forms {
    ($($plain:ty => $c:ty;)*) => {$(
        impl Form for $plain {
            type C = $c;
        }
    )*};
}

forms! {
    u32 => u32;
    u64 => u64;
    i64 => i64;
    f64 => f64;
    bool => u8;
    String => Text;
    Option<f64> => f64;
    Option<u64> => u64;
    [u64; 18] => [u64; 18];
}

/// A plain type and its form, which is its own form: the fields of records are named by either.
macro_rules! form {
    ($($Name:ident),* $(,)?) => {$(
        impl $crate::c::Form for $crate::$Name {
            type C = $crate::c::$Name;
        }

        impl $crate::c::Form for $crate::c::$Name {
            type C = Self;
        }
    )*};
}

pub(super) use form;

impl<T: Form> Form for [T] {
    type C = List<T::C>;
}

impl<T: Form> Form for Vec<T> {
    type C = List<T::C>;
}
