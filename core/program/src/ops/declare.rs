//! How an op is declared: the `op!` macro writes down what is said about it, [`Rule`] what it does.

use super::call::Call;
use crate::array::Array;
use crate::attribute::{Attribute, AttributeKind, Attributes};
use crate::misfit::Misfit;
use crate::types::TensorType;

/// What is known about an op without an instance of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpInfo {
    /// Its name in files and text, WebNN's where WebNN has the op.
    pub name: &'static str,
    /// What goes in, in order.
    pub operands: &'static [OperandInfo],
    /// Its attributes.
    pub attributes: &'static [AttributeInfo],
    /// The version of the op set that it came with.
    pub since: u32,
    pub(crate) doc: &'static str,
}

impl OpInfo {
    /// The version of the op set that its newest part came with, be it the op itself or an attribute.
    pub const fn newest(&self) -> u32 {
        let (mut newest, mut at) = (self.since, 0);
        while at < self.attributes.len() {
            if self.attributes[at].since > newest {
                newest = self.attributes[at].since;
            }
            at += 1;
        }
        newest
    }

    /// What it computes, with shapes.
    pub fn doc(&self) -> String {
        clean(self.doc)
    }
}

/// One operand of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperandInfo {
    /// Its name in the documentation.
    pub name: &'static str,
    /// Whether it may be left out or repeated.
    pub arity: Arity,
}

/// How often an operand is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Once.
    Required,
    /// Once or, at the end, not at all.
    Optional,
    /// At least once; nothing follows it.
    Repeated,
}

/// One attribute of an op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeInfo {
    /// Its name in files and text.
    pub name: &'static str,
    /// Which values it takes.
    pub kind: AttributeKind,
    /// Whether there is no default.
    pub required: bool,
    /// The version of the op set that it came with, or an older one than the op's if both came together.
    pub since: u32,
    pub(crate) doc: &'static str,
}

impl AttributeInfo {
    /// What it means.
    pub fn doc(&self) -> String {
        clean(self.doc)
    }
}

/// Doc comments keep the blank after their slashes.
fn clean(doc: &str) -> String {
    doc.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// What `op!` writes: description, and attributes to fields and back.
pub(crate) trait Declared: Sized {
    const INFO: OpInfo;

    fn to_attributes(&self) -> Vec<Attribute>;
    fn from_attributes(attributes: &mut Attributes) -> Result<Self, Misfit>;
}

/// What an op does.
pub(crate) trait Rule {
    /// How many results there are.
    fn results(&self) -> usize {
        1
    }

    /// The types of the results for operands whose number is right.
    ///
    /// # Errors
    /// If operands or attributes do not fit; the message says what would.
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit>;

    /// Floating-point operations of the matrix products in it for each item of a batch: two for each
    /// multiplication and addition. Types are such as `infer` takes and gives.
    fn products(&self, _operands: &[TensorType], _results: &[TensorType]) -> u64 {
        0
    }

    /// The results' values, for operands of types that `infer` has accepted.
    fn run(&self, call: &Call<'_>) -> Vec<Array>;
}

/// The one result of most ops.
pub(crate) fn one(r#type: TensorType) -> Result<Vec<TensorType>, Misfit> {
    Ok(vec![r#type])
}

/// Two operations for each of `inner` products that each element of the only result sums up.
pub(crate) fn sums_of(results: &[TensorType], inner: u64) -> u64 {
    results
        .iter()
        .map(TensorType::elements)
        .fold(0, u64::saturating_add)
        .saturating_mul(2)
        .saturating_mul(inner)
}

/// The size of an operand's dimension, counted from the end, per batch item.
pub(crate) fn side_from_end(operand: &TensorType, axis: usize) -> u64 {
    operand.dims().iter().rev().nth(axis).map_or(1, |dim| dim.per_item() as u64)
}

/// Declares an op: its documentation, its name, the struct of its attributes, and its operands.
/// `as` renames an attribute in files, `=` gives its default. `@` gives the version of the op set that an op or an
/// attribute came with, where that is not the first.
macro_rules! op {
    (
        $(#[doc = $doc:literal])+
        $name:literal $(@ $since:literal)? $Op:ident ($($operand:ident: $arity:ident),* $(,)?) {
            $(
                $(#[doc = $about:literal])+
                $(@ $added:literal)? $field:ident $(as $rename:literal)?: $type:ty $(= $default:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $Op {
            $($(#[doc = $about])+ pub $field: $type,)*
        }

        impl $crate::ops::declare::Declared for $Op {
            const INFO: $crate::ops::declare::OpInfo = $crate::ops::declare::OpInfo {
                name: $name,
                operands: &[$($crate::ops::declare::OperandInfo {
                    name: stringify!($operand),
                    arity: $crate::ops::declare::Arity::$arity,
                },)*],
                attributes: &[$($crate::ops::declare::AttributeInfo {
                    name: $crate::ops::declare::wire_name!($field $($rename)?),
                    kind: <$type as $crate::attribute::AttributeType>::KIND,
                    required: $crate::ops::declare::is_required!($($default)?),
                    since: $crate::ops::declare::since!($($added)?),
                    doc: concat!($($about, "\n"),+),
                },)*],
                since: $crate::ops::declare::since!($($since)?),
                doc: concat!($($doc, "\n"),+),
            };

            fn to_attributes(&self) -> Vec<$crate::attribute::Attribute> {
                vec![$($crate::attribute::Attribute {
                    name: $crate::ops::declare::wire_name!($field $($rename)?).to_owned(),
                    value: $crate::attribute::AttributeType::to_value(&self.$field),
                },)*]
            }

            fn from_attributes(
                #[allow(unused_variables, reason = "some ops have no attributes")]
                attributes: &mut $crate::attribute::Attributes,
            ) -> Result<Self, $crate::misfit::Misfit> {
                Ok(Self {
                    $($field: attributes.take(
                        $crate::ops::declare::wire_name!($field $($rename)?),
                        $crate::ops::declare::default_value!($($default)?),
                    )?,)*
                })
            }
        }
    };
}

macro_rules! wire_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $rename:literal) => {
        $rename
    };
}

macro_rules! since {
    () => {
        1
    };
    ($version:literal) => {
        $version
    };
}

macro_rules! is_required {
    () => {
        true
    };
    ($default:expr) => {
        false
    };
}

macro_rules! default_value {
    () => {
        None
    };
    ($default:expr) => {
        Some($default)
    };
}

/// The list of all ops: [`Op`](crate::Op) with a variant for each, and what is done by name.
macro_rules! op_list {
    ($($family:ident { $($Op:ident),* $(,)? })*) => {
        $(pub use $family::{$($Op),*};)*

        /// An op with its attributes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $($(
                #[doc = concat!("See [`", stringify!($Op), "`].")]
                $Op($Op),
            )*)*
        }

        $($(
            impl From<$Op> for Op {
                fn from(op: $Op) -> Self {
                    Self::$Op(op)
                }
            }
        )*)*

        const ALL: &[OpInfo] = &[$($(<$Op as Declared>::INFO,)*)*];

        impl Op {
            /// What is known about ops of this kind.
            pub const fn info(&self) -> &'static OpInfo {
                match self {
                    $($(Self::$Op(_) => const { &<$Op as Declared>::INFO },)*)*
                }
            }

            /// The attributes by name.
            pub fn attributes(&self) -> Vec<Attribute> {
                match self {
                    $($(Self::$Op(op) => op.to_attributes(),)*)*
                }
            }

            fn rule(&self) -> &dyn Rule {
                match self {
                    $($(Self::$Op(op) => op,)*)*
                }
            }

            fn read(name: &str, attributes: &mut Attributes) -> Option<Result<Self, Misfit>> {
                $($(
                    if name == <$Op as Declared>::INFO.name {
                        return Some($Op::from_attributes(attributes).map(Self::$Op));
                    }
                )*)*
                None
            }
        }
    };
}

pub(crate) use {default_value, is_required, op, op_list, since, wire_name};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_reads_as_one_paragraph() {
        assert_eq!(clean(" One\n two.\n"), "One two.");
    }

    op! {
        /// What comes later.
        "later" @ 2 Later(input: Required) {
            /// There from its beginning.
            first: usize,
            /// Later still.
            @ 3 second: usize = 1,
        }
    }

    #[test]
    fn ops_and_attributes_say_since_when_they_are_there() {
        let info = Later::INFO;
        assert_eq!((info.since, info.newest()), (2, 3));
        // An attribute that says nothing is as old as its op.
        assert_eq!(info.attributes.iter().map(|it| it.since).collect::<Vec<_>>(), [1, 3]);
    }
}
