//! How each image is kept: as pixels, which need no decoding, or encoded, which takes less space.

use rayon::prelude::*;

use super::format::{ALIGNMENT, ENTRY, Form, aligned};
use crate::error::{DataError, ReadError};
use crate::pixels::Image;
use crate::source::{Source, Stored};
use crate::transform::resized;

/// What a cache keeps of each image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keep {
    /// Pixels.
    #[default]
    Pixels,
    /// What the source has: an encoded image stays encoded.
    Stored,
    /// Pixels of as many images as fit into so many bytes, smallest cost first; the others stay
    /// encoded.
    Budget(u64),
}

/// Which images become pixels.
pub(super) enum Plan {
    All,
    None,
    Each(Vec<bool>),
}

impl Plan {
    /// Decides for every image. With a budget, this reads each one, and tells `done` of it.
    pub(super) fn make(
        source: &dyn Source,
        keep: Keep,
        max_side: Option<u32>,
        done: &(dyn Fn() + Sync),
    ) -> Result<Self, DataError> {
        let budget = match keep {
            Keep::Pixels => return Ok(Self::All),
            Keep::Stored => return Ok(Self::None),
            Keep::Budget(budget) => budget,
        };
        let costs: Vec<Cost> = (0..source.len())
            .into_par_iter()
            .map(|index| {
                let cost = Cost::of(source, index, max_side);
                done();
                cost
            })
            .collect();
        choose(&costs, budget).map(Self::Each).map_err(|least| {
            let problem = format!(
                "is {budget} bytes, but the images take {least} at least; allow more, or a smaller `max_side`"
            );
            DataError::setting("budget", problem)
        })
    }

    pub(super) fn is_raw(&self, index: usize) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Each(raw) => raw[index],
        }
    }
}

/// Bytes that one image takes in a cache.
#[derive(Clone, Copy)]
struct Cost {
    raw: u64,
    /// Nothing if the source has pixels only.
    encoded: Option<u64>,
}

impl Cost {
    /// What cannot be read costs nothing here; packing reports it.
    fn of(source: &dyn Source, index: usize, max_side: Option<u32>) -> Self {
        let cost = |bytes: u64| aligned(bytes, ALIGNMENT) + ENTRY as u64;
        let mut buffer = Vec::new();
        let Ok(stored) = source.load(index, &mut buffer) else {
            return Self { raw: 0, encoded: None };
        };
        let raw = stored.size().map_or(0, |(width, height, channels)| {
            let (width, height) = limited(width, height, max_side);
            cost(u64::from(width) * u64::from(height) * channels.count() as u64)
        });
        match stored {
            Stored::Encoded(bytes) => Self { raw, encoded: Some(cost(bytes.len() as u64)) },
            Stored::Pixels(_) | Stored::Image(_) => Self { raw, encoded: None },
        }
    }
}

/// Which images become pixels so that all fit into the budget; or the least that they all take.
fn choose(costs: &[Cost], budget: u64) -> Result<Vec<bool>, u64> {
    let extra = |cost: &Cost| cost.encoded.map_or(0, |encoded| cost.raw.saturating_sub(encoded));
    let least: u64 = costs.iter().map(|cost| cost.raw - extra(cost)).sum();
    let mut left = budget.checked_sub(least).ok_or(least)?;
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by_key(|&index| (extra(&costs[index]), index));
    let mut raw = vec![false; costs.len()];
    for index in order {
        let extra = extra(&costs[index]);
        if extra > left {
            break;
        }
        left -= extra;
        raw[index] = true;
    }
    Ok(raw)
}

/// One image as the cache keeps it.
pub(super) struct Packed {
    pub form: Form,
    pub bytes: Vec<u8>,
    pub label: u32,
    pub checksum: u64,
}

impl Packed {
    pub(super) fn make(
        source: &dyn Source,
        index: usize,
        raw: bool,
        max_side: Option<u32>,
    ) -> Result<Self, ReadError> {
        let failed = |reason: String| ReadError { name: source.name(index), reason };
        let mut buffer = Vec::new();
        let (form, bytes) = match source.load(index, &mut buffer)? {
            Stored::Encoded(bytes) if !raw => (Form::Encoded, bytes.to_vec()),
            stored => {
                let image = stored.decode().map_err(|error| failed(error.to_string()))?;
                pixels(image, max_side).map_err(failed)?
            }
        };
        if u32::try_from(bytes.len()).is_err() {
            return Err(failed("it is larger than 4 GiB".into()));
        }
        let checksum = super::format::checksum(&bytes);
        Ok(Self { form, bytes, label: source.label(index), checksum })
    }
}

fn pixels(image: Image, max_side: Option<u32>) -> Result<(Form, Vec<u8>), String> {
    let (width, height) = limited(image.width(), image.height(), max_side);
    let image = resized(image, width, height).map_err(|error| error.to_string())?;
    let side = |side: u32| u16::try_from(side).map_err(|_| format!("it is {side} pixels long"));
    let form = Form::Raw { width: side(width)?, height: side(height)?, channels: image.channels() };
    Ok((form, image.into_pixels()))
}

/// Sides of an image whose longer one is to be at most `most`; the image keeps its shape.
fn limited(width: u32, height: u32, most: Option<u32>) -> (u32, u32) {
    let longer = width.max(height);
    let Some(most) = most.filter(|&most| most < longer) else { return (width, height) };
    // Rounded to the nearest; at most `most`, which is a u32.
    let scale = |side: u32| {
        let scaled =
            (u64::from(side) * u64::from(most) * 2 + u64::from(longer)) / (2 * u64::from(longer));
        scaled.max(1) as u32
    };
    (scale(width), scale(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_side_is_limited() {
        assert_eq!(limited(500, 375, Some(256)), (256, 192));
        assert_eq!(limited(375, 500, Some(256)), (192, 256));
        assert_eq!(limited(100, 90, Some(256)), (100, 90));
        assert_eq!(limited(10_000, 1, Some(100)), (100, 1));
        assert_eq!(limited(500, 375, None), (500, 375));
    }

    #[test]
    fn a_budget_buys_pixels_where_they_cost_least() {
        let cost = |raw, encoded| Cost { raw, encoded };
        let costs = [
            cost(100, Some(20)),
            cost(50, Some(40)),
            cost(30, None),
            cost(10, Some(15)),
            cost(60, Some(30)),
        ];
        // At least 20 + 40 + 30 + 10 + 30; pixels cost 80, 10, 0, 0 and 30 more.
        assert_eq!(choose(&costs, 129), Err(130));
        assert_eq!(choose(&costs, 130).unwrap(), [false, false, true, true, false]);
        assert_eq!(choose(&costs, 140).unwrap(), [false, true, true, true, false]);
        assert_eq!(choose(&costs, 249).unwrap(), [false, true, true, true, true]);
        assert_eq!(choose(&costs, 250).unwrap(), [true; 5]);
    }
}
