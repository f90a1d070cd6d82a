//! Values that the ranks which MPI has started exchange: by the thread that trains, and by one beside it.

use std::{sync::Arc, thread, time::Duration};

use mpi::{
    Count,
    collective::CommunicatorCollectives as _,
    datatype::{Partition, PartitionMut},
    request::{self, Request, Scope},
    topology::Communicator as _,
};

use crate::{
    mpi_world::{Handle, Shared, World},
    peers::Exchange,
};

/// How long a thread rests that waits beside the one that computes, before it looks again.
const REST: Duration = Duration::from_micros(100);
/// Values that are gathered at once, of which MPI has the number in 31 bits.
const AT_ONCE: usize = 1 << 28;

impl Exchange for World {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn all_to_all(&self, send: &[f32], counts: &[usize], from: &[usize]) -> Vec<f32> {
        let _meeting = self.shared.meet();
        let mut received = vec![0.0; from.iter().sum()];
        let (counts, places) = placed(counts);
        let parts = Partition::new(send, counts, places);
        let (counts, places) = placed(from);
        let mut into = PartitionMut::new(&mut received[..], counts, places);
        self.world.all_to_all_varcount_into(&parts, &mut into);
        received
    }

    fn all_gather_values(&self, own: &[f32], counts: &[usize]) -> Vec<f32> {
        let _meeting = self.shared.meet();
        in_pieces(own, counts, |own, counts| {
            let mut gathered = vec![0.0; counts.iter().sum()];
            let (counts, places) = placed(counts);
            let mut into = PartitionMut::new(&mut gathered[..], counts, places);
            self.world.all_gather_varcount_into(own, &mut into);
            gathered
        })
    }
}

/// The same ranks for a thread that exchanges values while another one computes, by a communicator of its own.
pub(crate) struct Beside {
    world: Handle,
    shared: Arc<Shared>,
}

impl Beside {
    pub(crate) fn new(world: Handle, shared: Arc<Shared>) -> Self {
        Self { world, shared }
    }
}

impl Exchange for Beside {
    fn rank(&self) -> usize {
        self.world.0.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.0.size() as usize
    }

    fn all_to_all(&self, send: &[f32], counts: &[usize], from: &[usize]) -> Vec<f32> {
        let _meeting = self.shared.meet();
        let mut received = vec![0.0; from.iter().sum()];
        let (counts, places) = placed(counts);
        let parts = Partition::new(send, counts, places);
        let (counts, places) = placed(from);
        let mut into = PartitionMut::new(&mut received[..], counts, places);
        request::scope(|scope| {
            let world = &self.world.0;
            rest_until(world.immediate_all_to_all_varcount_into(scope, &parts, &mut into));
        });
        received
    }

    fn all_gather_values(&self, own: &[f32], counts: &[usize]) -> Vec<f32> {
        let _meeting = self.shared.meet();
        in_pieces(own, counts, |own, counts| {
            let mut gathered = vec![0.0; counts.iter().sum()];
            let (counts, places) = placed(counts);
            let mut into = PartitionMut::new(&mut gathered[..], counts, places);
            request::scope(|scope| {
                let world = &self.world.0;
                rest_until(world.immediate_all_gather_varcount_into(scope, own, &mut into));
            });
            gathered
        })
    }
}

/// Waits for what was begun. MPI's own waiting keeps a processor busy.
fn rest_until<'a, D: ?Sized, S: Scope<'a>>(mut begun: Request<'a, D, S>) {
    while let Err(still) = begun.test() {
        begun = still;
        thread::sleep(REST);
    }
}

/// Has `gather` gather values of which each rank has so many, as many at once as MPI can count.
fn in_pieces(
    own: &[f32],
    counts: &[usize],
    gather: impl Fn(&[f32], &[usize]) -> Vec<f32>,
) -> Vec<f32> {
    let piece = (AT_ONCE / counts.len()).max(1);
    let longest = counts.iter().copied().max().unwrap_or(0);
    if longest <= piece {
        return gather(own, counts);
    }
    let mut all = vec![0.0; counts.iter().sum()];
    for start in (0..longest).step_by(piece) {
        let within = |count: usize| start.min(count)..(start + piece).min(count);
        let lengths: Vec<usize> = counts.iter().map(|count| within(*count).len()).collect();
        let gathered = gather(&own[within(own.len())], &lengths);
        let (mut rest, mut end) = (&gathered[..], 0);
        for (count, length) in counts.iter().zip(lengths) {
            let (one, others) = rest.split_at(length);
            let place = end + within(*count).start;
            all[place..place + length].copy_from_slice(one);
            (rest, end) = (others, end + count);
        }
    }
    all
}

/// Counts as MPI has them, and where each begins behind the others. What is exchanged at once is less than it can
/// count.
pub(crate) fn placed(counts: &[usize]) -> (Vec<Count>, Vec<Count>) {
    let mut end = 0;
    let place = |count: &usize| {
        let start = end;
        end += *count as Count;
        (*count as Count, start)
    };
    counts.iter().map(place).unzip()
}
