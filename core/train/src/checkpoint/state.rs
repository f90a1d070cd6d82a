//! `state.ron`: what a run needs beside its tensors to go on, and what of it can be.

use std::{
    fmt::Display,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use vitral_data::{Decoder, Fingerprints};
use vitral_model::config::LayerSize;

use super::{
    manager,
    names::{FORMAT, STATE},
};
use crate::{
    experiment::Experiment,
    loss_scale::LossScale,
    micro_batch::MicroBatch,
    monitor_use::{MonitorUse, RATE_SCALES},
    place::Place,
};

/// More steps, batches or images than any run has; `f64` counts this far.
const MOST: u64 = 1 << 53;
/// Seconds of training: 30,000 years.
const SECONDS: RangeInclusive<f64> = 0.0..=1e12;

/// What a run needs beside its tensors to go on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The format of the checkpoint.
    pub format: u32,
    /// Steps made.
    pub step: u64,
    /// Where the run is in its data; a model alone is nowhere, and older checkpoints do not say.
    #[serde(default)]
    pub place: Option<Place>,
    /// The run's folder when this was written, from the root.
    #[serde(default, with = "vitral_config::path_text::option")]
    pub folder: Option<PathBuf>,
    /// The best score so far (more is better), and its step.
    pub best: Option<(f64, u64)>,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Training images left out so far because they could not be read.
    pub skipped: u64,
    /// Class names, in the order of the logits.
    pub class_names: Vec<String>,
    /// What monitors have made of the scheduled learning rate, as a factor.
    #[serde(default = "unchanged")]
    pub rate_scale: f64,
    /// Where the loss scale is, of a run in `f16`.
    #[serde(default)]
    pub loss_scale: Option<LossScale>,
    /// Steps that were skipped because their gradients overflowed.
    #[serde(default)]
    pub skipped_steps: u64,
    /// What the data was; older checkpoints do not say.
    #[serde(default)]
    pub data: Option<Fingerprints>,
    /// What tells the teacher from any other model, where the run has one.
    #[serde(default)]
    pub teacher: Option<String>,
    /// What monitors have had of what they can have in a run.
    #[serde(default)]
    pub monitors: MonitorUse,
    /// The micro-batch, where the experiment leaves it open and one was found.
    #[serde(default)]
    pub micro_batch: Option<MicroBatch>,
    /// The decoder of training images, where the experiment leaves it open and one was found.
    #[serde(default)]
    pub decoder: Option<Decoder>,
    /// The model's `layers` that the run began with, where they were pruned since.
    #[serde(default)]
    pub begun_with: Option<Vec<LayerSize>>,
}

fn unchanged() -> f64 {
    1.0
}

impl State {
    /// The experiment that a run began with, of which layers may have been pruned since.
    pub fn begun(&self, experiment: &Experiment) -> Experiment {
        let mut begun = experiment.clone();
        if let Some(layers) = &self.begun_with {
            begun.model.layers.clone_from(layers);
        }
        begun
    }

    /// The names of a model's classes, as many as it has: where the data had fewer, the others are called
    /// by their numbers. None where no class has a name.
    pub fn class_names_of(&self, classes: usize) -> Vec<String> {
        let mut names = self.class_names.clone();
        if !names.is_empty() {
            names.extend((names.len()..classes).map(|number| number.to_string()));
        }
        names
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            format: FORMAT,
            step: 0,
            place: None,
            folder: None,
            best: None,
            seconds: 0.0,
            skipped: 0,
            class_names: Vec::new(),
            rate_scale: unchanged(),
            loss_scale: None,
            skipped_steps: 0,
            data: None,
            teacher: None,
            monitors: MonitorUse::default(),
            micro_batch: None,
            decoder: None,
            begun_with: None,
        }
    }
}

impl State {
    /// Makes sure that these are values which a run can have, of a checkpoint in this folder.
    ///
    /// # Errors
    /// The first one that it cannot, and what would be right.
    pub(super) fn check(&self, folder: &Path) -> Result<(), String> {
        // A model alone may be called whatever one likes.
        let step = manager::step_of(folder).filter(|_| self.place.is_some());
        if let Some(step) = step.filter(|step| *step != self.step) {
            return Err(format!(
                "{STATE} is of step {}, but the folder's name is of step {step}; its name should \
                 be {}",
                self.step,
                manager::name_of(self.step)
            ));
        }
        let good_steps = self.loss_scale.map_or(0, |scale| scale.good_steps);
        let Place { batch, images, batches } =
            self.place.unwrap_or(Place { batch: 1, images: 1, batches: 0 });
        for (name, count, range) in [
            ("format", self.format.into(), 1..=FORMAT.into()),
            ("step", self.step, 0..=MOST),
            ("place.batch", batch as u64, 1..=MOST),
            ("place.images", images as u64, 1..=MOST),
            ("place.batches", batches, 0..=MOST),
            ("skipped", self.skipped, 0..=MOST),
            ("skipped_steps", self.skipped_steps, 0..=self.step),
            ("best.1", self.best.map_or(0, |(_, step)| step), 0..=self.step),
            ("loss_scale.good_steps", good_steps, 0..=MOST),
        ] {
            if !range.contains(&count) {
                return Err(beyond(name, count, &range));
            }
        }
        let scale =
            self.loss_scale.map(|scale| ("loss_scale.scale", scale.scale, LossScale::RANGE));
        let best = self.best.map(|(score, _)| ("best.0", score, f64::NEG_INFINITY..=f64::INFINITY));
        let numbers =
            [("seconds", self.seconds, SECONDS), ("rate_scale", self.rate_scale, RATE_SCALES)];
        for (name, value, range) in numbers.into_iter().chain(scale).chain(best) {
            // Which what is no number is in none of.
            if !range.contains(&value) {
                return Err(beyond(name, value, &range));
            }
        }
        if self.micro_batch.as_ref().is_some_and(|micro_batch| !micro_batch.is_possible()) {
            return Err(format!(
                "{STATE}: `micro_batch` has impossible sizes: each must be from 1 to the batch's"
            ));
        }
        Ok(())
    }
}

fn beyond<T: Display>(name: &str, value: T, range: &RangeInclusive<T>) -> String {
    let (least, most) = (range.start(), range.end());
    format!("{STATE}: `{name}` is {value}, and must be from {least} to {most}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_from_before_loss_scales_are_read() {
        let text = r#"(format: 1, step: 7, best: Some((0.5, 6)), seconds: 1.5, skipped: 0, class_names: ["a"])"#;
        let state: State = ron::from_str(text).unwrap();
        assert_eq!((state.step, state.loss_scale, state.skipped_steps), (7, None, 0));
        assert_eq!((state.place, &state.folder), (None, &None));
        assert_eq!(state.check(Path::new("runs/a/checkpoints/step-00000007")), Ok(()));
    }

    #[test]
    fn values_that_no_run_has_are_refused_by_name() {
        let place = Place { batch: 4, images: 36, batches: 7 };
        let scale = LossScale { scale: 1024.0, good_steps: 3 };
        let state = || State {
            step: 7,
            best: Some((0.5, 6)),
            place: Some(place),
            loss_scale: Some(scale),
            ..State::default()
        };
        let folder = Path::new("runs/a/checkpoints/step-00000007");
        assert_eq!(state().check(folder), Ok(()));
        assert_eq!(state().check(Path::new("best-of-all")), Ok(()));
        let refused = |change: fn(&mut State)| {
            let mut state = state();
            change(&mut state);
            state.check(Path::new("a")).unwrap_err()
        };
        for (said, part) in [
            (refused(|state| state.step = u64::MAX), "`step` is 18446744073709551615"),
            (refused(|state| state.format = 0), "`format` is 0"),
            (refused(|state| state.rate_scale = f64::NAN), "`rate_scale` is NaN"),
            (refused(|state| state.rate_scale = 0.0), "from 0.000000000001 to 1000000000000"),
            (refused(|state| state.seconds = -1.0), "`seconds` is -1"),
            (refused(|state| state.seconds = f64::INFINITY), "`seconds` is inf"),
            (refused(|state| state.best = Some((f64::NAN, 6))), "`best.0` is NaN"),
            (
                refused(|state| state.best = Some((0.5, 8))),
                "`best.1` is 8, and must be from 0 to 7",
            ),
            (refused(|state| state.skipped_steps = 8), "`skipped_steps` is 8"),
            (refused(|state| state.place.as_mut().unwrap().batch = 0), "`place.batch` is 0"),
            (refused(|state| state.place.as_mut().unwrap().images = 0), "`place.images` is 0"),
            (
                refused(|state| state.loss_scale.as_mut().unwrap().scale = 0.0),
                "`loss_scale.scale` is 0",
            ),
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let renamed = state().check(Path::new("step-00000012")).unwrap_err();
        assert!(renamed.contains("of step 7") && renamed.contains("step-00000007"), "{renamed}");
    }
}
