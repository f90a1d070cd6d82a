//! Kernels that were compiled for NVIDIA's GPUs, and which of several was found to be the fastest for a shape, kept on
//! disk from run to run: the next one starts at once, and takes the same kernels.
//!
//! CubeCL keeps them in a database. It knows a kernel by the program that compiled it, but not by the compiler, and what
//! is fastest by a GPU's number alone. So each build of Vitral has databases of its own for each set of GPUs and versions
//! of driver and compiler; what has not been used for long goes. A database belongs to one process at a time: those that
//! run at once, as ranks do, have one each.

mod databases;
#[cfg(feature = "cuda")]
mod kept;

#[cfg(feature = "cuda")]
pub(crate) use kept::{begin, keep_in};
