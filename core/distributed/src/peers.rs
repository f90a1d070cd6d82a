//! What ranks need of each other.

use std::{sync::Arc, time::Duration};

/// What ranks exchange values by. Every call from [`all_to_all`](Self::all_to_all) on is made by all of them, in the
/// same order, and returns once the others have done so, too.
pub trait Exchange {
    /// Which of them this is, from 0 on.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// Gives each rank its own values: `counts[r]` of `send`, in the order of ranks, go to rank `r`, and
    /// `from[r]` values come from it.
    fn all_to_all(&self, send: &[f32], counts: &[usize], from: &[usize]) -> Vec<f32>;

    /// The values of all ranks, in their order, of which rank `r` has `counts[r]`.
    fn all_gather_values(&self, own: &[f32], counts: &[usize]) -> Vec<f32>;
}

/// The ranks of a job, as one of them sees them. Every call from [`barrier`](Self::barrier) on is
/// made by all of them, in the same order, and returns once the others have done so, too.
pub trait Peers: Exchange {
    /// The name of a rank's host, where it is known.
    fn host(&self, rank: usize) -> Option<String> {
        let _ = rank;
        None
    }

    /// Says what this rank does until it comes where all meet the next time, in words that follow on "it is", and how
    /// long others wait for it then. It is called at any time, by any of them.
    fn begin(&self, what: &str, within: Option<Duration>) {
        let _ = (what, within);
    }

    /// The same ranks for another thread, while this one makes no calls: they wait there without taking the
    /// processor from it. Nothing where there is no such way.
    fn beside(&self) -> Option<Arc<dyn Exchange + Send + Sync>> {
        None
    }

    /// Returns once all have come here.
    fn barrier(&self);

    /// Gives all ranks what one of them has.
    fn broadcast(&self, from: usize, bytes: &mut Vec<u8>);

    /// What each rank has, by rank; the lengths may differ.
    fn all_gather(&self, own: &[u8]) -> Vec<Vec<u8>>;
}
