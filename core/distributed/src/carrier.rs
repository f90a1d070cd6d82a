//! What a sum over ranks is made of, wherever its values are: on the host, or on devices that exchange them directly.

use std::ops::Range;

use crate::{peers::Exchange, reduce::ReduceError, wire::Wire};

/// Sends values between ranks. All ranks make the same calls in the same order.
pub trait Carrier<V> {
    /// Which rank this is, from 0 on.
    fn rank(&self) -> usize;

    /// How many ranks there are.
    fn size(&self) -> usize;

    /// These ranges of some lists, one after the other.
    fn joined(&self, pieces: &[(&V, Range<usize>)]) -> V;

    /// Gives each rank its own values: `counts[r]` of `send`, in the order of ranks, go to rank `r`, and `from[r]`
    /// values come from it.
    ///
    /// # Errors
    /// The values cannot be sent.
    fn all_to_all(&self, send: V, counts: &[usize], from: &[usize]) -> Result<V, ReduceError>;

    /// The values of all ranks, in their order, of which rank `r` has `counts[r]`.
    ///
    /// # Errors
    /// The values cannot be sent.
    fn all_gather(&self, own: V, counts: &[usize]) -> Result<V, ReduceError>;

    /// Values as the ranks have them to which they are sent.
    fn rounded(&self, values: V) -> V;
}

/// Values on the host.
pub struct OnHost<'a, P: ?Sized> {
    /// What sends them.
    pub peers: &'a P,
    /// As what they are sent.
    pub wire: Wire,
}

impl<P: Exchange + ?Sized> Carrier<Vec<f32>> for OnHost<'_, P> {
    fn rank(&self) -> usize {
        self.peers.rank()
    }

    fn size(&self) -> usize {
        self.peers.size()
    }

    fn joined(&self, pieces: &[(&Vec<f32>, Range<usize>)]) -> Vec<f32> {
        let mut all = Vec::with_capacity(pieces.iter().map(|(_, range)| range.len()).sum());
        pieces.iter().for_each(|(list, range)| all.extend_from_slice(&list[range.clone()]));
        all
    }

    fn all_to_all(
        &self,
        send: Vec<f32>,
        counts: &[usize],
        from: &[usize],
    ) -> Result<Vec<f32>, ReduceError> {
        Ok(self.wire.all_to_all(self.peers, &send, counts, from))
    }

    fn all_gather(&self, own: Vec<f32>, counts: &[usize]) -> Result<Vec<f32>, ReduceError> {
        Ok(self.wire.all_gather(self.peers, &own, counts))
    }

    fn rounded(&self, mut values: Vec<f32>) -> Vec<f32> {
        self.wire.round(&mut values);
        values
    }
}
