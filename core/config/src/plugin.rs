//! How an experiment names a plugin and sets its parameters. What the parameters are is the
//! plugin's to say; here they only have the types that a plugin's parameters can have.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use semver::VersionReq;
use serde::{Deserialize, Serialize};

/// A plugin by name, with its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginUse {
    /// The plugin's name, as in the experiment's `plugins`, or of one that is installed or compiled
    /// in.
    pub name: String,
    /// Accepted versions, as in `^1.2`; any if left out.
    #[serde(default)]
    #[schemars(with = "String")]
    pub version: VersionReq,
    /// The plugin's parameters by name; those left out keep their defaults.
    #[serde(default)]
    pub settings: PluginSettings,
    /// What happens if the plugin fails during the run.
    #[serde(default)]
    pub on_error: OnPluginError,
}

/// A plugin's parameters by name.
pub type PluginSettings = BTreeMap<String, PluginValue>;

/// The value of a plugin's parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PluginValue {
    /// Yes or no.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A number.
    Number(f64),
    /// Text, or a word of a choice.
    Text(String),
    /// A list of integers.
    Integers(Vec<i64>),
    /// A list of numbers.
    Numbers(Vec<f64>),
}

/// What happens if a plugin fails while a run goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnPluginError {
    /// The run stops with an error that names the plugin, the call and its input.
    #[default]
    Stop,
    /// The run continues without the plugin, and says so. When that happens depends on the timing
    /// of the workers, so such a run cannot be repeated exactly.
    Disable,
    /// The sample is left out of its batch and reported; the plugin stays in use.
    Skip,
}

impl PluginUse {
    /// A plugin of any version with its default parameters.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: VersionReq::STAR,
            settings: PluginSettings::new(),
            on_error: OnPluginError::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Document;

    fn read(text: &str) -> Result<PluginUse, crate::ConfigError> {
        Document::new("test.ron", text).parse()
    }

    #[test]
    fn settings_keep_their_types() {
        let text = r#"(name: "x", version: "^1.2", on_error: Skip, settings: {
            "a": true, "b": 7, "c": 0.5, "d": "elu", "e": [1, 2], "f": [0.5, 1],
        })"#;
        let plugin = read(text).unwrap();
        let values: Vec<_> = plugin.settings.values().cloned().collect();
        assert_eq!(
            values,
            [
                PluginValue::Boolean(true),
                PluginValue::Integer(7),
                PluginValue::Number(0.5),
                PluginValue::Text("elu".into()),
                PluginValue::Integers(vec![1, 2]),
                PluginValue::Numbers(vec![0.5, 1.0]),
            ]
        );
        assert_eq!(read(&crate::to_ron(&plugin).unwrap()).unwrap(), plugin);
    }

    #[test]
    fn only_the_name_is_required() {
        assert_eq!(read(r#"(name: "x")"#).unwrap(), PluginUse::new("x"));
    }

    #[test]
    fn mistakes_are_underlined() {
        for (text, message) in [
            (r#"(name: "x", setings: {})"#, "setings"),
            (r#"(name: "x", version: "one")"#, "version"),
            (r#"(name: "x", settings: {"a": (1, "b")})"#, "a"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.to_string().contains(message), "{text}: {error}");
        }
    }
}
