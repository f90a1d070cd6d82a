//! Checks of what a plugin says of itself.

use vitral_abi::{Description, ParameterType};

use crate::Settings;

/// The most bytes of any one text, and the most items of any one list.
const MAX_TEXT: usize = 16 << 10;
const MAX_ITEMS: usize = 256;

/// Checks a description.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn check(description: &Description) -> Result<(), String> {
    words(&description.name, '-').map_err(|problem| format!("its name {problem}"))?;
    semver::Version::parse(&description.version)
        .map_err(|error| format!("its version `{}` is none: {error}", description.version))?;
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
        let default = parameter.default.as_ref();
        if let Some(default) = default
            && crate::settings::fit(&parameter.r#type, default).is_none()
        {
            let r#type = &parameter.r#type;
            return Err(format!("the default of `{name}` is {default}, but must be {type}"));
        }
    }
    for example in &description.examples {
        let mut settings = example.settings.clone();
        // Required parameters need not be in every example.
        let missing = parameters.iter().filter(|p| p.default.is_none());
        let missing: Vec<_> =
            missing.filter(|p| !settings.iter().any(|s| s.name == p.name)).cloned().collect();
        let rest = Description {
            parameters: parameters.iter().filter(|p| !missing.contains(p)).cloned().collect(),
            ..description.clone()
        };
        settings.truncate(MAX_ITEMS);
        Settings::check(&rest, &settings)
            .map_err(|error| format!("its example `{}`: {}", example.title, error.message))?;
    }
    Ok(())
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
    if fine { Ok(()) } else { Err(format!("{type} is nothing that can be set")) }
}
