//! Processes that train together (ranks): sums that are the same to the byte however many there are, and one
//! end for all of them.
//!
//! A batch is cut into parts, and its gradient is the sum over them in the order of a fixed binary tree.
//! [`TreeSum`] adds up the parts that a rank has, as far as they are neighbours in the tree; [`all_reduce`] and
//! [`reduce_scatter`] exchange what these came to, and add up the rest. So neither the number of ranks nor who
//! comes first has a say in a sum.
//!
//! [`check_agreement`] tells what ranks have not in common before they start. [`Watch`] finds the rank that is
//! not heard of any more, or does not come where the others wait.
//!
//! All of this is on top of [`Peers`], what ranks need of each other, and of [`Exchange`], by which another thread
//! exchanges values while the first one computes. With the feature `mpi`, `World` is those
//! that `mpirun` or `srun` has started. For tests, `threads` has ranks that are threads of one process.

mod agreement;
mod cores;
#[cfg(feature = "mpi")]
mod mpi_exchange;
#[cfg(feature = "mpi")]
mod mpi_world;
mod peers;
mod reduce;
#[cfg(feature = "mpi")]
mod thread_time;
#[doc(hidden)]
pub mod threads;
mod tree;
mod watch;
mod wire;

pub use agreement::{Disagreement, check_agreement};
pub use cores::take_cores;
#[cfg(feature = "mpi")]
pub use mpi_world::{StartError, World};
pub use peers::{Exchange, Peers};
pub use reduce::{
    BUCKET, ReduceError, Segments, all_gather, all_reduce, all_reduce_of, parts_of, reduce_scatter,
    segment,
};
pub use tree::{Summand, TreeSum};
pub use watch::{Beat, Doing, Limits, Lost, Watch};
pub use wire::Wire;
