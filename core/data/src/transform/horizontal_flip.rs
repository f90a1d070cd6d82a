//! Left and right exchanged, at random.

use rand::Rng as _;
use vitral_seed::Rng;

use crate::pixels::{Channels, Image};

pub(super) fn apply(image: Image, probability: f64, rng: &mut Rng) -> Image {
    if rng.random::<f64>() < probability { flip(image) } else { image }
}

fn flip(mut image: Image) -> Image {
    let channels = image.channels();
    let row_length = image.width() as usize * channels.count();
    for row in image.pixels_mut().chunks_exact_mut(row_length) {
        row.reverse();
        if channels == Channels::Rgb {
            // Reversing bytes reversed the order of colours as well.
            row.chunks_exact_mut(3).for_each(|pixel| pixel.swap(0, 2));
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitral_seed::Seed;

    #[test]
    fn rows_are_mirrored_exactly() {
        let grey = Image::new(3, 2, Channels::Grey, vec![1, 2, 3, 4, 5, 6]).unwrap();
        assert_eq!(flip(grey).pixels(), [3, 2, 1, 6, 5, 4]);
        let colour = Image::new(2, 2, Channels::Rgb, (1..=12).collect()).unwrap();
        assert_eq!(flip(colour).pixels(), [4, 5, 6, 1, 2, 3, 10, 11, 12, 7, 8, 9]);
    }

    #[test]
    fn happens_as_often_as_asked() {
        let mut rng = Seed::new(1).rng();
        let image = Image::new(2, 1, Channels::Grey, vec![0, 1]).unwrap();
        let mut flips = |probability| {
            let results = (0..2000).map(|_| apply(image.clone(), probability, &mut rng));
            results.filter(|result| *result != image).count()
        };
        assert_eq!((flips(0.0), flips(1.0)), (0, 2000));
        assert!(flips(0.25).abs_diff(500) < 80);
    }
}
