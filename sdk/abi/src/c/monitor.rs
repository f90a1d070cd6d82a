//! Steps and actions, which have another shape in C.

use super::form::form;
use super::{Memory, Text, Timings};

/// One optimizer step. Loss, accuracy and gradient norm are NaN on steps that are not logged, which
/// `has_figures` tells.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Step {
    /// Steps made, this one included.
    pub step: u64,
    /// Epochs made.
    pub epoch: f64,
    /// Images of the step.
    pub images: u32,
    /// 1 if loss, accuracy and gradient norm are known.
    pub has_figures: u32,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Mean loss of the batch.
    pub loss: f64,
    /// Share of the batch that was classified right.
    pub accuracy: f64,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Where the time went.
    pub timings: Timings,
    /// Memory in use.
    pub memory: Memory,
}

/// `Action::tag`: a figure for the run's metrics, `text` its name and `number` its value.
pub const METRIC: u32 = 0;
/// Show `text` to the user.
pub const WARN: u32 = 1;
/// Multiply the learning rate by `number`, because of `text`.
pub const SCALE_LEARNING_RATE: u32 = 2;
/// Save a checkpoint, because of `text`.
pub const SAVE: u32 = 3;
/// Go back to the last checkpoint and multiply the learning rate by `number`, because of `text`.
pub const ROLL_BACK: u32 = 4;
/// End the run after this step, because of `text`.
pub const STOP: u32 = 5;

/// What a monitor asks for.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Action {
    /// `METRIC` to `STOP`.
    pub tag: u32,
    /// See the tags.
    pub text: Text,
    /// See the tags.
    pub number: f64,
}

form!(Step, Action);
