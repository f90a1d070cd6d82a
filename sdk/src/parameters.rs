//! Typed parameters: what `#[derive(Parameters)]` and `#[derive(Choice)]` are made of.

use vitral_abi::{Parameter, ParameterType, Setting, Value};

use crate::{Error, Result};

/// What users set. Derive it: see [`derive@crate::Parameters`].
/// ```
/// use vitral_sdk::{Choice, Parameters, ParameterType, Value};
///
/// /// How a blur falls off.
/// #[derive(Choice)]
/// enum Falloff {
///     /// Not at all.
///     Box,
///     /// As a bell.
///     Gauss,
/// }
///
/// #[derive(Parameters)]
/// struct Blur {
///     /// How far it reaches, in pixels.
///     #[parameter(default = 2, min = 1, max = 64)]
///     radius: u32,
///     /// How it falls off.
///     #[parameter(default = Falloff::Gauss)]
///     falloff: Falloff,
/// }
///
/// let [radius, falloff] = <[_; 2]>::try_from(Blur::describe()).unwrap();
/// assert_eq!(radius.doc, "How far it reaches, in pixels.");
/// assert_eq!(radius.r#type, ParameterType::Integer { min: 1, max: 64 });
/// assert_eq!(falloff.default, Some(Value::Text("gauss".into())));
/// ```
pub trait Parameters: Sized {
    /// Every parameter, in order.
    fn describe() -> Vec<Parameter>;

    /// Reads every parameter.
    ///
    /// # Errors
    /// If one is missing, or its value is of another type.
    fn read(settings: &mut Settings) -> Result<Self>;
}

impl Parameters for () {
    fn describe() -> Vec<Parameter> {
        Vec::new()
    }

    fn read(_: &mut Settings) -> Result<Self> {
        Ok(())
    }
}

/// Settings that are being read.
#[derive(Debug)]
pub struct Settings(Vec<Setting>);

impl From<Vec<Setting>> for Settings {
    fn from(settings: Vec<Setting>) -> Self {
        Self(settings)
    }
}

impl Settings {
    /// Takes a parameter's value out.
    ///
    /// # Errors
    /// If it is missing or of another type.
    pub fn take<T: Field>(&mut self, name: &str) -> Result<T> {
        let Some(position) = self.0.iter().position(|setting| setting.name == name) else {
            return Err(Error::new(format!("parameter `{name}` is missing")));
        };
        let value = self.0.swap_remove(position).value;
        let shown = value.to_string();
        T::from_value(value).ok_or_else(|| {
            let wanted = T::range(None, None);
            Error::new(format!("parameter `{name}` is {shown}, but must be {wanted}"))
        })
    }
}

/// A type that a parameter may have.
pub trait Field: Sized {
    /// The type of the ends of its range; `()` where there is none.
    type Bound;

    /// Which values it takes; without an end the type's own.
    fn range(min: Option<Self::Bound>, max: Option<Self::Bound>) -> ParameterType;

    /// A default as a value.
    fn into_value(self) -> Value;

    /// A value of this type; `None` if it is not.
    fn from_value(value: Value) -> Option<Self>;
}

impl Field for bool {
    type Bound = ();

    fn range(_: Option<()>, _: Option<()>) -> ParameterType {
        ParameterType::Boolean
    }

    fn into_value(self) -> Value {
        self.into()
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Boolean(value) = value { Some(value) } else { None }
    }
}

impl Field for String {
    type Bound = ();

    fn range(_: Option<()>, _: Option<()>) -> ParameterType {
        ParameterType::Text
    }

    fn into_value(self) -> Value {
        self.into()
    }

    fn from_value(value: Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text) } else { None }
    }
}

macro_rules! integers {
    ($($Type:ty),*) => {$(
        impl Field for $Type {
            type Bound = $Type;

            fn range(min: Option<$Type>, max: Option<$Type>) -> ParameterType {
                let min = min.unwrap_or(<$Type>::MIN).into();
                let max = max.unwrap_or(<$Type>::MAX).into();
                ParameterType::Integer { min, max }
            }

            fn into_value(self) -> Value {
                self.into()
            }

            fn from_value(value: Value) -> Option<Self> {
                if let Value::Integer(value) = value { value.try_into().ok() } else { None }
            }
        }
    )*};
}

integers! { u8, u16, u32, i32, i64 }

macro_rules! integer_lists {
    ($($Type:ty),*) => {$(
        impl Field for Vec<$Type> {
            type Bound = $Type;

            fn range(min: Option<$Type>, max: Option<$Type>) -> ParameterType {
                let min = min.unwrap_or(<$Type>::MIN).into();
                let max = max.unwrap_or(<$Type>::MAX).into();
                ParameterType::Integers { min, max }
            }

            fn into_value(self) -> Value {
                self.into()
            }

            fn from_value(value: Value) -> Option<Self> {
                let Value::Integers(values) = value else { return None };
                values.into_iter().map(|value| value.try_into().ok()).collect()
            }
        }
    )*};
}

integer_lists! { u32, i32, i64 }

/// A number from a value; integers are numbers too.
fn number(value: Value) -> Option<f64> {
    match value {
        Value::Number(value) => Some(value),
        Value::Integer(value) => Some(value as f64),
        _ => None,
    }
}

fn numbers(value: Value) -> Option<Vec<f64>> {
    match value {
        Value::Numbers(values) => Some(values),
        Value::Integers(values) => Some(values.into_iter().map(|value| value as f64).collect()),
        _ => None,
    }
}

macro_rules! numbers {
    ($($Type:ty),*) => {$(
        impl Field for $Type {
            type Bound = $Type;

            fn range(min: Option<$Type>, max: Option<$Type>) -> ParameterType {
                let (min, max) = ends(min.map(Value::from), max.map(Value::from));
                ParameterType::Number { min, max }
            }

            fn into_value(self) -> Value {
                self.into()
            }

            fn from_value(value: Value) -> Option<Self> {
                number(value).map(|value| value as $Type)
            }
        }

        impl Field for Vec<$Type> {
            type Bound = $Type;

            fn range(min: Option<$Type>, max: Option<$Type>) -> ParameterType {
                let (min, max) = ends(min.map(Value::from), max.map(Value::from));
                ParameterType::Numbers { min, max }
            }

            fn into_value(self) -> Value {
                self.into()
            }

            fn from_value(value: Value) -> Option<Self> {
                let values = numbers(value)?;
                Some(values.into_iter().map(|value| value as $Type).collect())
            }
        }
    )*};
}

numbers! { f32, f64 }

fn ends(min: Option<Value>, max: Option<Value>) -> (f64, f64) {
    let min = min.and_then(number).unwrap_or(f64::NEG_INFINITY);
    (min, max.and_then(number).unwrap_or(f64::INFINITY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Field + std::fmt::Debug + PartialEq>(value: impl Into<Value>) -> Result<T> {
        Settings(vec![Setting::new("size", value)]).take("size")
    }

    #[test]
    fn fields_round_trip() {
        fn check<T: Field + Clone + std::fmt::Debug + PartialEq>(field: T) {
            assert_eq!(T::from_value(field.clone().into_value()), Some(field));
        }
        check(true);
        check(7_u8);
        check(7_u16);
        check(u32::MAX);
        check(-7_i32);
        check(i64::MIN);
        check(0.1_f32);
        check(0.1_f64);
        check("elu".to_owned());
        check(vec![1_u32]);
        check(vec![-1_i32]);
        check(vec![-1_i64]);
        check(vec![0.1_f32]);
        check(vec![0.1_f64]);
    }

    #[test]
    fn values_of_another_type_are_refused_by_name() {
        let message = |result: Result<u32>| result.unwrap_err().to_string();
        let wanted = "parameter `size` is -1, but must be an integer from 0 to 4294967295";
        assert_eq!(message(read(-1)), wanted);
        assert!(message(read("a")).starts_with("parameter `size` is \"a\", but must be"));
        assert_eq!(message(Settings(vec![]).take("size")), "parameter `size` is missing");
    }

    #[test]
    fn integers_are_numbers_too() {
        assert_eq!(read(3), Ok(3.0_f32));
        assert_eq!(read([1, 2]), Ok(vec![1.0, 2.0]));
    }

    #[test]
    fn ends_of_32_bits_keep_their_decimals() {
        let range = ParameterType::Number { min: 0.1, max: f64::INFINITY };
        assert_eq!(f32::range(Some(0.1), None), range);
    }
}
