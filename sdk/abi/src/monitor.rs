//! What monitors ask for.

use crate::plain::RateChange;

/// Counts of a distribution's magnitudes: below 1e-12, each decade up to 1e4, above.
pub const MAGNITUDES: usize = 18;

/// What a monitor asks for.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// A figure for the run's metrics.
    Metric {
        /// Its name, under the monitor's.
        name: String,
        /// Its value.
        value: f64,
    },
    /// Show this to the user.
    Warn(String),
    /// Change the learning rate from the next step on.
    ScaleLearningRate(RateChange),
    /// Save a checkpoint now; the reason.
    Save(String),
    /// Go back to the last checkpoint, and change the learning rate.
    RollBack(RateChange),
    /// End the run after this step; the reason.
    Stop(String),
}
