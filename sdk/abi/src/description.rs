//! What a plugin says of itself, and what users set.

use std::fmt;

use crate::value::Value;

/// What a plugin does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Changes one image in a data worker.
    ImageAugmentation,
    /// Changes a batch on the device, as a tensor program.
    BatchAugmentation,
    /// A layer's attention, as a tensor program.
    Attention,
    /// Hears of what happens in a run.
    Monitor,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] =
        [Self::ImageAugmentation, Self::BatchAugmentation, Self::Attention, Self::Monitor];

    /// Its name in manifests, commands and WIT worlds.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImageAugmentation => "image-augmentation",
            Self::BatchAugmentation => "batch-augmentation",
            Self::Attention => "attention",
            Self::Monitor => "monitor",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A parameter that users may set.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Lower-case words joined by `_`.
    pub name: String,
    /// What it does, in a sentence or two.
    pub doc: String,
    /// Which values it takes.
    pub r#type: ParameterType,
    /// Its value where users do not say; without one they must.
    pub default: Option<Value>,
}

/// Which values a parameter takes. Ranges include both ends; those of lists hold for each element.
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterType {
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
        /// Smallest value.
        min: f64,
        /// Largest value.
        max: f64,
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
        /// Smallest element.
        min: f64,
        /// Largest element.
        max: f64,
    },
}

impl fmt::Display for ParameterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("true or false"),
            Self::Integer { min, max } => write!(f, "an integer from {min} to {max}"),
            Self::Number { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Choice(words) => write!(f, "one of {}", words.join(", ")),
            Self::Text => f.write_str("text"),
            Self::Integers { min, max } => write!(f, "integers from {min} to {max}"),
            Self::Numbers { min, max } => write!(f, "numbers from {min} to {max}"),
        }
    }
}
