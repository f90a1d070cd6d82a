#![doc = include_str!("../README.md")]

// What macros of this workspace name is also named by this crate's own tests.
extern crate self as vitral_sdk;

#[cfg(not(target_family = "wasm"))]
use native::host as boundary;
#[cfg(target_family = "wasm")]
use wasm::host as boundary;

mod canvas;
mod error;
mod export;
pub mod image;
pub mod log;
pub mod math;
pub mod native;
pub mod parameters;
mod plugin;
mod random;
pub mod state;
pub mod tensor;
#[cfg(target_family = "wasm")]
#[doc(hidden)]
pub mod wasm;

pub use rand;
pub use vitral_abi as abi;

pub use canvas::{Image, ImageCase, Picture};
pub use error::{Error, Result};
pub use parameters::Parameters;
pub use plugin::{
    Attention, BatchAugmentation, Identity, ImageAugmentation, Monitor, Plugin, describe,
};
pub use random::{Rng, SampleExt};
pub use tensor::{
    B, Convolution, DType, Dim, Distribution, Layout, Tensor, apply, concat, constant,
    constant_bool, constant_i32, label, parameter, random, range,
};
pub use vitral_abi::{
    Action, Attribute, AttributeValue, Initializer, Kind, LogLevel, MAGNITUDES, Parameter,
    ParameterType, Value, plain::*,
};
pub use vitral_sdk_derive::{Choice, Parameters};

/// What most plugins use.
pub mod prelude {
    pub use rand::Rng as _;

    pub use crate::{
        Action, Attention, B, Batch, BatchAugmentation, Choice, Convolution, DType, Dim,
        Distribution, Error, Event, Example, Identity, Image, ImageAugmentation, ImageCase,
        Initializer, Interests, Layer, Layout, Monitor, Parameters, Picture, Plugin, RateChange,
        Result, Rng, Sample, SampleExt as _, Tensor, apply, bail, concat, constant, constant_bool,
        constant_i32, identity, label, log, math, parameter, random, range, shape,
    };
}
