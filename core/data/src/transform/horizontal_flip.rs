//! Left and right exchanged, at random.

use rand::Rng as _;
use vitral_seed::Rng;

use crate::pixels::Channels;

/// Whether an image is mirrored this time.
pub(super) fn happens(probability: f64, rng: &mut Rng) -> bool {
    rng.random::<f64>() < probability
}

/// Mirrors pixels in rows of `width`.
pub(super) fn flip(pixels: &mut [u8], width: u32, channels: Channels) {
    let width = width as usize;
    match channels {
        Channels::Grey => pixels.chunks_exact_mut(width).for_each(<[u8]>::reverse),
        Channels::Rgb => {
            // Whole pixels are exchanged, so that colours keep their order.
            let (pixels, _) = pixels.as_chunks_mut::<3>();
            pixels.chunks_exact_mut(width).for_each(<[[u8; 3]]>::reverse);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitral_seed::Seed;

    #[test]
    fn rows_are_mirrored_exactly() {
        let mut grey = [1, 2, 3, 4, 5, 6];
        flip(&mut grey, 3, Channels::Grey);
        assert_eq!(grey, [3, 2, 1, 6, 5, 4]);
        let mut colour: [u8; 12] = std::array::from_fn(|at| at as u8 + 1);
        flip(&mut colour, 2, Channels::Rgb);
        assert_eq!(colour, [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
    }

    #[test]
    fn happens_as_often_as_asked() {
        let mut rng = Seed::new(1).rng();
        let mut flips = |probability| (0..2000).filter(|_| happens(probability, &mut rng)).count();
        assert_eq!((flips(0.0), flips(1.0)), (0, 2000));
        assert!(flips(0.25).abs_diff(500) < 80);
    }
}
