//! Settings and attributes, which are named in errors.

use super::Result;
use super::parts::each;
use super::traits::{FromC, Kept, ToC};
use crate::c::{self, List};
use crate::{Attribute, Setting, Value};

impl ToC for Setting {
    fn to_c(&self, kept: &mut Kept) -> c::Setting {
        c::Setting { name: self.name.to_c(kept), value: self.value.to_c(kept) }
    }
}

impl FromC for Setting {
    unsafe fn from_c(given: &c::Setting) -> Result<Self> {
        // SAFETY: the caller vouches for name and value.
        unsafe {
            let name = String::part(&given.name, "name")?;
            let value = Value::part(&given.value, &format!("`{name}`"))?;
            Ok(Self { name, value })
        }
    }
}

/// Settings.
///
/// # Errors
/// If a name or a value makes no sense.
///
/// # Safety
/// As [`FromC::from_c`].
pub unsafe fn settings(list: List<c::Setting>) -> Result<Vec<Setting>> {
    // SAFETY: the caller vouches for the list and for each setting.
    unsafe { each(list, Some("settings")) }
}

/// Attributes of an op.
///
/// # Errors
/// If a name or a value makes no sense.
///
/// # Safety
/// As [`FromC::from_c`].
pub unsafe fn attributes(list: List<c::Setting>) -> Result<Vec<Attribute>> {
    // SAFETY: the caller vouches for the list and for each attribute.
    unsafe { each(list, Some("attributes")) }
}

#[cfg(test)]
pub(super) mod tests {
    use std::ptr;

    use super::super::{InC, list_of, text_of};
    use super::*;

    pub(in crate::convert) fn every_value() -> Vec<Value> {
        vec![
            Value::Boolean(true),
            Value::Integer(i64::MIN),
            Value::Number(-0.5),
            Value::Text("wörd".to_owned()),
            Value::Text(String::new()),
            Value::Integers(vec![1, -2]),
            Value::Integers(vec![]),
            Value::Numbers(vec![0.5, f64::INFINITY]),
        ]
    }

    fn every_setting() -> Vec<Setting> {
        let named = |(index, value)| Setting { name: format!("value_{index}"), value };
        every_value().into_iter().enumerate().map(named).collect()
    }

    #[test]
    fn settings_round_trip() {
        let given = every_setting();
        let c = InC::new(given.as_slice());
        // SAFETY: the list borrows from `given`.
        assert_eq!(unsafe { settings(*c.as_c()) }, Ok(given.clone()));
    }

    #[test]
    fn a_bad_setting_is_named() {
        let good = *InC::new(&Value::Integer(1)).as_c();
        let null = List { data: ptr::null::<f64>(), len: 2 };
        for (name, value, message) in [
            (
                b"size".as_slice(),
                c::Value { tag: 6, ..good },
                "setting 1, `size`: there is no kind of value with tag 6",
            ),
            (b"size", c::Value { tag: u32::MAX, ..good }, "tag 4294967295"),
            (
                b"bias",
                c::Value { tag: c::BOOLEAN, data: c::ValueData { boolean: 2 } },
                "setting 1, `bias`: a truth value is 0 or 1, not 2",
            ),
            (
                b"rates",
                c::Value { tag: c::NUMBERS, data: c::ValueData { numbers: null } },
                "setting 1, `rates`: a list of 2 items is at null",
            ),
            (b"\xc0", good, "setting 1, name: text is not UTF-8 from byte 0 on"),
        ] {
            let list = [
                c::Setting { name: text_of("a"), value: good },
                c::Setting { name: list_of(name), value },
            ];
            // SAFETY: what the list points to lives, except for the nulls that are refused.
            let error = unsafe { settings(list_of(&list)) }.unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
