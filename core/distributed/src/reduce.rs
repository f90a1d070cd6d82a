//! Sums over all ranks. Each rank adds up a segment of the values of all (an exchange of everything with
//! everybody), and gives its segment to the others: as many bytes as a ring takes, in an order of our own.

use std::ops::Range;

use crate::{
    peers::Peers,
    tree::{TreeSum, nodes_of},
};

/// Values that are exchanged at once, of 25 MiB.
const BUCKET: usize = (25 << 20) / size_of::<f32>();

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
}

/// The parts of a batch that a rank has: as many as any other, or one more. Where ranks and parts are powers of
/// two, it has one node of the tree.
pub fn parts_of(rank: usize, size: usize, parts: usize) -> Range<usize> {
    segment(rank, size, parts)
}

/// The values that a rank has of so many, where each has a piece.
pub fn segment(rank: usize, size: usize, values: usize) -> Range<usize> {
    let start = |rank: usize| (values as u128 * rank as u128 / size as u128) as usize;
    start(rank)..start(rank + 1)
}

/// The sum over all parts of a batch, of which each rank has added up its own ([`parts_of`]). Each has it whole.
///
/// # Errors
/// This rank has added up other parts.
pub fn all_reduce(peers: &impl Peers, own: &TreeSum) -> Result<Vec<f32>, ReduceError> {
    let segment = reduce_scatter(peers, own)?;
    let values = own.nodes().first().map_or(0, |(_, values)| values.len());
    Ok(all_gather(peers, &segment, values))
}

/// The same, of which each rank has only its [`segment`].
///
/// # Errors
/// As [`all_reduce`].
pub fn reduce_scatter(peers: &impl Peers, own: &TreeSum) -> Result<Vec<f32>, ReduceError> {
    reduce_in_buckets(peers, own, BUCKET)
}

/// Values of which each rank has its [`segment`], whole.
pub fn all_gather(peers: &impl Peers, own: &[f32], values: usize) -> Vec<f32> {
    let counts: Vec<usize> =
        (0..peers.size()).map(|rank| segment(rank, peers.size(), values).len()).collect();
    peers.all_gather_values(own, &counts)
}

fn reduce_in_buckets(
    peers: &impl Peers,
    own: &TreeSum,
    bucket: usize,
) -> Result<Vec<f32>, ReduceError> {
    let (rank, size, parts) = (peers.rank(), peers.size(), own.parts());
    let nodes = |rank: usize| nodes_of(parts_of(rank, size, parts), parts);
    let (is_added, range) =
        (own.nodes().iter().map(|(node, _)| *node), parts_of(rank, size, parts));
    if !is_added.eq(nodes(rank)) {
        return Err(ReduceError::Parts { rank, range, parts });
    }
    let theirs: Vec<_> = (0..size).map(nodes).collect();
    // A rank without parts has no values to count.
    let values = own.nodes().first().map_or(0, |(_, values)| values.len());
    let values = most(peers, values);
    let segments: Vec<Range<usize>> = (0..size).map(|rank| segment(rank, size, values)).collect();
    let longest = segments.iter().map(Range::len).max().unwrap_or(0);
    let piece = (bucket / size).max(1);
    let mut sum = Vec::with_capacity(segments[rank].len());
    for start in (0..longest).step_by(piece) {
        let piece_of = |rank: usize| {
            let all = &segments[rank];
            let at = |offset: usize| (all.start + offset).min(all.end);
            at(start)..at(start + piece)
        };
        let send: Vec<f32> = (0..size)
            .flat_map(|to| own.nodes().iter().map(move |(_, values)| (to, values)))
            .flat_map(|(to, values)| &values[piece_of(to)])
            .copied()
            .collect();
        let counts: Vec<usize> =
            (0..size).map(|to| own.nodes().len() * piece_of(to).len()).collect();
        let length = piece_of(rank).len();
        let from: Vec<usize> = theirs.iter().map(|nodes| nodes.len() * length).collect();
        let received = peers.all_to_all(&send, &counts, &from);
        if length == 0 {
            continue;
        }
        let mut total = TreeSum::new(parts);
        let nodes = theirs.iter().flatten();
        nodes.zip(received.chunks_exact(length)).for_each(|(node, values)| {
            total.add_node(*node, values.to_vec());
        });
        // The parts of all ranks are all parts.
        sum.extend(total.finish().unwrap_or_default());
    }
    Ok(sum)
}

/// The largest of what all ranks have.
fn most(peers: &impl Peers, own: usize) -> usize {
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
        ranks(size, |peers| {
            let mut own = TreeSum::new(parts);
            parts_of(peers.rank(), size, parts).for_each(|part| own.add(part, values(part, count)));
            let segment = reduce_in_buckets(peers, &own, bucket).unwrap();
            all_gather(peers, &segment, count)
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
    fn a_rank_that_added_up_other_parts_is_named() {
        let found = ranks(1, |peers| {
            let mut own = TreeSum::new(2);
            own.add(0, vec![1.0]);
            reduce_scatter(peers, &own).unwrap_err()
        });
        assert!(found[0].to_string().contains("rank 0 has parts 0 to 2 of 2"), "{}", found[0]);
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
