//! Randomness that is the same in every run, on every machine, in both builds of a plugin.

use rand::SeedableRng;
use vitral_abi::Sample;

/// The generator of random numbers. Bring [`rand::Rng`](trait@rand::Rng) into scope to draw.
pub type Rng = rand_chacha::ChaCha8Rng;

/// What the SDK adds to a [`Sample`].
pub trait SampleExt {
    /// A generator from the sample's seed: the same sample gives the same numbers.
    fn rng(&self) -> Rng;
}

impl SampleExt for Sample {
    fn rng(&self) -> Rng {
        Rng::seed_from_u64(self.seed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng as _;

    #[test]
    fn a_seed_gives_these_numbers_for_ever() {
        let sample = Sample { seed: 7, epoch: 0, size: 0 };
        let draw = || -> [u32; 3] { sample.rng().random() };
        assert_eq!(draw(), draw());
        assert_eq!(draw(), [601_310_139, 677_729_076, 781_920_570]);
    }
}
