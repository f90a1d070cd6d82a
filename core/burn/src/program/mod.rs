//! Runs tensor programs in Burn, on any device and with its autodiff.
//!
//! [`Executable`] keeps what a program needs on a device and walks its ops; each family of ops is
//! in a file of its own, named as in [`vitral_program::ops`].
//!
//! Burn's tensors have their rank in their type, a program's do not. Here every tensor is kept at
//! the highest rank that a program can have, with ones in front: a view that costs nothing, and
//! with it operands that broadcast are aligned already.

mod arrange;
mod binary;
mod compare;
mod create;
mod cut;
mod executable;
mod index;
mod noise;
mod normalize;
mod op;
mod parametric;
mod product;
mod reduce;
#[cfg(test)]
mod tests;
mod unary;
mod value;
mod window;

pub use create::constant;
pub use executable::{Executable, ExecuteError};
pub use op::run;
pub use value::{Call, RANK, Value, padded};
