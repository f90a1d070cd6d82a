//! Checks of what a plugin says of itself.

use vitral_abi::{Description, Parameter, ParameterType, Value};

use crate::Settings;

/// The most bytes of a line, of any other text, and the most items of any one list.
const MAX_LINE: usize = 512;
const MAX_TEXT: usize = 16 << 10;
const MAX_ITEMS: usize = 256;

/// Checks a description.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check(description: &Description) -> Result<(), String> {
    words(&description.name, '-').map_err(|problem| format!("its name {problem}"))?;
    line("its version", &description.version)?;
    semver::Version::parse(&description.version).map_err(|error| {
        format!("its version `{}` is not a version: {error}", description.version)
    })?;
    line("its summary", &description.summary)?;
    let parameters = &description.parameters;
    if parameters.len() > MAX_ITEMS || description.examples.len() > MAX_ITEMS {
        return Err(format!("it has more than {MAX_ITEMS} parameters or examples"));
    }
    for (index, parameter) in parameters.iter().enumerate() {
        let name = &parameter.name;
        words(name, '_').map_err(|problem| format!("the name of a parameter {problem}"))?;
        if parameters[..index].iter().any(|other| other.name == *name) {
            return Err(format!("it has two parameters `{name}`"));
        }
        if parameter.doc.len() > MAX_TEXT {
            return Err(format!("the text of parameter `{name}` is too long"));
        }
        range(&parameter.r#type).map_err(|problem| format!("parameter `{name}`: {problem}"))?;
        if let ParameterType::Choice(words) = &parameter.r#type {
            words.iter().try_for_each(|word| line(&format!("a choice of `{name}`"), word))?;
        }
        let default = parameter.default.as_ref();
        if default.is_some_and(|default| size(default) > MAX_TEXT) {
            return Err(format!("the default of `{name}` is too long"));
        }
        if let Some(default) = default
            && crate::settings::fit(&parameter.r#type, default).is_none()
        {
            let r#type = &parameter.r#type;
            return Err(format!("the default of `{name}` is {default}, but must be {type}"));
        }
    }
    for example in &description.examples {
        line("the title of an example", &example.title)?;
        let settings = &example.settings;
        if settings.len() > MAX_ITEMS || settings.iter().any(|s| size(&s.value) > MAX_TEXT) {
            return Err(format!("its example `{}` is too long", example.title));
        }
        // Required parameters need not be in every example.
        let is_used = |parameter: &&Parameter| {
            parameter.default.is_some() || settings.iter().any(|s| s.name == parameter.name)
        };
        let used = Description {
            name: description.name.clone(),
            version: String::new(),
            summary: String::new(),
            parameters: parameters.iter().filter(is_used).cloned().collect(),
            examples: Vec::new(),
        };
        Settings::check(&used, settings)
            .map_err(|error| format!("its example `{}`: {}", example.title, error.message))?;
    }
    Ok(())
}

/// Checks a text of one line.
fn line(what: &str, text: &str) -> Result<(), String> {
    if text.len() > MAX_LINE || text.contains(char::is_control) {
        return Err(format!("{what} must be one line of at most {MAX_LINE} bytes"));
    }
    Ok(())
}

/// The bytes of a value.
fn size(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Integers(values) => size_of_val(values.as_slice()),
        Value::Numbers(values) => size_of_val(values.as_slice()),
        Value::Boolean(_) | Value::Integer(_) | Value::Number(_) => 0,
    }
}

fn words(name: &str, joint: char) -> Result<(), String> {
    let is_word = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    if name.len() <= 64 && name.split(joint).all(is_word) {
        return Ok(());
    }
    let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    Err(format!("`{shown}` must be lower-case words joined by `{joint}`"))
}

fn range(r#type: &ParameterType) -> Result<(), String> {
    let fine = match r#type {
        ParameterType::Integer { min, max } | ParameterType::Integers { min, max } => min <= max,
        ParameterType::Number { min, max } | ParameterType::Numbers { min, max } => min <= max,
        ParameterType::Choice(words) => !words.is_empty() && words.len() <= MAX_ITEMS,
        ParameterType::Boolean | ParameterType::Text => true,
    };
    if fine { Ok(()) } else { Err(format!("{type} cannot be set")) }
}
