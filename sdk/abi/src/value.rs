//! Values of parameters and of ops' attributes.

use std::fmt;

macro_rules! value {
    ($($(#[doc = $doc:literal])* $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident;)*) => {
        /// The value of a parameter or of an op's attribute.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Value {
            $($(#[doc = $doc])* $Case($Type),)*
        }
    };
}

contract_values!(value);

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integers(values) => write!(f, "{values:?}"),
            Self::Numbers(values) => write!(f, "{values:?}"),
        }
    }
}
