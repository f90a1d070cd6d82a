//! Short ways to write values, examples and attributes.

use crate::{Example, Setting, Value};

impl Example {
    /// An example with every parameter at its default.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), settings: Vec::new() }
    }

    /// Sets a parameter.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.settings.push(Setting::new(name, value));
        self
    }
}

impl Setting {
    /// A parameter and its value.
    pub fn new(name: impl Into<String>, value: impl Into<Value>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// The number that is written with the fewest digits and rounds to this one: 0.1 for `0.1_f32`.
fn decimal(number: f32) -> f64 {
    // The text of a number is always a number.
    number.to_string().parse().unwrap_or_else(|_| number.into())
}

macro_rules! values {
    ($($from:ty: $value:pat => $to:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $to
            }
        }
    )*};
}

values! {
    bool: value => Self::Boolean(value);
    u8: value => Self::Integer(value.into());
    u16: value => Self::Integer(value.into());
    u32: value => Self::Integer(value.into());
    i32: value => Self::Integer(value.into());
    i64: value => Self::Integer(value);
    f32: value => Self::Number(decimal(value));
    f64: value => Self::Number(value);
    &str: text => Self::Text(text.to_owned());
    String: text => Self::Text(text);
}

macro_rules! lists {
    ($($item:ty: $variant:ident($read:expr);)*) => {$(
        impl From<&[$item]> for Value {
            fn from(items: &[$item]) -> Self {
                Self::$variant(items.iter().copied().map($read).collect())
            }
        }

        impl From<Vec<$item>> for Value {
            fn from(items: Vec<$item>) -> Self {
                items.as_slice().into()
            }
        }

        impl<const N: usize> From<[$item; N]> for Value {
            fn from(items: [$item; N]) -> Self {
                items.as_slice().into()
            }
        }
    )*};
}

lists! {
    u32: Integers(i64::from);
    i32: Integers(i64::from);
    i64: Integers(|item| item);
    f32: Numbers(decimal);
    f64: Numbers(|item| item);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_32_bits_keep_their_decimals() {
        assert_eq!(Value::from(0.1_f32), Value::Number(0.1));
        assert_eq!(Value::from(f32::INFINITY), Value::Number(f64::INFINITY));
        assert_eq!(Value::from([0.1_f32, 3.0]), Value::Numbers(vec![0.1, 3.0]));
    }

    #[test]
    fn literals_need_no_types() {
        let example = Example::new("Large").set("size", 7).set("rate", 0.5).set("sizes", [1, 2]);
        let values: Vec<_> = example.settings.into_iter().map(|setting| setting.value).collect();
        let wanted = [Value::Integer(7), Value::Number(0.5), Value::Integers(vec![1, 2])];
        assert_eq!(values, wanted);
    }
}
