//! Between plain types and those of the bindings.

use super::bindings::{
    exports::vitral::plugin::*,
    vitral::plugin::{logging, tensors},
};

vitral_abi::wit_conversions!();
