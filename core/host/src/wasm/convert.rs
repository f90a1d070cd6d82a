//! Between plain types and the ones that wasmtime makes from the WIT.

use super::bindings::{
    exports::vitral::plugin::*,
    vitral::plugin::{logging, tensors},
};

vitral_abi::wit_conversions!();
