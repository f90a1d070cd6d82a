//! Between plain types and those that are made of the WIT, by `wit-bindgen` for the SDK and by wasmtime
//! for the host. Both make the same of it, so that one text does for both:
//! [`wit_conversions!`](crate::wit_conversions), where the modules of the interfaces are in scope.

/// A type that goes to the bindings, as `W`.
pub trait ToWit<W> {
    /// A copy.
    fn to_wit(&self) -> W;
}

/// A type that comes from the bindings, as `W`.
pub trait FromWit<W>: Sized {
    /// The same in plain form.
    fn from_wit(given: W) -> Self;
}

macro_rules! same {
    ($($Type:ty),*) => {$(
        impl ToWit<Self> for $Type {
            fn to_wit(&self) -> Self {
                self.clone()
            }
        }

        impl FromWit<Self> for $Type {
            fn from_wit(given: Self) -> Self {
                given
            }
        }
    )*};
}

same!(bool, u32, u64, i64, f64, String);

impl<W, T: ToWit<W>> ToWit<Option<W>> for Option<T> {
    fn to_wit(&self) -> Option<W> {
        self.as_ref().map(ToWit::to_wit)
    }
}

impl<W, T: FromWit<W>> FromWit<Option<W>> for Option<T> {
    fn from_wit(given: Option<W>) -> Self {
        given.map(T::from_wit)
    }
}

impl<W, T: ToWit<W>> ToWit<Vec<W>> for [T] {
    fn to_wit(&self) -> Vec<W> {
        self.iter().map(ToWit::to_wit).collect()
    }
}

impl<W, T: ToWit<W>> ToWit<Vec<W>> for Vec<T> {
    fn to_wit(&self) -> Vec<W> {
        self.as_slice().to_wit()
    }
}

impl<W, T: FromWit<W>> FromWit<Vec<W>> for Vec<T> {
    fn from_wit(given: Vec<W>) -> Self {
        given.into_iter().map(T::from_wit).collect()
    }
}

impl<const N: usize> ToWit<Vec<u64>> for [u64; N] {
    fn to_wit(&self) -> Vec<u64> {
        self.to_vec()
    }
}

/// Counts that are missing are 0.
impl<const N: usize> FromWit<Vec<u64>> for [u64; N] {
    fn from_wit(given: Vec<u64>) -> Self {
        std::array::from_fn(|index| given.get(index).copied().unwrap_or(0))
    }
}

/// Makes both directions for each type of the contract. The modules that the bindings have for the WIT's
/// interfaces must be in scope.
#[macro_export]
macro_rules! wit_conversions {
    () => {
        use $crate::wit::{FromWit, ToWit};
        use $crate::{wit_events, wit_record, wit_values};

        $crate::contract_records!(wit_record);
        $crate::contract_values!(wit_values);
        $crate::contract_events!(wit_events);
        $crate::wit_irregular!();
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! wit_record {
    ($interface:ident: $(#[$($attribute:tt)*])*
        record $Name:ident $(, irregular)? { $($(#[$($about:tt)*])* $field:ident: $Type:ty,)* }
    ) => {
        $crate::wit_record! { $interface: record $Name as $Name { $($field: $Type,)* } }
    };
    ($interface:ident: $(#[$($attribute:tt)*])*
        record $Name:ident as $Wit:ident { $($(#[$($about:tt)*])* $field:ident: $Type:ty,)* }
    ) => {
        impl ToWit<$interface::$Wit> for $crate::$Name {
            fn to_wit(&self) -> $interface::$Wit {
                $interface::$Wit { $($field: self.$field.to_wit()),* }
            }
        }

        impl FromWit<$interface::$Wit> for $crate::$Name {
            fn from_wit(given: $interface::$Wit) -> Self {
                Self { $($field: FromWit::from_wit(given.$field)),* }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! wit_values {
    ($($(#[$($about:tt)*])* $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident;)*) => {
        $crate::wit_values!(description Value: $($Case)*);
        $crate::wit_values!(tensors AttributeValue: $($Case)*);
    };
    ($interface:ident $Wit:ident: $($Case:ident)*) => {
        impl ToWit<$interface::$Wit> for $crate::Value {
            fn to_wit(&self) -> $interface::$Wit {
                match self {
                    $(Self::$Case(value) => $interface::$Wit::$Case(value.to_wit()),)*
                }
            }
        }

        impl FromWit<$interface::$Wit> for $crate::Value {
            fn from_wit(given: $interface::$Wit) -> Self {
                match given {
                    $($interface::$Wit::$Case(value) => Self::$Case(FromWit::from_wit(value)),)*
                }
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! wit_events {
    (first {$(
        $(#[$($about:tt)*])* $Case:ident($Type:ty): $TAG:ident = $tag:literal, $field:ident;
    )*} later $later:tt) => {
        impl FromWit<monitors::Event> for $crate::Event {
            fn from_wit(given: monitors::Event) -> Self {
                match given {
                    $(monitors::Event::$Case(what) => Self::$Case(FromWit::from_wit(what)),)*
                }
            }
        }
    };
}

/// What has another shape in WIT.
#[doc(hidden)]
#[macro_export]
macro_rules! wit_irregular {
    () => {
        impl ToWit<description::Parameter> for $crate::Parameter {
            fn to_wit(&self) -> description::Parameter {
                description::Parameter {
                    name: self.name.clone(),
                    doc: self.doc.clone(),
                    type_: self.r#type.to_wit(),
                    default: self.default.to_wit(),
                }
            }
        }

        impl FromWit<description::Parameter> for $crate::Parameter {
            fn from_wit(given: description::Parameter) -> Self {
                Self {
                    name: given.name,
                    doc: given.doc,
                    r#type: FromWit::from_wit(given.type_),
                    default: FromWit::from_wit(given.default),
                }
            }
        }

        impl ToWit<description::ParameterType> for $crate::ParameterType {
            fn to_wit(&self) -> description::ParameterType {
                use description::{IntegerRange, NumberRange, ParameterType as Wit};
                match *self {
                    Self::Boolean => Wit::Boolean,
                    Self::Integer { min, max } => Wit::Integer(IntegerRange { min, max }),
                    Self::Number { min, max } => Wit::Number(NumberRange { min, max }),
                    Self::Choice(ref words) => Wit::Choice(words.clone()),
                    Self::Text => Wit::Text,
                    Self::Integers { min, max } => Wit::Integers(IntegerRange { min, max }),
                    Self::Numbers { min, max } => Wit::Numbers(NumberRange { min, max }),
                }
            }
        }

        impl FromWit<description::ParameterType> for $crate::ParameterType {
            fn from_wit(given: description::ParameterType) -> Self {
                use description::{IntegerRange, NumberRange, ParameterType as Wit};
                match given {
                    Wit::Boolean => Self::Boolean,
                    Wit::Integer(IntegerRange { min, max }) => Self::Integer { min, max },
                    Wit::Number(NumberRange { min, max }) => Self::Number { min, max },
                    Wit::Choice(words) => Self::Choice(words),
                    Wit::Text => Self::Text,
                    Wit::Integers(IntegerRange { min, max }) => Self::Integers { min, max },
                    Wit::Numbers(NumberRange { min, max }) => Self::Numbers { min, max },
                }
            }
        }

        impl ToWit<tensors::Attribute> for $crate::Attribute {
            fn to_wit(&self) -> tensors::Attribute {
                tensors::Attribute { name: self.name.clone(), value: self.value.to_wit() }
            }
        }

        impl FromWit<tensors::Attribute> for $crate::Attribute {
            fn from_wit(given: tensors::Attribute) -> Self {
                Self { name: given.name, value: FromWit::from_wit(given.value) }
            }
        }

        impl ToWit<tensors::Initializer> for $crate::Initializer {
            fn to_wit(&self) -> tensors::Initializer {
                use tensors::{Fans, Initializer as Wit};
                match *self {
                    Self::Constant(value) => Wit::Constant(value),
                    Self::Normal(deviation) => Wit::Normal(deviation),
                    Self::TruncatedNormal(deviation) => Wit::TruncatedNormal(deviation),
                    Self::Uniform(limit) => Wit::Uniform(limit),
                    Self::XavierUniform { inputs, outputs } => {
                        Wit::XavierUniform(Fans { inputs, outputs })
                    }
                }
            }
        }

        impl FromWit<tensors::Initializer> for $crate::Initializer {
            fn from_wit(given: tensors::Initializer) -> Self {
                use tensors::{Fans, Initializer as Wit};
                match given {
                    Wit::Constant(value) => Self::Constant(value),
                    Wit::Normal(deviation) => Self::Normal(deviation),
                    Wit::TruncatedNormal(deviation) => Self::TruncatedNormal(deviation),
                    Wit::Uniform(limit) => Self::Uniform(limit),
                    Wit::XavierUniform(Fans { inputs, outputs }) => {
                        Self::XavierUniform { inputs, outputs }
                    }
                }
            }
        }

        impl ToWit<logging::Level> for $crate::LogLevel {
            fn to_wit(&self) -> logging::Level {
                match self {
                    Self::Debug => logging::Level::Debug,
                    Self::Info => logging::Level::Info,
                    Self::Warn => logging::Level::Warn,
                    Self::Error => logging::Level::Error,
                }
            }
        }

        impl FromWit<logging::Level> for $crate::LogLevel {
            fn from_wit(given: logging::Level) -> Self {
                match given {
                    logging::Level::Debug => Self::Debug,
                    logging::Level::Info => Self::Info,
                    logging::Level::Warn => Self::Warn,
                    logging::Level::Error => Self::Error,
                }
            }
        }

        impl ToWit<monitors::Action> for $crate::Action {
            fn to_wit(&self) -> monitors::Action {
                use monitors::{Action as Wit, Metric};
                match self {
                    Self::Metric { name, value } => {
                        Wit::Metric(Metric { name: name.clone(), value: *value })
                    }
                    Self::Warn(message) => Wit::Warn(message.clone()),
                    Self::ScaleLearningRate(change) => Wit::ScaleLearningRate(change.to_wit()),
                    Self::Save(reason) => Wit::Save(reason.clone()),
                    Self::RollBack(change) => Wit::RollBack(change.to_wit()),
                    Self::Stop(reason) => Wit::Stop(reason.clone()),
                    // The plain type is of the same version of the contract.
                    _ => unreachable!("an action that this version of the contract does not have"),
                }
            }
        }

        impl FromWit<monitors::Action> for $crate::Action {
            fn from_wit(given: monitors::Action) -> Self {
                use monitors::{Action as Wit, Metric};
                match given {
                    Wit::Metric(Metric { name, value }) => Self::Metric { name, value },
                    Wit::Warn(message) => Self::Warn(message),
                    Wit::ScaleLearningRate(change) => {
                        Self::ScaleLearningRate(FromWit::from_wit(change))
                    }
                    Wit::Save(reason) => Self::Save(reason),
                    Wit::RollBack(change) => Self::RollBack(FromWit::from_wit(change)),
                    Wit::Stop(reason) => Self::Stop(reason),
                }
            }
        }
    };
}
