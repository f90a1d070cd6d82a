//! A plugin's description in the form that a manifest has it in, and back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_abi::{Example, Kind, Parameter, ParameterType, Setting, Value};
use vitral_config::PluginValue;

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ManifestKind {
    /// Changes one image in a data worker.
    ImageAugmentation,
    /// Changes a batch on the device, as a tensor program.
    BatchAugmentation,
    /// A layer's attention, as a tensor program.
    Attention,
    /// Hears of what happens in a run.
    Monitor,
}

/// A parameter that users may set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestParameter {
    /// Lower-case words joined by `_`.
    pub name: String,
    /// What it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// Which values it takes.
    pub r#type: ManifestType,
    /// Its value where users do not say; without one they must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<PluginValue>,
}

/// Which values a parameter takes. Ranges include both ends; those of lists hold for each element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum ManifestType {
    /// Yes or no.
    Boolean,
    /// An integer in a range.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A number in a range.
    Number {
        /// Smallest value, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// Largest value, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// One of these words.
    Choice(Vec<String>),
    /// Any text.
    Text,
    /// A list of integers.
    Integers {
        /// Smallest element.
        min: i64,
        /// Largest element.
        max: i64,
    },
    /// A list of numbers.
    Numbers {
        /// Smallest element, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// Largest element, if there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
}

/// A documented configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestExample {
    /// What it shows.
    pub title: String,
    /// What differs from the defaults.
    #[serde(default)]
    pub settings: Vec<ManifestSetting>,
}

/// A parameter and its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestSetting {
    /// The parameter's name.
    pub name: String,
    /// Its value.
    pub value: PluginValue,
}

impl From<Kind> for ManifestKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::ImageAugmentation => Self::ImageAugmentation,
            Kind::BatchAugmentation => Self::BatchAugmentation,
            Kind::Attention => Self::Attention,
            Kind::Monitor => Self::Monitor,
        }
    }
}

impl From<ManifestKind> for Kind {
    fn from(kind: ManifestKind) -> Self {
        match kind {
            ManifestKind::ImageAugmentation => Self::ImageAugmentation,
            ManifestKind::BatchAugmentation => Self::BatchAugmentation,
            ManifestKind::Attention => Self::Attention,
            ManifestKind::Monitor => Self::Monitor,
        }
    }
}

impl From<&Parameter> for ManifestParameter {
    fn from(parameter: &Parameter) -> Self {
        Self {
            name: parameter.name.clone(),
            doc: parameter.doc.clone(),
            r#type: (&parameter.r#type).into(),
            default: parameter.default.as_ref().map(written),
        }
    }
}

impl From<&ManifestParameter> for Parameter {
    fn from(parameter: &ManifestParameter) -> Self {
        let default = parameter.default.as_ref();
        Self {
            name: parameter.name.clone(),
            doc: parameter.doc.clone(),
            r#type: (&parameter.r#type).into(),
            default: default.map(|value| read(value, Some(&parameter.r#type))),
        }
    }
}

impl From<&ParameterType> for ManifestType {
    fn from(kind: &ParameterType) -> Self {
        match kind {
            ParameterType::Boolean => Self::Boolean,
            &ParameterType::Integer { min, max } => Self::Integer { min, max },
            &ParameterType::Number { min, max } => {
                Self::Number { min: lower(min), max: upper(max) }
            }
            ParameterType::Choice(words) => Self::Choice(words.clone()),
            ParameterType::Text => Self::Text,
            &ParameterType::Integers { min, max } => Self::Integers { min, max },
            &ParameterType::Numbers { min, max } => {
                Self::Numbers { min: lower(min), max: upper(max) }
            }
        }
    }
}

impl From<&ManifestType> for ParameterType {
    fn from(kind: &ManifestType) -> Self {
        match kind {
            ManifestType::Boolean => Self::Boolean,
            &ManifestType::Integer { min, max } => Self::Integer { min, max },
            &ManifestType::Number { min, max } => Self::Number {
                min: min.unwrap_or(f64::NEG_INFINITY),
                max: max.unwrap_or(f64::INFINITY),
            },
            ManifestType::Choice(words) => Self::Choice(words.clone()),
            ManifestType::Text => Self::Text,
            &ManifestType::Integers { min, max } => Self::Integers { min, max },
            &ManifestType::Numbers { min, max } => Self::Numbers {
                min: min.unwrap_or(f64::NEG_INFINITY),
                max: max.unwrap_or(f64::INFINITY),
            },
        }
    }
}

impl From<&Example> for ManifestExample {
    fn from(example: &Example) -> Self {
        let setting = |setting: &Setting| ManifestSetting {
            name: setting.name.clone(),
            value: written(&setting.value),
        };
        Self {
            title: example.title.clone(),
            settings: example.settings.iter().map(setting).collect(),
        }
    }
}

impl ManifestExample {
    /// The example as the plugin gives it; the parameters tell which type an empty list has.
    pub(crate) fn to_example(&self, parameters: &[ManifestParameter]) -> Example {
        let setting = |setting: &ManifestSetting| {
            let parameter = parameters.iter().find(|parameter| parameter.name == setting.name);
            let value = read(&setting.value, parameter.map(|parameter| &parameter.r#type));
            Setting { name: setting.name.clone(), value }
        };
        Example { title: self.title.clone(), settings: self.settings.iter().map(setting).collect() }
    }
}

fn lower(min: f64) -> Option<f64> {
    (min != f64::NEG_INFINITY).then_some(min)
}

fn upper(max: f64) -> Option<f64> {
    (max != f64::INFINITY).then_some(max)
}

/// RON has one empty list, whatever it is a list of.
fn written(value: &Value) -> PluginValue {
    match value {
        Value::Numbers(values) if values.is_empty() => PluginValue::Integers(Vec::new()),
        Value::Boolean(value) => PluginValue::Boolean(*value),
        Value::Integer(value) => PluginValue::Integer(*value),
        Value::Number(value) => PluginValue::Number(*value),
        Value::Text(text) => PluginValue::Text(text.clone()),
        Value::Integers(values) => PluginValue::Integers(values.clone()),
        Value::Numbers(values) => PluginValue::Numbers(values.clone()),
    }
}

fn read(value: &PluginValue, kind: Option<&ManifestType>) -> Value {
    match value {
        PluginValue::Boolean(value) => Value::Boolean(*value),
        PluginValue::Integer(value) => Value::Integer(*value),
        PluginValue::Number(value) => Value::Number(*value),
        PluginValue::Text(text) => Value::Text(text.clone()),
        PluginValue::Integers(values) => match kind {
            Some(ManifestType::Numbers { .. }) if values.is_empty() => Value::Numbers(Vec::new()),
            _ => Value::Integers(values.clone()),
        },
        PluginValue::Numbers(values) => Value::Numbers(values.clone()),
    }
}
