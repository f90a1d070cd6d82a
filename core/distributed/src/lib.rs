//! Processes that train together (ranks): sums that are the same to the byte however many there are, and one
//! end for all of them.
//!
//! A batch is cut into parts, and its gradient is the sum over them in the order of a fixed binary tree.
//! [`TreeSum`] adds up the parts that a rank has, as far as they are neighbours in the tree; [`all_reduce`] and
//! [`reduce_scatter`] exchange what these came to, and add up the rest. So neither the number of ranks nor who
//! comes first has a say in a sum. A [`Carrier`] does the same with values that stay on GPUs.
//!
//! [`check_agreement`] tells what ranks have not in common before they start. [`Watch`] finds the rank that is
//! not heard of any more, or does not come where the others wait.
//!
//! All of this is on top of [`Peers`], what ranks need of each other, and of [`Exchange`], by which another thread
//! exchanges values while the first one computes. With the feature `mpi`, `World` is those
//! that `mpirun` or `srun` has started. For tests, `threads` has ranks that are threads of one process.
//!
//! A sum is the same to the byte, whoever has added which parts:
//!
//! ```
//! use vitral_distributed::{Exchange, TreeSum, Wire, all_reduce, parts_of, threads::ranks};
//!
//! let gradient = |part: usize| vec![0.1 * part as f32, 1.0 / (1.0 + part as f32)];
//! let mut alone = TreeSum::new(8);
//! (0..8).for_each(|part| alone.add(part, gradient(part)));
//! let alone = alone.finish().unwrap();
//!
//! let sums = ranks(3, |rank| {
//!     let mut own = TreeSum::new(8);
//!     parts_of(rank.rank(), 3, 8).for_each(|part| own.add(part, gradient(part)));
//!     all_reduce(rank, &own, Wire::F32).unwrap()
//! });
//! assert_eq!(sums, [alone.clone(), alone.clone(), alone]);
//! ```

mod agreement;
mod carrier;
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
pub use carrier::{Carrier, OnHost};
pub use cores::take_cores;
#[cfg(feature = "mpi")]
pub use mpi_world::{StartError, World};
pub use peers::{Exchange, Peers};
pub use reduce::{
    BUCKET, ReduceError, Segments, all_gather, all_reduce, all_reduce_by, parts_of, reduce_scatter,
    reduce_scatter_by, segment,
};
pub use tree::{Summand, TreeSum};
pub use watch::{Beat, Doing, Limits, Lost, Watch};
pub use wire::Wire;
