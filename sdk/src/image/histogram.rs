//! Changes that follow from how often each value occurs.

use super::chunks::each_color;
use super::table::apply;

/// How often each value occurs in one channel.
pub fn histogram(pixels: &[u8], channels: usize, channel: usize) -> [u32; 256] {
    match channels {
        3 => histograms::<3>(pixels)[channel],
        _ => histograms::<1>(pixels)[0],
    }
}

/// How often each value occurs, for each channel.
fn histograms<const C: usize>(pixels: &[u8]) -> [[u32; 256]; C] {
    // Several counters each, so that one increment need not wait for the one before.
    let mut counts = [[[0_u32; 256]; C]; 4];
    let (steps, rest) = pixels.as_chunks::<C>().0.as_chunks::<8>();
    for step in steps {
        for (index, pixel) in step.iter().enumerate() {
            for (counts, &value) in counts[index % 4].iter_mut().zip(pixel) {
                counts[usize::from(value)] += 1;
            }
        }
    }
    for pixel in rest {
        for (counts, &value) in counts[0].iter_mut().zip(pixel) {
            counts[usize::from(value)] += 1;
        }
    }
    std::array::from_fn(|channel| {
        std::array::from_fn(|value| counts.iter().map(|counts| counts[channel][value]).sum())
    })
}

/// Pillow's `ImageOps.autocontrast`: stretches each channel from its darkest to its lightest value.
pub fn autocontrast(pixels: &mut [u8], channels: usize) {
    each_channel(pixels, channels, |histogram| {
        let low = histogram.iter().position(|&count| count > 0)?;
        let high = histogram.iter().rposition(|&count| count > 0)?;
        if high <= low {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        // The cast cuts off what is beyond.
        Some(std::array::from_fn(|value| (value as f64 * scale + offset) as u8))
    });
}

/// Pillow's `ImageOps.equalize`: spreads each channel's values evenly.
pub fn equalize(pixels: &mut [u8], channels: usize) {
    each_channel(pixels, channels, |histogram| {
        let last = histogram.iter().rposition(|&count| count > 0)?;
        let used = histogram.iter().filter(|&&count| count > 0).count();
        let sum: u32 = histogram.iter().sum();
        let step = (sum - histogram[last]) / 255;
        if used <= 1 || step == 0 {
            return None;
        }
        let mut level = step / 2;
        Some(std::array::from_fn(|value| {
            let entry = (level / step).min(255) as u8;
            level += histogram[value];
            entry
        }))
    });
}

/// Changes each channel by the table that its histogram gives.
fn each_channel(
    pixels: &mut [u8],
    channels: usize,
    table: impl Fn(&[u32; 256]) -> Option<[u8; 256]>,
) {
    if channels == 1 {
        if let Some(table) = table(&histogram(pixels, 1, 0)) {
            apply(pixels, &table);
        }
        return;
    }
    let identity = || std::array::from_fn(|value| value as u8);
    let tables =
        histograms::<3>(pixels).map(|histogram| table(&histogram).unwrap_or_else(identity));
    each_color(pixels, |color| {
        for (value, table) in color.iter_mut().zip(&tables) {
            *value = table[usize::from(*value)];
        }
    });
}
