//! Every random stream of a run, derived from one seed.
//!
//! A stream is named by where it is used (`"augment"`, `"drop_path"`, a parameter's name) and by
//! numbers (epoch, sample, step). Nothing keeps generator state between uses, so results do not
//! depend on the number of workers, and a resumed run needs nothing but its seed and its position.
//!
//! ```
//! use rand::Rng as _;
//! use vitral_seed::Seed;
//!
//! let augment = Seed::new(42).named("augment");
//! // The stream of sample 7 in epoch 3 is the same for whoever asks for it.
//! let first: u32 = augment.indexed(3).indexed(7).rng().random();
//! assert_eq!(first, 1_002_417_524);
//! assert_ne!(first, augment.indexed(3).indexed(8).rng().random());
//! ```

use rand::SeedableRng;
pub use rand_chacha::ChaCha8Rng as Rng;

/// A point in the tree of random streams: the run's seed, or something derived from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(u64);

impl Seed {
    /// The root of all streams of one run.
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x7669_7472_616c_0001))
    }

    /// The seed of a named part of the run, such as `"augment"` or a parameter's name.
    pub fn named(self, name: &str) -> Self {
        // FNV-1a: names are short, and `mix` scatters the result.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mix(self.0 ^ hash))
    }

    /// The seed of the `index`-th thing of its kind: an epoch, a sample, a step, a layer.
    pub const fn indexed(self, index: u64) -> Self {
        Self(mix(self.0.rotate_left(17) ^ mix(index)))
    }

    /// The seed as a number, for a generator that is not ours (a device's, a plugin's).
    pub const fn value(self) -> u64 {
        self.0
    }

    /// A generator at the start of this stream. Its values are the same on every platform.
    pub fn rng(self) -> Rng {
        Rng::seed_from_u64(self.0)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014), with its increment.
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn streams_of_different_places_differ() {
        let root = Seed::new(0);
        let mut seen = HashSet::new();
        for name in ["augment", "drop_path", "blocks.0", "blocks.1"] {
            for epoch in 0..50 {
                for sample in 0..50 {
                    let seed = root.named(name).indexed(epoch).indexed(sample);
                    assert!(seen.insert(seed.value()), "{name} {epoch} {sample} collides");
                }
            }
        }
    }

    /// Changing a derivation would change every run that is being resumed.
    #[test]
    fn derivation_is_stable() {
        use rand::Rng as _;
        let seed = Seed::new(42).named("augment").indexed(3).indexed(7);
        let first: u32 = seed.rng().random();
        assert_eq!((seed.value(), first), (999_722_480_932_660_216, 1_002_417_524));
    }
}
