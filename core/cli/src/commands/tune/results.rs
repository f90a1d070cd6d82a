//! What the trials of a search came to.

use std::path::{Path, PathBuf};

use serde::Serialize;
use vitral_train::experiment::Metric;

use super::over::{Over, Values};
use crate::{
    commands::{
        report::metrics::{Eval, Metrics},
        run_list::summary::{State, Summary},
    },
    experiment::Loaded,
    failure::Failure,
    progress::duration,
    words::{aligned, counted},
};

/// All trials, in their order.
pub struct Results {
    /// Each field, and whether its values are spread by their magnitude.
    pub fields: Vec<(String, bool)>,
    pub metric: Metric,
    pub trials: Vec<Trial>,
}

/// A trial in figures.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    pub trial: String,
    #[serde(serialize_with = "vitral_config::path_text::serialize")]
    pub run: PathBuf,
    pub values: Vec<(String, String)>,
    /// Where it is; nothing where it could not begin.
    pub state: Option<State>,
    /// Why it failed.
    pub failure: Option<String>,
    /// By which trials are compared: top-1, top-5, or loss.
    pub score: Option<f64>,
    /// The step of that evaluation.
    pub step: Option<u64>,
    pub images_per_second: Option<f64>,
    pub seconds: Option<f64>,
}

impl Trial {
    /// A trial as its folder has it.
    pub fn of(
        trial: String,
        folder: &Path,
        over: &[Over],
        values: &[String],
        metric: Metric,
        failure: Option<String>,
    ) -> Result<Self, Failure> {
        let has_run = folder.join("metrics.jsonl").is_file();
        let found = has_run.then(|| Summary::of(folder)).transpose()?;
        let metrics = has_run.then(|| Metrics::read_any(folder)).transpose()?;
        // A trial that failed is not compared, whatever it had reached.
        let metrics = metrics.filter(|_| failure.is_none());
        let best = metrics.as_ref().and_then(|metrics| best(&metrics.evals, metric));
        Ok(Self {
            trial,
            run: folder.to_owned(),
            values: over
                .iter()
                .map(|over| over.field.clone())
                .zip(values.iter().cloned())
                .collect(),
            state: found.as_ref().map(|found| found.state),
            failure,
            score: best.and_then(|eval| figure(eval, metric)),
            step: best.map(|eval| eval.step),
            images_per_second: found.as_ref().and_then(|found| found.images_per_second),
            seconds: found.and_then(|found| found.seconds),
        })
    }

    /// Its values and its result, in a line.
    pub fn told(&self, metric: Metric) -> String {
        let values: Vec<String> =
            self.values.iter().map(|(field, value)| format!("{field}={value}")).collect();
        let result = match (&self.failure, self.score) {
            (Some(reason), _) => format!("failed: {}", reason.lines().next().unwrap_or_default()),
            (None, Some(score)) => format!("{} {}", name(metric), shown(score, metric)),
            (None, None) if self.state == Some(State::Running) => {
                "another process makes it".to_owned()
            }
            (None, None) => "no evaluation".to_owned(),
        };
        format!("{}  {result}", values.join(" "))
    }
}

impl Results {
    pub fn new(over: &[Over], metric: Metric) -> Self {
        let is_log = |over: &Over| matches!(&over.values, Values::Range(range) if range.is_log);
        let fields = over.iter().map(|over| (over.field.clone(), is_log(over))).collect();
        Self { fields, metric, trials: Vec::new() }
    }

    /// The best first, and those without a score last.
    pub fn ranked(&self) -> Vec<&Trial> {
        let mut ranked: Vec<&Trial> = self.trials.iter().collect();
        let score = |trial: &Trial| trial.score.map_or(f64::NEG_INFINITY, |s| more(s, self.metric));
        ranked.sort_by(|one, other| score(other).total_cmp(&score(one)));
        ranked
    }

    /// The best of those that are over; of equals the first.
    pub fn best(&self) -> Option<&Trial> {
        let mut ranked = self.ranked().into_iter();
        ranked.find(|trial| trial.state == Some(State::Ended) && trial.score.is_some())
    }
}

/// The evaluation that is best by a figure; of equals the first.
fn best(evals: &[Eval], metric: Metric) -> Option<&Eval> {
    let score = |eval: &Eval| figure(eval, metric).map(|figure| more(figure, metric));
    let scored = evals.iter().filter(|eval| score(eval).is_some());
    scored.reduce(|one, other| if score(other) > score(one) { other } else { one })
}

fn figure(eval: &Eval, metric: Metric) -> Option<f64> {
    match metric {
        Metric::Top1 => Some(eval.top1),
        Metric::Top5 => Some(eval.top5),
        Metric::Loss => eval.loss,
    }
}

/// A figure, turned so that more is better.
fn more(figure: f64, metric: Metric) -> f64 {
    if metric == Metric::Loss { -figure } else { figure }
}

pub fn name(metric: Metric) -> &'static str {
    match metric {
        Metric::Top1 => "top-1",
        Metric::Top5 => "top-5",
        Metric::Loss => "loss",
    }
}

pub fn shown(figure: f64, metric: Metric) -> String {
    match metric {
        Metric::Top1 | Metric::Top5 => format!("{:.2}%", 100.0 * figure),
        Metric::Loss => format!("{figure:.4}"),
    }
}

/// The rows of a table, the first of which names the columns.
pub fn rows(results: &Results) -> Vec<Vec<String>> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let fields = results.fields.iter().map(|(field, _)| field.clone());
    let figures = [name(results.metric), "at step", "img/s", "time", "state"].map(str::to_owned);
    let head = std::iter::once("trial".to_owned()).chain(fields).chain(figures).collect();
    let row = |trial: &Trial| -> Vec<String> {
        let values = trial.values.iter().map(|(_, value)| value.clone());
        let state = match (&trial.failure, trial.state) {
            (Some(_), _) => "failed".to_owned(),
            (None, state) => or_none(state.map(|state| state.word().to_owned())),
        };
        let figures = [
            or_none(trial.score.map(|score| shown(score, results.metric))),
            or_none(trial.step.map(|step| step.to_string())),
            or_none(trial.images_per_second.map(|speed| format!("{speed:.0}"))),
            or_none(trial.seconds.map(duration)),
            state,
        ];
        std::iter::once(trial.trial.clone()).chain(values).chain(figures).collect()
    };
    std::iter::once(head).chain(results.ranked().into_iter().map(row)).collect()
}

/// The lines of the table, and why trials failed.
pub fn lines(results: &Results) -> Vec<String> {
    let mut lines = aligned(&rows(results));
    for trial in &results.trials {
        if let Some(reason) = &trial.failure {
            lines.push(format!("{} failed: {reason}", trial.trial));
        }
    }
    lines
}

/// The best trial's experiment as a text that can be trained, in a folder of its own.
pub fn best_experiment(
    experiment: &str,
    best: &Trial,
    results: &Results,
    loaded: &Loaded,
    out: &Path,
) -> Result<String, Failure> {
    let mut found = loaded.experiment.resolved(loaded.experiment.model.classes);
    found.output = out.join("best");
    let on_one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let trials = counted(results.trials.len(), "trial", "trials");
    let score = best.score.map(|score| shown(score, results.metric)).unwrap_or_default();
    let mut text = format!(
        "// The best of {trials} of {}: {}, {} {score}\n",
        on_one_line(experiment),
        best.trial,
        name(results.metric)
    );
    for (field, value) in &best.values {
        text += &format!("//   {field}: {}\n", on_one_line(value));
    }
    Ok(text + &found.to_ron()?)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A search of four trials, of which one failed.
    pub fn example(metric: Metric) -> Results {
        let over = ["train.learning_rate=1e-4..1e-2:log", "model.pool=Mean,ClassToken"];
        let over: Vec<Over> = over.map(|text| text.parse().unwrap()).into();
        let trial = |name: &str, rate: &str, pool: &str, score: Option<f64>| Trial {
            trial: name.into(),
            run: name.into(),
            values: vec![
                ("train.learning_rate".into(), rate.into()),
                ("model.pool".into(), pool.into()),
            ],
            state: Some(State::Ended),
            failure: score.is_none().then(|| "the loss is NaN\nmore".into()),
            score,
            step: score.map(|_| 7),
            images_per_second: Some(10.0),
            seconds: Some(3.0),
        };
        Results {
            trials: vec![
                trial("trial-01", "1e-4", "Mean", Some(0.5)),
                trial("trial-02", "0.001", "ClassToken", Some(0.75)),
                trial("trial-03", "0.01", "Mean", None),
                trial("trial-04", "0.003", "ClassToken", Some(0.25)),
            ],
            ..Results::new(&over, metric)
        }
    }

    #[test]
    fn trials_are_ranked_by_the_figure_that_makes_a_checkpoint_the_best() {
        let names = |metric| -> Vec<String> {
            let results = example(metric);
            results.ranked().iter().map(|trial| trial.trial[6..].to_owned()).collect()
        };
        assert_eq!(names(Metric::Top1), ["02", "01", "04", "03"]);
        assert_eq!(names(Metric::Loss), ["04", "01", "02", "03"]);
        let mut results = example(Metric::Top1);
        results.trials[1].state = Some(State::Stopped);
        assert_eq!(results.best().unwrap().trial, "trial-01");
    }

    #[test]
    fn the_table_has_every_trial_and_why_one_failed() {
        let lines = lines(&example(Metric::Top1));
        assert!(lines[0].starts_with("trial ") && lines[0].contains("model.pool"), "{lines:?}");
        assert!(lines[1].starts_with("trial-02") && lines[1].contains("75.00%"), "{lines:?}");
        assert!(lines[4].contains("failed") && lines[4].contains(" - "), "{lines:?}");
        assert_eq!(lines[5], "trial-03 failed: the loss is NaN\nmore");
    }

    #[test]
    fn the_best_evaluation_is_that_of_the_figure() {
        let eval = |step: u64, top1: f64, loss: Option<f64>| Eval {
            step,
            epoch: 1.0,
            loss,
            top1,
            top5: 1.0,
            images: 4,
            skipped: 0,
        };
        let evals = [eval(1, 0.5, None), eval(2, 0.75, Some(2.0)), eval(3, 0.75, Some(1.0))];
        let step = |metric| best(&evals, metric).unwrap().step;
        assert_eq!([Metric::Top1, Metric::Top5, Metric::Loss].map(step), [2, 1, 3]);
        assert!(best(&evals[..1], Metric::Loss).is_none());
    }
}
