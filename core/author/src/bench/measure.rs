//! Figures of repeated measurements.

use std::time::Duration;

/// Repeated measurements of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Half of them are shorter.
    pub median: Duration,
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

impl Spread {
    /// The figures of some measurements; zero if there are none.
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        let at = |index: usize| times.get(index).copied().unwrap_or_default();
        let last = times.len().saturating_sub(1);
        let median = (at(last / 2) + at(last.div_ceil(2))) / 2;
        Self { median, least: at(0), most: at(last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        for (times, median) in [(&[][..], 0), (&[3], 3), (&[5, 1], 3), (&[9, 1, 2], 2)] {
            let times: Vec<_> = times.iter().map(|&time| Duration::from_millis(time)).collect();
            let spread = Spread::of(times.clone());
            assert_eq!(spread.median, Duration::from_millis(median));
            let (least, most) = (times.iter().min().copied(), times.iter().max().copied());
            assert_eq!(
                (spread.least, spread.most),
                (least.unwrap_or_default(), most.unwrap_or_default())
            );
        }
    }
}
