//! What a worker keeps from image to image, so that memory is not taken anew for each.

use crate::decode::Decoder;
use crate::timing::{Laps, StageClock};

/// Buffers of one worker. What they hold does not matter between images.
pub(crate) struct Scratch {
    /// A file's bytes.
    pub file: Vec<u8>,
    pub decoder: Decoder,
    /// Memory for images between their stages.
    pub pixels: Vec<Vec<u8>>,
    /// What an image was before a plugin changed it.
    pub before: Vec<u8>,
    pub laps: Laps,
}

impl Scratch {
    pub fn new(clock: &StageClock) -> Self {
        Self {
            file: Vec::new(),
            decoder: Decoder::default(),
            pixels: Vec::new(),
            before: Vec::new(),
            laps: clock.laps(),
        }
    }
}
