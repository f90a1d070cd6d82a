//! Settings and parameters, which have another shape in C.

use super::form::form;
use super::{List, Text, Value};

/// `ParameterType::tag` only: one of the words in `choices`.
pub const CHOICE: u32 = 6;

/// A parameter and its value, or an op's attribute and its value.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Setting {
    /// The parameter's name.
    pub name: Text,
    /// Its value.
    pub value: Value,
}

/// Which values a parameter takes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ParameterType {
    /// `BOOLEAN` to `CHOICE`.
    pub tag: u32,
    /// Smallest integer, for `INTEGER` and `INTEGERS`.
    pub min_integer: i64,
    /// Largest integer.
    pub max_integer: i64,
    /// Smallest number, for `NUMBER` and `NUMBERS`.
    pub min_number: f64,
    /// Largest number.
    pub max_number: f64,
    /// The words of a `CHOICE`.
    pub choices: List<Text>,
}

/// A parameter that users may set.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Parameter {
    /// Lower-case words joined by `_`.
    pub name: Text,
    /// What it does, in a sentence or two.
    pub doc: Text,
    /// Which values it takes.
    pub r#type: ParameterType,
    /// Its default; null where users must set it.
    pub default_value: *const Value,
}

form!(Setting, Parameter, ParameterType);
