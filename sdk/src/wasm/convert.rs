//! Between plain types and those of the bindings: descriptions and tensors.

use vitral_abi::{
    Attribute, AttributeValue, Description, Example, Initializer, Layer, Parameter, ParameterType,
    Setting, Value,
};

use super::bindings::exports::vitral::plugin::{attentions, description as wit};
use super::bindings::vitral::plugin::tensors;

/// Enums that have the same variants on both sides, each with one value.
macro_rules! same_values {
    ($($from:ty => $to:ty;)*) => {$(
        impl From<$from> for $to {
            fn from(value: $from) -> Self {
                type Given = $from;

                match value {
                    Given::Boolean(value) => Self::Boolean(value),
                    Given::Integer(value) => Self::Integer(value),
                    Given::Number(value) => Self::Number(value),
                    Given::Text(text) => Self::Text(text),
                    Given::Integers(values) => Self::Integers(values),
                    Given::Numbers(values) => Self::Numbers(values),
                }
            }
        }
    )*};
}

same_values! {
    Value => wit::Value;
    wit::Value => Value;
    AttributeValue => tensors::AttributeValue;
}

impl From<Attribute> for tensors::Attribute {
    fn from(attribute: Attribute) -> Self {
        Self { name: attribute.name, value: attribute.value.into() }
    }
}

impl From<Initializer> for tensors::Initializer {
    fn from(initializer: Initializer) -> Self {
        match initializer {
            Initializer::Constant(value) => Self::Constant(value),
            Initializer::Normal(deviation) => Self::Normal(deviation),
            Initializer::TruncatedNormal(deviation) => Self::TruncatedNormal(deviation),
            Initializer::Uniform(limit) => Self::Uniform(limit),
            Initializer::XavierUniform { inputs, outputs } => {
                Self::XavierUniform(tensors::Fans { inputs, outputs })
            }
        }
    }
}

impl From<wit::Setting> for Setting {
    fn from(setting: wit::Setting) -> Self {
        Self { name: setting.name, value: setting.value.into() }
    }
}

impl From<Setting> for wit::Setting {
    fn from(setting: Setting) -> Self {
        Self { name: setting.name, value: setting.value.into() }
    }
}

impl From<ParameterType> for wit::ParameterType {
    fn from(r#type: ParameterType) -> Self {
        match r#type {
            ParameterType::Boolean => Self::Boolean,
            ParameterType::Integer { min, max } => Self::Integer(wit::IntegerRange { min, max }),
            ParameterType::Number { min, max } => Self::Number(wit::NumberRange { min, max }),
            ParameterType::Choice(words) => Self::Choice(words),
            ParameterType::Text => Self::Text,
            ParameterType::Integers { min, max } => Self::Integers(wit::IntegerRange { min, max }),
            ParameterType::Numbers { min, max } => Self::Numbers(wit::NumberRange { min, max }),
        }
    }
}

impl From<Parameter> for wit::Parameter {
    fn from(parameter: Parameter) -> Self {
        Self {
            name: parameter.name,
            doc: parameter.doc,
            type_: parameter.r#type.into(),
            default: parameter.default.map(wit::Value::from),
        }
    }
}

impl From<Example> for wit::Example {
    fn from(example: Example) -> Self {
        let settings = example.settings.into_iter().map(wit::Setting::from).collect();
        Self { title: example.title, settings }
    }
}

impl From<Description> for wit::Description {
    fn from(description: Description) -> Self {
        Self {
            name: description.name,
            version: description.version,
            summary: description.summary,
            parameters: description.parameters.into_iter().map(wit::Parameter::from).collect(),
            examples: description.examples.into_iter().map(wit::Example::from).collect(),
        }
    }
}

impl From<attentions::Layer> for Layer {
    fn from(layer: attentions::Layer) -> Self {
        Self {
            index: layer.index,
            depth: layer.depth,
            heads: layer.heads,
            head_width: layer.head_width,
            prefix_tokens: layer.prefix_tokens,
            grid_height: layer.grid_height,
            grid_width: layer.grid_width,
            dropout: layer.dropout,
        }
    }
}
