//! What is to be logged of a run, and what the server has of it.

use std::collections::VecDeque;
use std::str::FromStr;

use serde_json::Value;
use vitral_sdk::{
    Configuration, Evaluation, Run, Step,
    prelude::*,
    state::{Reader, Writer},
};

use crate::api::{self, Request, Said};

/// First line of the state.
const HEADER: &str = "mlflow 1";

/// What the figures of a step are called, in their order, as in TensorBoard.
const OF_STEPS: &[&str] = &[
    "train/loss",
    "train/accuracy",
    "train/gradient_norm",
    "train/learning_rate",
    "train/images_per_second",
];
/// And those of an evaluation.
const OF_EVALUATIONS: &[&str] = &["val/loss", "val/top1", "val/top5"];

/// How a run is, as MLflow says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Finished,
    Failed,
    Killed,
}

impl Status {
    /// How a run ended that gives this reason.
    pub fn of(reason: &str) -> Self {
        match reason {
            "interrupted" => Self::Killed,
            _ if reason.starts_with("failed: ") => Self::Failed,
            _ => Self::Finished,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }
}

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Metric<'m> {
    pub name: &'m str,
    pub value: f64,
    pub time: u64,
    pub step: u64,
}

/// The figures of a step or of an evaluation.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    names: &'static [&'static str],
    step: u64,
    /// When it was made, in milliseconds since 1970.
    time: u64,
    values: Vec<f64>,
}

impl Point {
    fn metrics(&self) -> impl Iterator<Item = Metric<'_>> {
        let (time, step) = (self.time, self.step);
        let values = self.names.iter().zip(&self.values);
        values.map(move |(name, &value)| Metric { name, value, time, step })
    }

    /// In the state: `step:time:values`.
    fn text(&self) -> String {
        let values: String = self.values.iter().map(|value| format!(":{value}")).collect();
        format!("{}:{}{values}", self.step, self.time)
    }

    fn parse(names: &'static [&'static str], text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (step, time) = (number(parts.next())?, number(parts.next())?);
        let values: Option<Vec<f64>> = parts.map(|part| number(Some(part))).collect();
        let values = values.filter(|values| values.len() == names.len())?;
        Some(Self { names, step, time, values })
    }
}

fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text?.parse().ok()
}

/// What the server is asked for, and what becomes of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    FindExperiment,
    CreateExperiment,
    CreateRun,
    GoOn,
    /// So many parameters.
    Parameters(usize),
    /// So many points.
    Points(usize),
    End,
}

/// What is to be logged, and what the server has.
#[derive(Debug)]
pub(crate) struct Book {
    experiment: String,
    run: String,
    keep: usize,
    /// When the run started.
    started: Option<u64>,
    /// Whether it was heard that it did, or went on, since this was made.
    is_here: bool,
    /// Whether the run was known to the server when it started here.
    goes_on: bool,
    /// There is none of the experiment's name.
    is_absent: bool,
    experiment_id: Option<String>,
    run_id: Option<String>,
    /// Those that the server does not have; none before they are known.
    parameters: Option<VecDeque<(String, String)>>,
    /// What the run says of itself before its experiment is known.
    own: Vec<(String, String)>,
    points: VecDeque<Point>,
    /// Points that were dropped or refused.
    lost: u64,
    ended: Option<(Status, u64)>,
    /// Whether the user knows that something is wrong with the server.
    is_told: bool,
    /// Why the server will not have the run, if that is so.
    refusal: Option<String>,
}

impl Book {
    pub fn new(experiment: String, run: String, keep: usize) -> Self {
        Self {
            experiment,
            run,
            keep,
            started: None,
            is_here: false,
            goes_on: false,
            is_absent: false,
            experiment_id: None,
            run_id: None,
            parameters: None,
            own: Vec::new(),
            points: VecDeque::new(),
            lost: 0,
            ended: None,
            is_told: false,
            refusal: None,
        }
    }

    /// Training starts, or goes on.
    pub fn start(&mut self, run: &Run, now: u64) {
        // It starts again as another model, once it is pruned.
        if std::mem::replace(&mut self.is_here, true) {
            return;
        }
        self.started.get_or_insert(now);
        self.goes_on = self.run_id.is_some();
        self.is_told = false;
        self.ended = None;
        let own = [
            ("run.device", run.device.clone()),
            ("run.parameters", run.parameters.to_string()),
            ("run.train_images", run.train_images.to_string()),
            ("run.val_images", run.val_images.to_string()),
            ("run.total_steps", run.total_steps.to_string()),
        ];
        self.own = own.map(|(name, value)| (name.to_owned(), value)).to_vec();
    }

    /// The experiment is known. The server has it already of a run that goes on.
    pub fn configure(&mut self, configuration: &Configuration) {
        if self.run.is_empty() {
            self.run.clone_from(&configuration.run);
        }
        if self.parameters.is_some() {
            return;
        }
        let mut parameters: VecDeque<_> = std::mem::take(&mut self.own).into();
        for field in configuration.fields.iter().filter(|field| !field.name.is_empty()) {
            if !parameters.iter().any(|(name, _)| *name == field.name) {
                parameters.push_back((field.name.clone(), field.value.clone()));
            }
        }
        self.parameters = Some(parameters);
    }

    pub fn step(&mut self, step: &Step, now: u64) {
        let Some(figures) = step.figures else { return };
        let speed = f64::from(step.images) / step.timings.total;
        let values = vec![
            figures.loss,
            figures.accuracy,
            figures.gradient_norm,
            step.learning_rate,
            if speed.is_finite() { speed } else { 0.0 },
        ];
        self.add(Point { names: OF_STEPS, step: step.step, time: now, values });
    }

    pub fn evaluation(&mut self, evaluation: &Evaluation, now: u64) {
        let values = vec![evaluation.loss, evaluation.top1, evaluation.top5];
        self.add(Point { names: OF_EVALUATIONS, step: evaluation.step, time: now, values });
    }

    fn add(&mut self, point: Point) {
        self.points.push_back(point);
        if self.points.len() > self.keep {
            self.points.pop_front();
            self.lost += 1;
        }
    }

    pub fn end(&mut self, status: Status, now: u64) {
        self.ended = Some((status, now));
    }

    /// What to ask the server next; nothing if it has everything, or will not have it.
    pub fn next(&self) -> Option<(Asked, Request)> {
        let started = self.started?;
        if self.refusal.is_some() {
            return None;
        }
        let Some(experiment) = &self.experiment_id else {
            return Some(match self.is_absent {
                true => (Asked::CreateExperiment, api::create_experiment(&self.experiment)),
                false => (Asked::FindExperiment, api::find_experiment(&self.experiment)),
            });
        };
        // Its name comes with its experiment.
        let parameters = self.parameters.as_ref()?;
        let Some(run) = &self.run_id else {
            let name = if self.run.is_empty() { "run" } else { &self.run };
            return Some((Asked::CreateRun, api::create_run(experiment, name, started)));
        };
        if self.goes_on {
            return Some((Asked::GoOn, api::update_run(run, Status::Running, None)));
        }
        if !parameters.is_empty() {
            let count = parameters.len().min(api::MAX_PARAMETERS);
            let request = api::log_parameters(run, parameters.iter().take(count));
            return Some((Asked::Parameters(count), request));
        }
        if !self.points.is_empty() {
            let most = api::MAX_METRICS / OF_STEPS.len();
            let count = self.points.len().min(most);
            let metrics = self.points.iter().take(count).flat_map(Point::metrics);
            return Some((Asked::Points(count), api::log_metrics(run, metrics)));
        }
        let (status, time) = self.ended?;
        Some((Asked::End, api::update_run(run, status, Some(time))))
    }

    /// The server has answered.
    ///
    /// # Errors
    /// It cannot, or will not, in words.
    pub fn answered(&mut self, asked: Asked, said: Said) -> Result<(), Problem> {
        match (asked, said) {
            (_, Said::Busy(words)) => return Err(Problem::Passing(words)),
            (Asked::FindExperiment, Said::Done(body)) => {
                if body.pointer("/experiment/lifecycle_stage") == Some(&Value::from("deleted")) {
                    return Err(self.refuse("the experiment is deleted there"));
                }
                self.experiment_id = api::id(&body, "/experiment/experiment_id");
                self.must_have(|book| book.experiment_id.is_some())?;
            }
            (Asked::FindExperiment, Said::Absent) => self.is_absent = true,
            (Asked::CreateExperiment, Said::Done(body)) => {
                self.experiment_id = api::id(&body, "/experiment_id");
                self.must_have(|book| book.experiment_id.is_some())?;
            }
            // Another run was faster.
            (Asked::CreateExperiment, Said::Exists) => self.is_absent = false,
            (Asked::CreateRun, Said::Done(body)) => {
                self.run_id = api::id(&body, "/run/info/run_id");
                self.must_have(|book| book.run_id.is_some())?;
            }
            (Asked::GoOn, Said::Done(_)) => self.goes_on = false,
            (Asked::Parameters(count), Said::Done(_)) => self.drop_parameters(count),
            (Asked::Points(count), Said::Done(_)) => self.drop_points(count),
            (Asked::End, Said::Done(_)) => self.ended = None,
            // One of them may be wrong, and the others cannot wait for it.
            (Asked::Parameters(count), Said::Refused(words)) => {
                self.drop_parameters(count);
                return Err(Problem::Refused(format!("{count} parameters: {words}")));
            }
            (Asked::Points(count), Said::Refused(words)) => {
                self.drop_points(count);
                self.lost += count as u64;
                return Err(Problem::Refused(format!("{count} log points: {words}")));
            }
            (_, Said::Absent | Said::Exists) => {
                return Err(self.refuse("the run or its experiment is no longer there"));
            }
            (_, Said::Refused(words)) => return Err(self.refuse(&words)),
        }
        Ok(())
    }

    fn drop_parameters(&mut self, count: usize) {
        if let Some(parameters) = &mut self.parameters {
            parameters.drain(..count.min(parameters.len()));
        }
    }

    fn drop_points(&mut self, count: usize) {
        self.points.drain(..count.min(self.points.len()));
    }

    fn must_have(&mut self, has: impl Fn(&Self) -> bool) -> Result<(), Problem> {
        match has(self) {
            true => Ok(()),
            false => Err(self.refuse("its answer has no id")),
        }
    }

    fn refuse(&mut self, words: &str) -> Problem {
        self.refusal = Some(words.to_owned());
        Problem::Refused(words.to_owned())
    }

    /// Whether the user is to be told of a problem: once.
    pub fn tell(&mut self) -> bool {
        !std::mem::replace(&mut self.is_told, true)
    }

    /// What the server does not have of a run that is over, in words, with the last problem there was.
    pub fn left(&self, problem: Option<&str>) -> Option<String> {
        let points = self.lost + self.points.len() as u64;
        if points == 0 && self.ended.is_none() {
            return None;
        }
        let why = self.refusal.as_deref().or(problem).unwrap_or("there was no time");
        let what = match points {
            0 => "how the run ended is not in MLflow".into(),
            points => {
                format!("{points} log points are not in MLflow (the run's metrics.jsonl has all)")
            }
        };
        Some(format!("{what}: {why}"))
    }

    pub fn save(&self) -> Vec<u8> {
        let mut state = Writer::new(HEADER);
        state.put("experiment_id", &self.experiment_id);
        state.put("run_id", &self.run_id);
        state.put("started", self.started);
        state.put("goes_on", [self.goes_on]);
        let is_configured = self.parameters.as_ref().is_some_and(VecDeque::is_empty);
        state.put("has_parameters", [is_configured]);
        state.put("is_told", [self.is_told]);
        state.put("lost", [self.lost]);
        for (key, names) in [("steps", OF_STEPS), ("evaluations", OF_EVALUATIONS)] {
            let points = self.points.iter().filter(|point| point.names == names);
            state.put(key, points.map(Point::text));
        }
        state.finish()
    }

    pub fn restore(&mut self, state: &[u8]) -> Result<()> {
        let Some(state) = Reader::new(state, HEADER)? else { return Ok(()) };
        let mut points = Vec::new();
        for (key, names) in [("steps", OF_STEPS), ("evaluations", OF_EVALUATIONS)] {
            for text in state.list::<String>(key)? {
                let Some(point) = Point::parse(names, &text) else {
                    bail!("the saved state has {text:?}, which is not a log point");
                };
                points.push(point);
            }
        }
        points.sort_by_key(|point| point.time);
        self.points = points.into();
        self.experiment_id = state.optional("experiment_id")?;
        self.run_id = state.optional("run_id")?;
        self.started = state.optional("started")?;
        self.goes_on = state.one("goes_on")?;
        self.parameters = state.one::<bool>("has_parameters")?.then(VecDeque::new);
        self.is_told = state.one("is_told")?;
        self.lost = state.one("lost")?;
        Ok(())
    }
}

/// Why the server does not have something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// It may have it later.
    Passing(String),
    /// It will not.
    Refused(String),
}
