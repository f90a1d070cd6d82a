//! A plugin's settings, checked against what it declares.

use vitral_abi::{Description, Parameter, ParameterType, Setting, Value};

/// Every parameter of a plugin with a value that it takes.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings(Vec<Setting>);

/// A setting that a plugin does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin `{plugin}`: {message}")]
pub struct SettingError {
    /// The plugin.
    pub plugin: String,
    /// The parameter.
    pub parameter: String,
    /// Whether the plugin has no parameter of that name.
    pub is_unknown: bool,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl Settings {
    /// Checks settings, and fills in defaults for what is not given.
    ///
    /// # Errors
    /// A name that the plugin does not have or that is given twice, a value of another type or out
    /// of range, a parameter without default that is not given.
    /// # Examples
    /// ```
    /// use vitral_host::{Description, Parameter, ParameterType, Setting, Settings, Value};
    ///
    /// let description = Description {
    ///     name: "blur".into(),
    ///     version: "1.0.0".into(),
    ///     summary: "Blurs images".into(),
    ///     parameters: vec![Parameter {
    ///         name: "radius".into(),
    ///         doc: "How far it reaches, in pixels.".into(),
    ///         r#type: ParameterType::Integer { min: 1, max: 64 },
    ///         default: Some(Value::Integer(2)),
    ///     }],
    ///     examples: Vec::new(),
    /// };
    /// let defaults = Settings::check(&description, &[])?;
    /// assert_eq!(defaults.as_slice()[0].value, Value::Integer(2));
    ///
    /// let wide = Setting { name: "radius".into(), value: Value::Integer(100) };
    /// let error = Settings::check(&description, &[wide]).unwrap_err();
    /// assert_eq!(error.message, "`radius` is 100, but must be an integer from 1 to 64");
    /// # Ok::<(), vitral_host::SettingError>(())
    /// ```
    pub fn check(description: &Description, given: &[Setting]) -> Result<Self, SettingError> {
        let error = |parameter: &str, message: String, help: String| SettingError {
            plugin: description.name.clone(),
            parameter: parameter.to_owned(),
            is_unknown: false,
            message,
            help,
        };
        for (index, setting) in given.iter().enumerate() {
            let name = &setting.name;
            if !description.parameters.iter().any(|parameter| parameter.name == *name) {
                let message = format!("there is no parameter `{name}`");
                let help = names(description, name);
                return Err(SettingError { is_unknown: true, ..error(name, message, help) });
            }
            if given[..index].iter().any(|other| other.name == *name) {
                return Err(error(name, format!("`{name}` is set twice"), "set it once".into()));
            }
        }
        let value = |parameter: &Parameter| {
            let name = &parameter.name;
            let found = given.iter().find(|setting| setting.name == *name);
            let value = match (found, &parameter.default) {
                (Some(setting), _) => fit(&parameter.r#type, &setting.value),
                (None, Some(default)) => fit(&parameter.r#type, default),
                (None, None) => {
                    let message = format!("`{name}` must be set: {}", parameter.r#type);
                    return Err(error(name, message, parameter.doc.clone()));
                }
            };
            let value = value.ok_or_else(|| {
                let given = found.map_or_else(String::new, |setting| setting.value.to_string());
                let message = format!("`{name}` is {given}, but must be {}", parameter.r#type);
                error(name, message, parameter.doc.clone())
            })?;
            Ok(Setting { name: name.clone(), value })
        };
        description.parameters.iter().map(value).collect::<Result<_, _>>().map(Self)
    }

    /// The settings, in the order in which the plugin declares its parameters.
    pub fn as_slice(&self) -> &[Setting] {
        &self.0
    }
}

fn names(description: &Description, wrong: &str) -> String {
    let mut names: Vec<_> = description.parameters.iter().map(|p| p.name.as_str()).collect();
    names.sort_by(|a, b| strsim::jaro_winkler(b, wrong).total_cmp(&strsim::jaro_winkler(a, wrong)));
    match names.first() {
        Some(nearest) if strsim::jaro_winkler(nearest, wrong) > 0.8 => {
            format!("did you mean `{nearest}`?")
        }
        Some(_) => format!("it has {}", names.join(", ")),
        None => "it has none".into(),
    }
}

/// The value as the type has it, if the type takes it.
pub(crate) fn fit(r#type: &ParameterType, value: &Value) -> Option<Value> {
    let within = |value: f64, min: f64, max: f64| value >= min && value <= max;
    match (r#type, value) {
        (ParameterType::Boolean, Value::Boolean(_)) | (ParameterType::Text, Value::Text(_)) => {
            Some(value.clone())
        }
        (ParameterType::Integer { min, max }, Value::Integer(number)) => {
            (min..=max).contains(&number).then(|| value.clone())
        }
        (ParameterType::Number { min, max }, Value::Integer(number)) => {
            let number = *number as f64;
            within(number, *min, *max).then_some(Value::Number(number))
        }
        (ParameterType::Number { min, max }, Value::Number(number)) => {
            within(*number, *min, *max).then(|| value.clone())
        }
        (ParameterType::Choice(words), Value::Text(word)) => {
            words.contains(word).then(|| value.clone())
        }
        (ParameterType::Integers { min, max }, Value::Integers(numbers)) => {
            numbers.iter().all(|number| (min..=max).contains(&number)).then(|| value.clone())
        }
        (ParameterType::Integers { .. }, Value::Numbers(numbers)) if numbers.is_empty() => {
            Some(Value::Integers(Vec::new()))
        }
        (ParameterType::Numbers { min, max }, Value::Integers(numbers)) => {
            let numbers: Vec<_> = numbers.iter().map(|&number| number as f64).collect();
            let all = numbers.iter().all(|&number| within(number, *min, *max));
            all.then_some(Value::Numbers(numbers))
        }
        (ParameterType::Numbers { min, max }, Value::Numbers(numbers)) => {
            numbers.iter().all(|&number| within(number, *min, *max)).then(|| value.clone())
        }
        _ => None,
    }
}
