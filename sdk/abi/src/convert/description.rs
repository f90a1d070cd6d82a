//! What a plugin says of itself.

use super::traits::{FromC, InC, Kept, ToC};
use super::{ConvertError, Result};
use crate::c::{self, List};
use crate::{Description, Kind, Parameter, ParameterType, Value};

/// The kind of a tag.
///
/// # Errors
/// If there is none.
pub fn kind(tag: u32) -> Result<Kind> {
    let found = Kind::ALL.into_iter().find(|&kind| kind_tag(kind) == tag);
    found.ok_or_else(|| ConvertError::new(format!("there is no kind of plugin with tag {tag}")))
}

/// The tag of a kind.
pub const fn kind_tag(kind: Kind) -> u32 {
    match kind {
        Kind::ImageAugmentation => c::IMAGE_AUGMENTATION,
        Kind::BatchAugmentation => c::BATCH_AUGMENTATION,
        Kind::Attention => c::ATTENTION,
        Kind::Monitor => c::MONITOR,
    }
}

/// The C form of a description, which is never freed: a plugin's table makes it once.
pub fn leak_description(description: Description) -> &'static c::Description {
    let plain: &'static Description = Box::leak(Box::new(description));
    Box::leak(Box::new(InC::new(plain).leak()))
}

impl ToC for Parameter {
    fn to_c(&self, kept: &mut Kept) -> c::Parameter {
        let default = self.default.as_ref().map(|value| vec![value.to_c(kept)]);
        c::Parameter {
            name: self.name.to_c(kept),
            doc: self.doc.to_c(kept),
            r#type: self.r#type.to_c(kept),
            // A list of one, or null.
            default_value: kept.list(default.unwrap_or_default()).data,
        }
    }
}

impl FromC for Parameter {
    unsafe fn from_c(given: &c::Parameter) -> Result<Self> {
        // SAFETY: the caller vouches for each part.
        unsafe {
            let name = String::part(&given.name, "name")?;
            let rest = || -> Result<Self> {
                Ok(Self {
                    name: name.clone(),
                    doc: FromC::part(&given.doc, "documentation")?,
                    r#type: FromC::part(&given.r#type, "type")?,
                    default: default(given.default_value).map_err(|error| error.at("default"))?,
                })
            };
            rest().map_err(|error| error.at(format!("`{name}`")))
        }
    }
}

unsafe fn default(given: *const c::Value) -> Result<Option<Value>> {
    if !given.is_aligned() {
        return Err(ConvertError::new("is not aligned"));
    }
    // SAFETY: the caller vouches for the value, and it is aligned.
    unsafe { given.as_ref().map(|given| Value::from_c(given)).transpose() }
}

impl ToC for ParameterType {
    fn to_c(&self, kept: &mut Kept) -> c::ParameterType {
        let (mut integers, mut numbers, mut choices) = ((0, 0), (0.0, 0.0), List::EMPTY);
        let tag = match self {
            Self::Boolean => c::BOOLEAN,
            Self::Text => c::TEXT,
            Self::Integer { min, max } => {
                integers = (*min, *max);
                c::INTEGER
            }
            Self::Integers { min, max } => {
                integers = (*min, *max);
                c::INTEGERS
            }
            Self::Number { min, max } => {
                numbers = (*min, *max);
                c::NUMBER
            }
            Self::Numbers { min, max } => {
                numbers = (*min, *max);
                c::NUMBERS
            }
            Self::Choice(words) => {
                choices = words.to_c(kept);
                c::CHOICE
            }
        };
        c::ParameterType {
            tag,
            min_integer: integers.0,
            max_integer: integers.1,
            min_number: numbers.0,
            max_number: numbers.1,
            choices,
        }
    }
}

impl FromC for ParameterType {
    unsafe fn from_c(given: &c::ParameterType) -> Result<Self> {
        let (min, max) = (given.min_integer, given.max_integer);
        let (least, most) = (given.min_number, given.max_number);
        Ok(match given.tag {
            c::BOOLEAN => Self::Boolean,
            c::INTEGER => Self::Integer { min, max },
            c::NUMBER => Self::Number { min: least, max: most },
            c::TEXT => Self::Text,
            c::INTEGERS => Self::Integers { min, max },
            c::NUMBERS => Self::Numbers { min: least, max: most },
            // SAFETY: the caller vouches for the words.
            c::CHOICE => Self::Choice(unsafe { FromC::part(&given.choices, "choices") }?),
            tag => return Err(ConvertError::new(format!("there is no type with tag {tag}"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::super::list_of;
    use super::super::value::tests::every_value;
    use super::*;
    use crate::{Example, Setting};

    fn described() -> Description {
        let types = [
            ParameterType::Boolean,
            ParameterType::Integer { min: -1, max: 9 },
            ParameterType::Number { min: 0.0, max: f64::INFINITY },
            ParameterType::Text,
            ParameterType::Choice(vec!["elu".into(), "relu".into()]),
            ParameterType::Integers { min: i64::MIN, max: i64::MAX },
            ParameterType::Integers { min: 1, max: 1 },
            ParameterType::Numbers { min: 0.5, max: 2.0 },
        ];
        let parameter = |(index, (r#type, value)): (usize, _)| Parameter {
            name: format!("parameter_{index}"),
            doc: "What it does.".into(),
            r#type,
            default: (index != 0).then_some(value),
        };
        let settings =
            vec![Setting { name: "parameter_1".into(), value: every_value()[1].clone() }];
        Description {
            name: "window".into(),
            version: "1.0.0".into(),
            summary: "Softmax attention in windows".into(),
            parameters: types.into_iter().zip(every_value()).enumerate().map(parameter).collect(),
            examples: vec![
                Example { title: "Defaults".into(), settings: vec![] },
                Example { title: "Other".into(), settings },
            ],
        }
    }

    fn message(given: &c::Description) -> String {
        // SAFETY: what these tests change is refused before it is followed.
        unsafe { Description::from_c(given) }.unwrap_err().to_string()
    }

    #[test]
    fn descriptions_round_trip() {
        // SAFETY: the description was just made and lives for ever.
        assert_eq!(unsafe { Description::from_c(leak_description(described())) }, Ok(described()));
    }

    #[test]
    fn every_kind_has_its_tag() {
        for one in Kind::ALL {
            assert_eq!(kind(kind_tag(one)), Ok(one));
        }
        assert_eq!(kind(4).unwrap_err().to_string(), "there is no kind of plugin with tag 4");
    }

    #[test]
    fn bad_parts_are_named() {
        let good = *leak_description(described());
        assert_eq!(
            message(&c::Description { summary: list_of(b"\xff"), ..good }),
            "summary: text is not UTF-8 from byte 0 on"
        );
        let parameters = List { len: isize::MAX as usize, ..good.parameters };
        assert_eq!(
            message(&c::Description { parameters, ..good }),
            "parameters: a list of 9223372036854775807 items is too long"
        );
        let examples = List { data: ptr::null(), ..good.examples };
        assert_eq!(
            message(&c::Description { examples, ..good }),
            "examples: a list of 2 items is at null"
        );
    }

    #[test]
    fn bad_parameters_are_named() {
        let whole = *leak_description(described());
        // SAFETY: the list was just made and has several items.
        let good = unsafe { *whole.parameters.data.add(1) };
        let bad_value = c::Value { tag: 77, data: c::ValueData { integer: 0 } };
        let bad_words = List { data: ptr::null(), len: 2 };
        let choice = c::ParameterType { tag: c::CHOICE, choices: bad_words, ..good.r#type };
        let numbered = c::ParameterType { tag: 7, ..good.r#type };
        for (bad, problem) in [
            (c::Parameter { r#type: numbered, ..good }, "type: there is no type with tag 7"),
            (
                c::Parameter { r#type: choice, ..good },
                "type, choices: a list of 2 items is at null",
            ),
            (
                c::Parameter { default_value: &bad_value, ..good },
                "default: there is no kind of value with tag 77",
            ),
            (
                c::Parameter { default_value: ptr::without_provenance(3), ..good },
                "default: is not aligned",
            ),
        ] {
            let parameters = list_of(std::slice::from_ref(&bad));
            let whole = c::Description { parameters, ..whole };
            assert_eq!(message(&whole), format!("parameter 0, `parameter_1`, {problem}"));
        }
    }
}
