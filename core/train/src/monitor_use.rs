//! What monitors may do to a run in all, however often they ask. What they may ask for at once, the host
//! limits.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::experiment::HIGHEST_LEARNING_RATE;

/// How often monitors may take a run back to a checkpoint: a run that goes back without end does not end.
const ROLL_BACKS: u64 = 100;
/// How much monitors may say.
const NOTICES: u64 = 10_000;
/// Bytes of figures that monitors may have noted in the metrics, which would else fill the disk.
const FIGURE_BYTES: u64 = 4 << 30;
/// What monitors can make of the learning rate, as a factor.
pub(crate) const RATE_SCALES: RangeInclusive<f64> = 1e-12..=1e12;

/// What monitors have had of what they can have in a run; kept in its checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MonitorUse {
    roll_backs: u64,
    notices: u64,
    figure_bytes: u64,
}

/// Whether something more can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Some,
    /// It was there until now, which the user is to know.
    NoLonger,
    None,
}

impl MonitorUse {
    /// Takes the run back once more.
    ///
    /// # Errors
    /// That was the last time, in words.
    pub(crate) fn roll_back(&mut self) -> Result<(), String> {
        if self.roll_backs >= ROLL_BACKS {
            return Err(format!(
                "the run has gone back {ROLL_BACKS} times, and will not do so again"
            ));
        }
        self.roll_backs += 1;
        Ok(())
    }

    /// Says one thing more.
    pub(crate) fn notice(&mut self) -> Left {
        take(&mut self.notices, 1, NOTICES)
    }

    /// Notes a figure of so many bytes.
    pub(crate) fn figure(&mut self, bytes: u64) -> Left {
        take(&mut self.figure_bytes, bytes, FIGURE_BYTES)
    }

    /// What the user hears when monitors have said as much as they may.
    pub(crate) fn last_notice() -> String {
        format!("monitors have sent {NOTICES} messages; further ones are neither shown nor kept")
    }

    /// What the user hears when monitors have noted as many figures as they may.
    pub(crate) fn last_figure() -> String {
        let gib = FIGURE_BYTES >> 30;
        format!("monitors have recorded {gib} GiB of figures; further ones are not kept")
    }
}

fn take(taken: &mut u64, more: u64, most: u64) -> Left {
    let before = *taken;
    *taken = before.saturating_add(more);
    match (*taken > most, before > most) {
        (false, _) => Left::Some,
        (true, false) => Left::NoLonger,
        (true, true) => Left::None,
    }
}

/// The scale of the learning rate, whose highest is `peak` without it, after a change by a factor.
///
/// # Errors
/// The factor is none, or leads too far, in words.
pub(crate) fn scaled(scale: f64, factor: f64, peak: f64) -> Result<f64, String> {
    let refused = |why: String| {
        Err(format!(
            "{factor} times the learning rate is refused; it stays {scale} of the schedule's: {why}"
        ))
    };
    if !(factor.is_finite() && factor > 0.0) {
        return refused("a factor must be a number above 0".into());
    }
    let changed = scale * factor;
    if !RATE_SCALES.contains(&changed) {
        let (least, most) = (RATE_SCALES.start(), RATE_SCALES.end());
        return refused(format!("it can become {least:e} to {most:e} of the schedule's"));
    }
    let highest = changed * peak;
    if factor > 1.0 && highest > HIGHEST_LEARNING_RATE {
        return refused(format!(
            "it would be up to {highest:e}, and can be {HIGHEST_LEARNING_RATE} at most"
        ));
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_back_so_often_and_no_more() {
        let mut used = MonitorUse::default();
        (0..ROLL_BACKS).for_each(|_| used.roll_back().unwrap());
        assert!(used.roll_back().unwrap_err().contains("100 times"));
        // That is kept while the run is interrupted.
        let mut kept: MonitorUse = ron::from_str(&ron::to_string(&used).unwrap()).unwrap();
        assert!(kept.roll_back().is_err());
    }

    #[test]
    fn what_is_used_up_is_told_once() {
        let mut used = MonitorUse { notices: NOTICES - 1, ..MonitorUse::default() };
        let found = [used.notice(), used.notice(), used.notice()];
        assert_eq!(found, [Left::Some, Left::NoLonger, Left::None]);
        let mut used = MonitorUse { figure_bytes: FIGURE_BYTES - 10, ..MonitorUse::default() };
        let found = [used.figure(10), used.figure(u64::MAX), used.figure(1)];
        assert_eq!(found, [Left::Some, Left::NoLonger, Left::None]);
    }

    #[test]
    fn factors_that_are_none_or_lead_too_far_change_nothing() {
        assert_eq!(scaled(0.5, 0.5, 1e-3), Ok(0.25));
        for factor in [f64::NAN, f64::INFINITY, 0.0, -2.0] {
            let refused = scaled(0.5, factor, 1e-3).unwrap_err();
            assert!(refused.contains("stays 0.5 of the schedule's"), "{refused}");
            assert!(refused.contains("a number above 0"), "{refused}");
        }
        for factor in [1e308, 1e-308] {
            assert!(scaled(1.0, factor, 1e-3).unwrap_err().contains("1e-12 to 1e12"));
        }
        assert!(scaled(1.0, 1e6, 1e-3).unwrap_err().contains("up to 1e3, and can be 100 at most"));
        assert_eq!(scaled(1e6, 0.1, 1.0), Ok(1e5), "down it can always go");
    }
}
