//! Tensor programs: what a plugin's trace becomes.
//!
//! A plugin never computes on the training path. It calls ops on symbolic tensors once, a
//! [`Tracer`] checks and records them, and the result is a [`Program`]: a small, typed list of ops
//! with named trainable parameters, which others run with autodiff, lower to exchange formats and
//! keep in checkpoints. Each op is declared in one place under [`ops`], with its documentation,
//! shape rule and reference implementation. This crate knows neither Burn nor WebAssembly.
//!
//! ```
//! use vitral_program::{Initializer, Limits, TensorType, Tracer, ops};
//!
//! let mut trace = Tracer::new("scale", Limits::default());
//! let x = trace.input("x", "f32[B,49,64]".parse()?);
//! let gain = trace.parameter("gain", "[64]".parse()?, Initializer::Constant(1.0), false);
//! let y = trace.apply(ops::Mul {}, &[x, gain], "gained");
//! let program = trace.finish(&[("y", y)])?;
//! assert_eq!(
//!     program.to_string(),
//!     "program scale v1 {
//!   input x: f32[B,49,64]  # %0
//!   parameter gain: f32[64] = constant(1)  # %1
//!   %2 = mul(%0, %1) : f32[B,49,64]  # gained
//!   output y: %2
//! }
//! "
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod array;
mod attribute;
mod cost;
mod error;
mod initializer;
mod limits;
mod misfit;
pub mod ops;
mod program;
pub mod reference;
mod shape;
mod text;
mod tracer;
mod types;
mod units;
mod verify;
mod wire;

pub use array::Array;
pub use attribute::{Attribute, AttributeKind, AttributeValue};
pub use cost::Cost;
pub use error::{ProgramError, TraceError, TraceErrors};
pub use initializer::Initializer;
pub use limits::Limits;
pub use misfit::Misfit;
pub use ops::Op;
pub use program::{Input, Node, Output, Parameter, Program, ValueId};
pub use shape::{Dim, MAX_RANK, Shape};
pub use tracer::{Tensor, Tracer};
pub use types::{DType, TensorType};
pub use wire::FORMAT;
