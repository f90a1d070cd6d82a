//! Values, settings and attributes.

use std::marker::PhantomData;

use super::list::{each, items, list_of, part, text, text_of};
use super::{ConvertError, Result};
use crate::c::{self, List, ValueData};
use crate::{Attribute, AttributeValue, Setting, Value};

/// Settings in C form.
#[derive(Clone)]
pub struct CSettings<'a> {
    items: Vec<c::Setting>,
    borrowed: PhantomData<&'a [Setting]>,
}

impl<'a> CSettings<'a> {
    /// Borrows settings.
    pub fn new(settings: &'a [Setting]) -> Self {
        Self { items: settings.iter().map(setting_to_c).collect(), borrowed: PhantomData }
    }

    /// The list, valid as long as this is.
    pub fn list(&self) -> List<c::Setting> {
        list_of(&self.items)
    }

    /// The settings themselves, which are valid during `'a`.
    pub(super) fn into_items(self) -> Vec<c::Setting> {
        self.items
    }
}

/// Attributes of an op in C form.
#[derive(Clone)]
pub struct CAttributes<'a> {
    items: Vec<c::Setting>,
    borrowed: PhantomData<&'a [Attribute]>,
}

impl<'a> CAttributes<'a> {
    /// Borrows attributes.
    pub fn new(attributes: &'a [Attribute]) -> Self {
        Self { items: attributes.iter().map(attribute_to_c).collect(), borrowed: PhantomData }
    }

    /// The list, valid as long as this is.
    pub fn list(&self) -> List<c::Setting> {
        list_of(&self.items)
    }
}

/// A value in C form, which borrows from the value.
pub(super) fn value_to_c(value: &Value) -> c::Value {
    match value {
        Value::Boolean(value) => boolean(*value),
        Value::Integer(value) => integer(*value),
        Value::Number(value) => number(*value),
        Value::Text(text) => words(text),
        Value::Integers(values) => integers(values),
        Value::Numbers(values) => numbers(values),
    }
}

fn setting_to_c(setting: &Setting) -> c::Setting {
    c::Setting { name: text_of(&setting.name), value: value_to_c(&setting.value) }
}

fn attribute_to_c(attribute: &Attribute) -> c::Setting {
    let value = match &attribute.value {
        AttributeValue::Boolean(value) => boolean(*value),
        AttributeValue::Integer(value) => integer(*value),
        AttributeValue::Number(value) => number(*value),
        AttributeValue::Text(text) => words(text),
        AttributeValue::Integers(values) => integers(values),
        AttributeValue::Numbers(values) => numbers(values),
    };
    c::Setting { name: text_of(&attribute.name), value }
}

fn boolean(value: bool) -> c::Value {
    c::Value { tag: c::BOOLEAN, data: ValueData { boolean: value.into() } }
}

fn integer(integer: i64) -> c::Value {
    c::Value { tag: c::INTEGER, data: ValueData { integer } }
}

fn number(number: f64) -> c::Value {
    c::Value { tag: c::NUMBER, data: ValueData { number } }
}

fn words(text: &str) -> c::Value {
    c::Value { tag: c::TEXT, data: ValueData { text: text_of(text) } }
}

fn integers(values: &[i64]) -> c::Value {
    c::Value { tag: c::INTEGERS, data: ValueData { integers: list_of(values) } }
}

fn numbers(values: &[f64]) -> c::Value {
    c::Value { tag: c::NUMBERS, data: ValueData { numbers: list_of(values) } }
}

/// A value.
///
/// # Errors
/// If its tag is unknown, or what it holds makes no sense.
///
/// # Safety
/// The field that the tag tells is set; for lists and text as [`items`].
pub unsafe fn value(value: &c::Value) -> Result<Value> {
    let data = &value.data;
    // SAFETY: the caller vouches for the field that the tag tells.
    unsafe {
        match value.tag {
            c::BOOLEAN => flag(data.boolean).map(Value::Boolean),
            c::INTEGER => Ok(Value::Integer(data.integer)),
            c::NUMBER => Ok(Value::Number(data.number)),
            c::TEXT => Ok(Value::Text(text(data.text)?.to_owned())),
            c::INTEGERS => Ok(Value::Integers(items(data.integers)?.to_vec())),
            c::NUMBERS => Ok(Value::Numbers(items(data.numbers)?.to_vec())),
            tag => Err(ConvertError::new(format!("there is no kind of value with tag {tag}"))),
        }
    }
}

/// A truth value; anything but 0 and 1 is an error.
pub(super) fn flag(byte: u8) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(ConvertError::new(format!("a truth value is 0 or 1, not {byte}"))),
    }
}

/// Settings.
///
/// # Errors
/// If a name or a value makes no sense.
///
/// # Safety
/// As [`items`] for the list, each name and each value.
pub unsafe fn settings(list: List<c::Setting>) -> Result<Vec<Setting>> {
    // SAFETY: the caller vouches for the list and for each setting.
    unsafe { each(list, "setting", |given| setting(given)) }
}

unsafe fn setting(given: &c::Setting) -> Result<Setting> {
    // SAFETY: the caller vouches for name and value.
    unsafe {
        let name = part(given.name, "name")?;
        let value = value(&given.value).map_err(|error| error.at(format!("`{name}`")))?;
        Ok(Setting { name, value })
    }
}

/// Attributes of an op.
///
/// # Errors
/// If a name or a value makes no sense.
///
/// # Safety
/// As [`items`] for the list, each name and each value.
pub unsafe fn attributes(list: List<c::Setting>) -> Result<Vec<Attribute>> {
    // SAFETY: the caller vouches for the list and for each attribute.
    unsafe { each(list, "attribute", |given| setting(given).map(Attribute::from)) }
}

impl From<Setting> for Attribute {
    fn from(setting: Setting) -> Self {
        let value = match setting.value {
            Value::Boolean(value) => AttributeValue::Boolean(value),
            Value::Integer(value) => AttributeValue::Integer(value),
            Value::Number(value) => AttributeValue::Number(value),
            Value::Text(text) => AttributeValue::Text(text),
            Value::Integers(values) => AttributeValue::Integers(values),
            Value::Numbers(values) => AttributeValue::Numbers(values),
        };
        Self { name: setting.name, value }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::ptr;

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
        let c = CSettings::new(&given);
        // SAFETY: the list borrows from `given`.
        assert_eq!(unsafe { settings(c.list()) }, Ok(given.clone()));
    }

    #[test]
    fn attributes_round_trip() {
        let given: Vec<Attribute> = every_setting().into_iter().map(Attribute::from).collect();
        let c = CAttributes::new(&given);
        // SAFETY: the list borrows from `given`.
        assert_eq!(unsafe { attributes(c.list()) }, Ok(given.clone()));
    }

    #[test]
    fn a_bad_setting_is_named() {
        let good = setting_to_c(&Setting { name: "a".into(), value: Value::Integer(1) }).value;
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
                c::Value { tag: c::BOOLEAN, data: ValueData { boolean: 2 } },
                "setting 1, `bias`: a truth value is 0 or 1, not 2",
            ),
            (
                b"rates",
                c::Value { tag: c::NUMBERS, data: ValueData { numbers: null } },
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
