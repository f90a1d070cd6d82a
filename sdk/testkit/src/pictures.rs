//! Pictures to augment.

use vitral_sdk::Picture;
use vitral_sdk::rand::RngCore as _;
use vitral_seed::Seed;

/// Every pixel has this value.
pub fn flat(width: u32, height: u32, channels: u32, value: u8) -> Picture {
    Picture::new(width, height, channels, vec![value; bytes(width, height, channels)])
}

/// Bytes that differ by seed.
pub fn noise(width: u32, height: u32, channels: u32, seed: u64) -> Picture {
    let mut pixels = vec![0; bytes(width, height, channels)];
    Seed::new(seed).named("picture").rng().fill_bytes(&mut pixels);
    Picture::new(width, height, channels, pixels)
}

/// Brighter towards the right and the bottom, each channel in its own way: a pixel tells where it
/// comes from.
pub fn ramp(width: u32, height: u32, channels: u32) -> Picture {
    let pixel = |y: u32, x: u32, channel: u32| {
        let across = x * 255 / width.max(1);
        let down = y * 255 / height.max(1);
        match channel {
            0 => across,
            1 => down,
            _ => (across + down) / 2,
        }
        .min(255) as u8
    };
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    let pixels = rows.flat_map(|(y, x)| (0..channels).map(move |channel| pixel(y, x, channel)));
    Picture::new(width, height, channels, pixels.collect::<Vec<_>>())
}

fn bytes(width: u32, height: u32, channels: u32) -> usize {
    width as usize * height as usize * channels as usize
}
