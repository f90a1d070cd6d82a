//! How values travel between ranks.

use half::bf16;

use crate::peers::Exchange;

/// The type in which values are sent. They are added up in `f32` in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wire {
    /// As they are.
    #[default]
    F32,
    /// Rounded to `bf16`: half of the bytes.
    Bf16,
}

impl Wire {
    /// Values as those have them that they are sent to.
    pub(crate) fn round(self, values: &mut [f32]) {
        if self == Self::Bf16 {
            values.iter_mut().for_each(|value| *value = bf16::from_f32(*value).to_f32());
        }
    }

    /// How many values of `f32` so many take on the way.
    fn packed(self, count: usize) -> usize {
        match self {
            Self::F32 => count,
            Self::Bf16 => count.div_ceil(2),
        }
    }

    /// [`Exchange::all_to_all`].
    pub(crate) fn all_to_all(
        self,
        peers: &(impl Exchange + ?Sized),
        send: &[f32],
        counts: &[usize],
        from: &[usize],
    ) -> Vec<f32> {
        if self == Self::F32 {
            return peers.all_to_all(send, counts, from);
        }
        let mut rest = send;
        let mut packed = Vec::with_capacity(send.len() / 2 + counts.len());
        for count in counts {
            let (own, others) = rest.split_at(*count);
            pack(own, &mut packed);
            rest = others;
        }
        let received = peers.all_to_all(&packed, &self.all_packed(counts), &self.all_packed(from));
        unpack(&received, from)
    }

    /// [`Exchange::all_gather_values`], of values that are rounded already.
    pub(crate) fn all_gather(
        self,
        peers: &(impl Exchange + ?Sized),
        own: &[f32],
        counts: &[usize],
    ) -> Vec<f32> {
        if self == Self::F32 {
            return peers.all_gather_values(own, counts);
        }
        let mut packed = Vec::with_capacity(self.packed(own.len()));
        pack(own, &mut packed);
        unpack(&peers.all_gather_values(&packed, &self.all_packed(counts)), counts)
    }

    fn all_packed(self, counts: &[usize]) -> Vec<usize> {
        counts.iter().map(|count| self.packed(*count)).collect()
    }
}

/// Two values in the bits of each one, behind what is there.
fn pack(values: &[f32], into: &mut Vec<f32>) {
    let half = |value: f32| u32::from(bf16::from_f32(value).to_bits());
    let both = |low: f32, high: f32| f32::from_bits(half(low) | half(high) << 16);
    let pairs = values.chunks_exact(2);
    let last = pairs.remainder().iter().map(|value| both(*value, 0.0));
    into.extend(pairs.map(|pair| both(pair[0], pair[1])));
    into.extend(last);
}

/// What was packed: these numbers of values, each packed by itself.
fn unpack(packed: &[f32], counts: &[usize]) -> Vec<f32> {
    let mut values = vec![0.0; counts.iter().sum()];
    let (mut from, mut into) = (packed, &mut values[..]);
    for count in counts {
        let (own, others) = from.split_at(Wire::Bf16.packed(*count));
        let (values, rest) = std::mem::take(&mut into).split_at_mut(*count);
        for (pair, both) in values.chunks_mut(2).zip(own) {
            pair[0] = f32::from_bits(both.to_bits() << 16);
            if let [_, high] = pair {
                *high = f32::from_bits(both.to_bits() & 0xffff_0000);
            }
        }
        (from, into) = (others, rest);
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_rounded_to_even_and_nothing_else() {
        let values =
            [1.0, -3.5, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, f32::INFINITY, 1e-40, f32::MAX];
        let mut rounded = values;
        Wire::Bf16.round(&mut rounded);
        assert_eq!(rounded[..4], [1.0, -3.5, 1.0, 1.015_625]);
        for counts in [&[7][..], &[0, 1, 4, 2], &[2, 5]] {
            let (mut packed, mut rest) = (Vec::new(), &values[..]);
            for count in counts {
                pack(&rest[..*count], &mut packed);
                rest = &rest[*count..];
            }
            assert_eq!(packed.len(), Wire::Bf16.all_packed(counts).iter().sum());
            assert_eq!(unpack(&packed, counts), rounded);
        }
        // What is no number stays none, also beside one.
        let mut packed = Vec::new();
        pack(&[f32::NAN, 2.0], &mut packed);
        let found = unpack(&packed, &[2]);
        assert!(found[0].is_nan() && found[1] == 2.0);
        let mut as_it_is = values;
        Wire::F32.round(&mut as_it_is);
        assert_eq!(as_it_is, values);
    }
}
