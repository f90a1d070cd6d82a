//! The figures of one run.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Serialize, Serializer};
use vitral_config::path_text;
use vitral_train::{Experiment, is_running};

use crate::{
    commands::report::metrics::{Eval, Metrics, Step},
    experiment::Loaded,
    failure::Failure,
};

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// A process trains it.
    Running,
    /// It is over.
    Ended,
    /// It was stopped, or failed, and may go on.
    Stopped,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ended => "ended",
            Self::Stopped => "stopped",
        }
    }
}

/// A run in figures.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Its folder.
    #[serde(serialize_with = "path")]
    pub run: PathBuf,
    pub state: State,
    /// Why it has ended, in a word or in a monitor's.
    pub ended_by: Option<String>,
    /// Steps made, as far as they were logged.
    pub step: u64,
    pub epoch: f64,
    /// Its length, of which the experiment gives one or the other.
    pub steps: Option<u64>,
    pub epochs: Option<f64>,
    /// The evaluation that recognised most.
    pub best: Option<Evaluated>,
    /// The one with the lowest loss.
    pub lowest_loss: Option<Evaluated>,
    /// The highest of the schedule.
    pub learning_rate: Option<f64>,
    /// The median of the logged steps.
    pub images_per_second: Option<f64>,
    /// Time of the steps.
    pub seconds: Option<f64>,
    /// Its values of the fields in which the runs that are shown differ.
    pub differs: BTreeMap<String, String>,
}

/// An evaluation in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluated {
    pub step: u64,
    pub epoch: f64,
    pub top1: f64,
    pub top5: f64,
    pub loss: Option<f64>,
}

impl From<&Eval> for Evaluated {
    fn from(eval: &Eval) -> Self {
        let Eval { step, epoch, top1, top5, loss, .. } = *eval;
        Self { step, epoch, top1, top5, loss }
    }
}

/// A path need not be Unicode.
fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    path_text::serialize(path, serializer)
}

impl Summary {
    /// The figures of the run in a folder.
    ///
    /// # Errors
    /// Its metrics cannot be read.
    pub fn of(run: &Path) -> Result<Self, Failure> {
        let metrics = Metrics::read_any(run)?;
        // A newer version's experiment may not be understood, and its figures are.
        let experiment = Loaded::read(&run.join("config.ron"), &[]).ok();
        let experiment = experiment.map(|loaded| loaded.experiment);
        Ok(Self::from(run, &metrics, experiment.as_ref(), is_running(run)))
    }

    fn from(
        run: &Path,
        metrics: &Metrics,
        experiment: Option<&Experiment>,
        is_running: bool,
    ) -> Self {
        let logged = metrics.steps.last().map(|step| (step.step, step.epoch));
        let evaluated = metrics.evals.last().map(|eval| (eval.step, eval.epoch));
        let newest = logged.into_iter().chain(evaluated).max_by_key(|(step, _)| *step);
        let (step, epoch) = newest.unwrap_or_default();
        let train = experiment.map(|experiment| &experiment.train);
        let steps = train.and_then(|train| train.steps);
        let epochs = train.filter(|train| train.steps.is_none()).map(|train| train.epochs);
        let is_over = metrics.end.is_some() || has_all(step, epoch, steps, epochs);
        let lowest = metrics.evals.iter().filter(|eval| eval.loss.is_some());
        let lowest = lowest.reduce(|one, other| if other.loss < one.loss { other } else { one });
        let told = metrics.steps.iter().any(|step| step.data.is_some());
        Self {
            run: run.to_owned(),
            state: match (is_running, is_over) {
                (true, _) => State::Running,
                (false, true) => State::Ended,
                (false, false) => State::Stopped,
            },
            ended_by: metrics.end.as_ref().map(|end| end.reason.clone()),
            step,
            epoch,
            steps,
            epochs,
            best: metrics.best().map(Evaluated::from),
            lowest_loss: lowest.map(Evaluated::from),
            learning_rate: train.map(|train| train.learning_rate),
            images_per_second: median(&metrics.steps),
            seconds: metrics.data().filter(|_| told).map(|data| data.seconds),
            differs: BTreeMap::new(),
        }
    }
}

/// Whether a run of this length has made all its steps, for metrics that do not say. Epochs come to whole steps,
/// so that up to half of one may be missing.
fn has_all(step: u64, epoch: f64, steps: Option<u64>, epochs: Option<f64>) -> bool {
    let step_in_epochs = epoch / step.max(1) as f64;
    step > 0
        && (steps.is_some_and(|steps| step >= steps)
            || epochs.is_some_and(|epochs| epoch + 0.5 * step_in_epochs >= epochs))
}

fn median(steps: &[Step]) -> Option<f64> {
    let mut speeds: Vec<f64> = steps.iter().map(|step| step.images_per_second).collect();
    speeds.sort_by(f64::total_cmp);
    speeds.get(speeds.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(evals: &[(u64, f64, f64)], end: bool) -> Metrics {
        let eval = |&(step, top1, loss): &(u64, f64, f64)| {
            serde_json::json!({
                "kind": "eval", "step": step, "epoch": step as f64 / 10.0, "loss": loss,
                "top1": top1, "top5": 1.0, "images": 8,
            })
        };
        let end = end.then(|| serde_json::json!({ "kind": "end", "step": 20, "reason": "m: so" }));
        let lines = evals.iter().map(eval).chain(end);
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("metrics.jsonl"), text).unwrap();
        Metrics::read_any(folder.path()).unwrap()
    }

    fn experiment(train: &str) -> Experiment {
        let text = format!(
            r#"(data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])), train: ({train}))"#
        );
        vitral_config::Document::new("test", text).parse().unwrap()
    }

    #[test]
    fn a_run_is_over_where_it_says_so_or_has_all_its_steps() {
        let state = |train: &str, end: bool, is_running: bool| {
            let metrics = metrics(&[(10, 0.5, 2.0), (20, 0.4, 1.0)], end);
            Summary::from(Path::new("r"), &metrics, Some(&experiment(train)), is_running).state
        };
        assert_eq!(state("epochs: 3", true, false), State::Ended);
        assert_eq!(state("epochs: 3", true, true), State::Running);
        assert_eq!(state("epochs: 3", false, false), State::Stopped);
        assert_eq!(state("epochs: 2.04", false, false), State::Ended);
        assert_eq!(state("steps: 21", false, false), State::Stopped);
        assert_eq!(state("steps: 20", false, false), State::Ended);
    }

    #[test]
    fn a_run_without_metrics_has_no_figures() {
        let found = Summary::from(Path::new("r"), &metrics(&[], false), None, false);
        assert_eq!((found.state, found.step, found.best), (State::Stopped, 0, None));
        assert_eq!((found.images_per_second, found.seconds), (None, None));
    }

    #[test]
    fn the_best_evaluation_and_that_of_the_lowest_loss_are_told() {
        let metrics = metrics(&[(10, 0.5, 2.0), (20, 0.4, 1.0)], true);
        let found = Summary::from(Path::new("r"), &metrics, None, false);
        assert_eq!(found.ended_by.as_deref(), Some("m: so"));
        assert_eq!((found.step, found.best.unwrap().step), (20, 10));
        assert_eq!(found.lowest_loss.unwrap().step, 20);
    }
}
