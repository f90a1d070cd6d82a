//! What a plugin says of itself.

use super::list::{each, list_of, part, text_of};
use super::value::{CSettings, settings, value, value_to_c};
use super::{ConvertError, Result};
use crate::c::{self, List, Text};
use crate::{Description, Example, Kind, Parameter, ParameterType};

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

/// A plugin's description.
///
/// # Errors
/// If some of it makes no sense; the message says which part.
///
/// # Safety
/// As [`items`](super::items) for each list and text in it; a parameter's default is null or points
/// to a value.
pub unsafe fn description(given: &c::Description) -> Result<Description> {
    // SAFETY: the caller vouches for everything in it.
    unsafe {
        Ok(Description {
            name: part(given.name, "name")?,
            version: part(given.version, "version")?,
            summary: part(given.summary, "summary")?,
            parameters: each(given.parameters, "parameter", |given| parameter(given))?,
            examples: each(given.examples, "example", |given| example(given))?,
        })
    }
}

unsafe fn parameter(given: &c::Parameter) -> Result<Parameter> {
    // SAFETY: the caller vouches for it.
    let name = unsafe { part(given.name, "name") }?;
    // SAFETY: the caller vouches for it.
    unsafe { rest_of_parameter(given, &name) }.map_err(|error| error.at(format!("`{name}`")))
}

unsafe fn rest_of_parameter(given: &c::Parameter, name: &str) -> Result<Parameter> {
    let default = given.default_value;
    if !default.is_aligned() {
        return Err(ConvertError::new("is not aligned").at("default"));
    }
    // SAFETY: the caller vouches for each part; a default that is not null is aligned.
    unsafe {
        let default = default.as_ref().map(|given| value(given)).transpose();
        Ok(Parameter {
            name: name.to_owned(),
            doc: part(given.doc, "documentation")?,
            r#type: parameter_type(&given.r#type).map_err(|error| error.at("type"))?,
            default: default.map_err(|error| error.at("default"))?,
        })
    }
}

unsafe fn parameter_type(given: &c::ParameterType) -> Result<ParameterType> {
    let (min, max) = (given.min_integer, given.max_integer);
    let (least, most) = (given.min_number, given.max_number);
    Ok(match given.tag {
        c::BOOLEAN => ParameterType::Boolean,
        c::INTEGER => ParameterType::Integer { min, max },
        c::NUMBER => ParameterType::Number { min: least, max: most },
        c::TEXT => ParameterType::Text,
        c::INTEGERS => ParameterType::Integers { min, max },
        c::NUMBERS => ParameterType::Numbers { min: least, max: most },
        c::CHOICE => {
            // SAFETY: the caller vouches for the words.
            let words = unsafe { each(given.choices, "choice", |&word| part(word, "word")) };
            ParameterType::Choice(words?)
        }
        tag => {
            return Err(ConvertError::new(format!("there is no type with tag {tag}")));
        }
    })
}

unsafe fn example(given: &c::Example) -> Result<Example> {
    // SAFETY: the caller vouches for title and settings.
    unsafe {
        Ok(Example { title: part(given.title, "title")?, settings: settings(given.settings)? })
    }
}

/// The C form of a description, which is never freed: a plugin's table makes it once.
pub fn leak_description(description: Description) -> &'static c::Description {
    let kept: &'static Description = Box::leak(Box::new(description));
    Box::leak(Box::new(c::Description {
        name: text_of(&kept.name),
        version: text_of(&kept.version),
        summary: text_of(&kept.summary),
        parameters: leak(kept.parameters.iter().map(leak_parameter).collect()),
        examples: leak(kept.examples.iter().map(leak_example).collect()),
    }))
}

fn leak<T>(items: Vec<T>) -> List<T> {
    list_of(Vec::leak(items))
}

fn leak_parameter(kept: &'static Parameter) -> c::Parameter {
    let default = kept.default.as_ref();
    c::Parameter {
        name: text_of(&kept.name),
        doc: text_of(&kept.doc),
        r#type: leak_type(&kept.r#type),
        default_value: default
            .map_or(std::ptr::null(), |value| Box::leak(Box::new(value_to_c(value)))),
    }
}

fn leak_type(kept: &'static ParameterType) -> c::ParameterType {
    let (mut integers, mut numbers, mut choices) = ((0, 0), (0.0, 0.0), List::<Text>::EMPTY);
    let tag = match kept {
        ParameterType::Boolean => c::BOOLEAN,
        ParameterType::Text => c::TEXT,
        ParameterType::Integer { min, max } => {
            integers = (*min, *max);
            c::INTEGER
        }
        ParameterType::Integers { min, max } => {
            integers = (*min, *max);
            c::INTEGERS
        }
        ParameterType::Number { min, max } => {
            numbers = (*min, *max);
            c::NUMBER
        }
        ParameterType::Numbers { min, max } => {
            numbers = (*min, *max);
            c::NUMBERS
        }
        ParameterType::Choice(words) => {
            choices = leak(words.iter().map(|word| text_of(word)).collect());
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

fn leak_example(kept: &'static Example) -> c::Example {
    let settings = CSettings::new(&kept.settings).into_items();
    c::Example { title: text_of(&kept.title), settings: leak(settings) }
}

#[cfg(test)]
mod tests {
    use super::super::value::tests::every_value;
    use super::*;
    use crate::Setting;
    use std::ptr;

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
        unsafe { description(given) }.unwrap_err().to_string()
    }

    #[test]
    fn descriptions_round_trip() {
        // SAFETY: the description was just made and lives for ever.
        assert_eq!(unsafe { description(leak_description(described())) }, Ok(described()));
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
