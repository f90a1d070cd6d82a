//! Parameters: what the plugin declares that it takes, it takes, or refuses in words.

use vitral_host::{Description, Parameter, ParameterType, Plugin, Setting, Settings, Value};

use super::{
    cases::{Input, configurations, inputs},
    finding::{Checked, all},
    run::run,
};

/// Tries defaults, examples and the ends of each parameter's range on an ordinary input. Defaults
/// and examples must work. At the end of a range the plugin may refuse, but not break down.
pub(super) fn check(plugin: &Plugin) -> Checked {
    let description = plugin.description();
    let inputs = inputs(plugin.kind());
    // Every kind has inputs, the first an ordinary one.
    let input = &inputs[0];
    let mut problems = Vec::new();
    let configurations = configurations(description);
    for configuration in &configurations {
        if let Err(failure) = run(plugin, &configuration.settings, input) {
            problems.push(format!("{}: {failure}", configuration.title));
        }
    }
    let base = base(description);
    let mut tried = 0;
    for parameter in &description.parameters {
        for value in ends(&parameter.r#type) {
            tried += 1;
            problems.extend(end(plugin, &base, parameter, value, input));
        }
    }
    all(problems)?;
    let words = "values at the ends of ranges";
    Ok(format!("{} configurations, {tried} {words}", configurations.len()))
}

/// What is wrong with a plugin at one end of a parameter's range.
fn end(
    plugin: &Plugin,
    base: &[Setting],
    parameter: &Parameter,
    value: Value,
    input: &Input,
) -> Option<String> {
    let place = format!("with `{}` at {value}", parameter.name);
    let mut given = base.to_vec();
    given.retain(|setting| setting.name != parameter.name);
    given.push(Setting { name: parameter.name.clone(), value });
    if let Err(error) = Settings::check(plugin.description(), &given) {
        return Some(format!("{place}: {error}"));
    }
    match run(plugin, &given, input) {
        Err(failure) if !failure.is_refusal() => Some(format!(
            "{place}: {failure}\n  (narrow the range, or refuse the value with an error)"
        )),
        _ => None,
    }
}

/// Values for parameters that must be set: the first example's, or else any.
fn base(description: &Description) -> Vec<Setting> {
    let required = description.parameters.iter().filter(|it| it.default.is_none());
    let setting = |parameter: &Parameter| {
        let in_example = description.examples.iter().flat_map(|example| &example.settings);
        let found = in_example.into_iter().find(|setting| setting.name == parameter.name);
        let any = || ends(&parameter.r#type).into_iter().next();
        let value = found.map(|setting| setting.value.clone()).or_else(any)?;
        Some(Setting { name: parameter.name.clone(), value })
    };
    required.filter_map(setting).collect()
}

/// The values at the ends of what a parameter takes; every word of a choice.
fn ends(r#type: &ParameterType) -> Vec<Value> {
    match r#type {
        ParameterType::Boolean => vec![Value::Boolean(false), Value::Boolean(true)],
        ParameterType::Integer { min, max } => vec![Value::Integer(*min), Value::Integer(*max)],
        ParameterType::Number { min, max } => vec![Value::Number(*min), Value::Number(*max)],
        ParameterType::Choice(words) => words.iter().cloned().map(Value::Text).collect(),
        ParameterType::Text => vec![Value::Text("text".into()), Value::Text(String::new())],
        ParameterType::Integers { min, max } => {
            [vec![*min], vec![*max], vec![], vec![*min, *max]].map(Value::Integers).into()
        }
        ParameterType::Numbers { min, max } => {
            [vec![*min], vec![*max], vec![], vec![*min, *max]].map(Value::Numbers).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use vitral_host::Example;

    use super::*;

    #[test]
    fn ends_are_values_that_settings_take() {
        for r#type in [
            ParameterType::Boolean,
            ParameterType::Integer { min: -1, max: i64::MAX },
            ParameterType::Number { min: f64::NEG_INFINITY, max: 0.5 },
            ParameterType::Choice(vec!["elu".into(), "relu".into()]),
            ParameterType::Text,
            ParameterType::Integers { min: 0, max: 3 },
            ParameterType::Numbers { min: 0.0, max: 1.0 },
        ] {
            let parameter =
                Parameter { name: "x".into(), doc: String::new(), r#type, default: None };
            let ends = ends(&parameter.r#type);
            let description = Description {
                name: "p".into(),
                version: "1.0.0".into(),
                summary: String::new(),
                parameters: vec![parameter],
                examples: vec![],
            };
            assert!(ends.len() >= 2);
            assert_eq!(base(&description), [Setting { name: "x".into(), value: ends[0].clone() }]);
            for value in ends {
                Settings::check(&description, &[Setting { name: "x".into(), value }]).unwrap();
            }
        }
    }

    #[test]
    fn what_must_be_set_is_taken_from_the_examples() {
        let parameter = Parameter {
            name: "path".into(),
            doc: String::new(),
            r#type: ParameterType::Text,
            default: None,
        };
        let description = Description {
            name: "p".into(),
            version: "1.0.0".into(),
            summary: String::new(),
            parameters: vec![parameter],
            examples: vec![Example::new("a"), Example::new("b").set("path", "/x")],
        };
        assert_eq!(base(&description), [Setting::new("path", "/x")]);
    }
}
