//! Sums over all ranks. Each rank adds up a segment of the values of all (an exchange of everything with
//! everybody), and gives its segment to the others: as many bytes as a ring takes, in an order of our own.

use std::ops::Range;

use crate::{
    carrier::{Carrier, OnHost},
    peers::{Exchange, Peers},
    tree::{Summand, TreeSum, nodes_of},
    wire::Wire,
};

/// Values that are exchanged at once, of 25 MiB.
pub const BUCKET: usize = (25 << 20) / size_of::<f32>();

/// Why there is no sum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReduceError {
    /// A rank has not added up what it has to.
    #[error("rank {rank} has parts {} to {} of {parts} to add up, and has added others", range.start, range.end)]
    Parts {
        /// The rank.
        rank: usize,
        /// Its parts.
        range: Range<usize>,
        /// How many there are.
        parts: usize,
    },
    /// Values could not be sent.
    #[error("{0}")]
    NotSent(String),
}

/// The parts of a batch that a rank has: as many as any other, or one more. Where ranks and parts are powers of
/// two, it has one node of the tree.
pub fn parts_of(rank: usize, size: usize, parts: usize) -> Range<usize> {
    segment(rank, size, parts)
}

/// The values that a rank has of so many, where each has a piece.
pub fn segment(rank: usize, size: usize, values: usize) -> Range<usize> {
    let start = |rank: usize| even(rank, size, values);
    start(rank)..start(rank + 1)
}

/// Where a rank's piece begins, where each has as much as any other.
fn even(rank: usize, size: usize, values: usize) -> usize {
    (values as u128 * rank as u128 / size as u128) as usize
}

/// Which of the values of a sum each rank has: neighbouring ones, in the order of ranks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segments {
    /// Where each rank's values begin, and where the last one's end.
    bounds: Vec<usize>,
}

impl Segments {
    /// As many values for each rank as for any other, or one more.
    pub fn even(size: usize, values: usize) -> Self {
        Self { bounds: (0..=size).map(|rank| even(rank, size, values)).collect() }
    }

    /// About as many for each, cut at some of these places, which ascend from 0 to the number of values.
    pub fn between(size: usize, places: &[usize]) -> Self {
        let values = places.last().copied().unwrap_or(0);
        let bound = |rank| {
            let even = even(rank, size, values);
            let after = places.partition_point(|place| *place < even).min(places.len() - 1);
            let (before, after) = (places[after.saturating_sub(1)], places[after]);
            if even - before.min(even) < after - even { before } else { after }
        };
        match places.is_empty() {
            true => Self::even(size, 0),
            false => Self { bounds: (0..=size).map(bound).collect() },
        }
    }

    /// The values that a rank has.
    pub fn of(&self, rank: usize) -> Range<usize> {
        self.bounds[rank]..self.bounds[rank + 1]
    }

    /// What each rank has of some neighbouring values, counted from the first of these.
    #[must_use]
    pub fn within(&self, values: Range<usize>) -> Self {
        let within = |bound: &usize| (*bound).clamp(values.start, values.end) - values.start;
        Self { bounds: self.bounds.iter().map(within).collect() }
    }

    /// How many values each rank has.
    pub fn counts(&self) -> Vec<usize> {
        self.bounds.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }
}

/// The sum over all parts of a batch, of which each rank has added up its own ([`parts_of`]). Each has it whole.
///
/// # Errors
/// This rank has added up other parts.
pub fn all_reduce(
    peers: &(impl Peers + ?Sized),
    own: &TreeSum,
    wire: Wire,
) -> Result<Vec<f32>, ReduceError> {
    // A rank without parts has no values to count.
    let values = own.nodes().first().map_or(0, |(_, values)| values.len());
    all_reduce_by(&OnHost { peers, wire }, own, most(peers, values))
}

/// The same of so many values, wherever they are.
///
/// # Errors
/// As [`all_reduce`], or they cannot be sent.
pub fn all_reduce_by<V: Summand>(
    carrier: &(impl Carrier<V> + ?Sized),
    own: &TreeSum<V>,
    values: usize,
) -> Result<V, ReduceError> {
    let segments = Segments::even(carrier.size(), values);
    let segment = reduce_scatter_by(carrier, own, &segments)?;
    carrier.all_gather(segment, &segments.counts())
}

/// The same, of which each rank has only its segment, with the bytes of [`all_reduce`].
///
/// # Errors
/// As [`all_reduce`].
pub fn reduce_scatter(
    peers: &(impl Exchange + ?Sized),
    own: &TreeSum,
    segments: &Segments,
    wire: Wire,
) -> Result<Vec<f32>, ReduceError> {
    reduce_scatter_by(&OnHost { peers, wire }, own, segments)
}

/// The same, wherever the values are.
///
/// # Errors
/// As [`all_reduce`], or they cannot be sent.
pub fn reduce_scatter_by<V: Summand>(
    carrier: &(impl Carrier<V> + ?Sized),
    own: &TreeSum<V>,
    segments: &Segments,
) -> Result<V, ReduceError> {
    reduce_in_buckets(carrier, own, segments, BUCKET)
}

/// Values of which each rank has its segment, whole.
pub fn all_gather(peers: &(impl Exchange + ?Sized), own: &[f32], segments: &Segments) -> Vec<f32> {
    peers.all_gather_values(own, &segments.counts())
}

fn reduce_in_buckets<V: Summand>(
    carrier: &(impl Carrier<V> + ?Sized),
    own: &TreeSum<V>,
    segments: &Segments,
    bucket: usize,
) -> Result<V, ReduceError> {
    let (rank, size, parts) = (carrier.rank(), carrier.size(), own.parts());
    let nodes = |rank: usize| nodes_of(parts_of(rank, size, parts), parts);
    let (is_added, range) =
        (own.nodes().iter().map(|(node, _)| *node), parts_of(rank, size, parts));
    if !is_added.eq(nodes(rank)) {
        return Err(ReduceError::Parts { rank, range, parts });
    }
    let theirs: Vec<_> = (0..size).map(nodes).collect();
    let segments: Vec<Range<usize>> = (0..size).map(|rank| segments.of(rank)).collect();
    let longest = segments.iter().map(Range::len).max().unwrap_or(0);
    let piece = (bucket / size).max(1);
    let mut sums = Vec::new();
    for start in (0..longest).step_by(piece) {
        let piece_of = |rank: usize| {
            let all = &segments[rank];
            let at = |offset: usize| (all.start + offset).min(all.end);
            at(start)..at(start + piece)
        };
        let pieces = |to: usize| own.nodes().iter().map(move |(_, list)| (list, piece_of(to)));
        let send: Vec<_> = (0..size).flat_map(pieces).collect();
        let counts: Vec<usize> =
            (0..size).map(|to| own.nodes().len() * piece_of(to).len()).collect();
        let length = piece_of(rank).len();
        let from: Vec<usize> = theirs.iter().map(|nodes| nodes.len() * length).collect();
        let received = carrier.all_to_all(carrier.joined(&send), &counts, &from)?;
        if length == 0 {
            continue;
        }
        let mut total = TreeSum::new(parts);
        for (at, node) in theirs.iter().flatten().enumerate() {
            let values = carrier.joined(&[(&received, at * length..(at + 1) * length)]);
            total.add_node(*node, values);
        }
        // The parts of all ranks are all parts.
        sums.extend(total.finish().map(|sum| (sum, 0..length)));
    }
    let sum = match sums.len() {
        1 => sums.swap_remove(0).0,
        _ => {
            let sums: Vec<_> = sums.iter().map(|(sum, range)| (sum, range.clone())).collect();
            carrier.joined(&sums)
        }
    };
    // Also where it goes nowhere, so that all of them have the same.
    Ok(carrier.rounded(sum))
}

/// The largest of what all ranks have.
fn most(peers: &(impl Peers + ?Sized), own: usize) -> usize {
    let all = peers.all_gather(&(own as u64).to_le_bytes());
    let numbers =
        all.iter().filter_map(|bytes| Some(u64::from_le_bytes(bytes[..].try_into().ok()?)));
    numbers.max().map_or(own, |most| most as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::ranks;

    /// Values of which the sum depends on the order.
    fn values(part: usize, count: usize) -> Vec<f32> {
        let value = |at: usize| {
            let mixed = (part * 7919 + at).wrapping_mul(2_654_435_761) % 1_000_003;
            (mixed as f32 - 5e5) * 10_f32.powi((mixed % 13) as i32 - 6)
        };
        (0..count).map(value).collect()
    }

    fn sums(size: usize, parts: usize, count: usize, bucket: usize) -> Vec<Vec<f32>> {
        sums_over(Wire::F32, size, parts, count, bucket)
    }

    fn sums_over(
        wire: Wire,
        size: usize,
        parts: usize,
        count: usize,
        bucket: usize,
    ) -> Vec<Vec<f32>> {
        ranks(size, |peers| {
            let mut own = TreeSum::new(parts);
            parts_of(peers.rank(), size, parts).for_each(|part| own.add(part, values(part, count)));
            // Even ones, and such as are cut at few places.
            let segments = [
                Segments::even(size, count),
                Segments::between(size, &[0, count / 7, count / 2, count]),
            ];
            let sums = segments.map(|segments| {
                let carrier = OnHost { peers, wire };
                let segment = reduce_in_buckets(&carrier, &own, &segments, bucket).unwrap();
                all_gather(peers, &segment, &segments)
            });
            assert_eq!(sums[0], sums[1]);
            assert_eq!(all_reduce(peers, &own, wire).unwrap(), sums[0]);
            let beside = peers.beside().unwrap();
            let beside = OnHost { peers: &*beside, wire };
            assert_eq!(all_reduce_by(&beside, &own, count).unwrap(), sums[0]);
            sums.into_iter().next().unwrap()
        })
    }

    #[test]
    fn a_sum_is_the_same_to_the_byte_for_any_number_of_ranks_and_any_bucket() {
        for parts in [1, 2, 3, 8, 12] {
            let whole = &sums(1, parts, 101, BUCKET)[0];
            let mut in_order = vec![0.0_f32; 101];
            for part in 0..parts {
                in_order.iter_mut().zip(values(part, 101)).for_each(|(sum, value)| *sum += value);
            }
            assert!(parts < 8 || *whole != in_order, "the order is not seen in the values");
            for size in [2, 3, 4, 5, 7] {
                for bucket in [BUCKET, 30, 1] {
                    for found in sums(size, parts, 101, bucket) {
                        assert!(
                            found == *whole,
                            "{parts} parts, {size} ranks, buckets of {bucket}"
                        );
                    }
                }
            }
        }
        // Fewer values than ranks.
        assert!(sums(4, 4, 2, BUCKET).iter().all(|found| *found == sums(1, 4, 2, BUCKET)[0]));
    }

    #[test]
    fn a_sum_in_bf16_is_that_of_rounded_values_on_all_ranks() {
        for (size, parts) in [(2, 2), (4, 4), (3, 12)] {
            let all = sums_over(Wire::Bf16, size, parts, 101, 30);
            assert!(all.iter().all(|found| *found == all[0]), "{size} ranks");
            assert!(all == sums_over(Wire::Bf16, size, parts, 101, BUCKET), "by buckets");
            let exact = &sums(size, parts, 101, BUCKET)[0];
            assert!(all[0] != *exact, "nothing was rounded");
            let largest = (0..parts).flat_map(|part| values(part, 101));
            let largest = largest.fold(0.0_f32, |most, value| most.max(value.abs()));
            // What each part is rounded by, and their sum.
            let most = (parts + 1) as f32 * parts as f32 * largest / 256.0;
            for (found, exact) in all[0].iter().zip(exact) {
                assert!((found - exact).abs() <= most, "{found} in place of {exact}");
            }
        }
    }

    #[test]
    fn a_rank_that_added_up_other_parts_is_named() {
        let found = ranks(1, |peers| {
            let mut own = TreeSum::new(2);
            own.add(0, vec![1.0]);
            reduce_scatter(peers, &own, &Segments::even(1, 1), Wire::F32).unwrap_err()
        });
        assert!(found[0].to_string().contains("rank 0 has parts 0 to 2 of 2"), "{}", found[0]);
    }

    #[test]
    fn segments_are_cut_where_they_may_be() {
        let cut = |size, places: &[usize]| Segments::between(size, places).bounds;
        assert_eq!(cut(2, &[0, 3, 6, 9, 10]), [0, 6, 10]);
        assert_eq!(cut(4, &[0, 9, 10]), [0, 0, 9, 9, 10]);
        assert_eq!(cut(3, &[0, 1, 2, 3, 4, 5, 6]), Segments::even(3, 6).bounds);
        assert_eq!((cut(1, &[0, 5]), cut(2, &[])), (vec![0, 5], vec![0, 0, 0]));
        assert_eq!(Segments::between(4, &[0, 9, 10]).counts(), [0, 9, 0, 1]);
        let segments = Segments::between(3, &[0, 3, 6, 9]);
        assert_eq!(segments.within(2..8).bounds, [0, 1, 4, 6]);
        assert_eq!(
            (segments.within(7..9).counts(), segments.within(6..6).counts()),
            (vec![0, 0, 2], vec![0; 3])
        );
    }

    #[test]
    fn each_has_as_much_as_any_other() {
        for (size, values) in [(1, 5), (4, 8), (3, 8), (8, 3), (64, usize::MAX)] {
            let segments: Vec<_> = (0..size).map(|rank| segment(rank, size, values)).collect();
            assert_eq!((segments[0].start, segments[size - 1].end), (0, values));
            assert!(segments.windows(2).all(|pair| pair[0].end == pair[1].start));
            let least = segments.iter().map(Range::len).min().unwrap();
            assert!(segments.iter().all(|segment| segment.len() - least <= 1));
        }
    }
}
