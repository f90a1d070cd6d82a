//! What a run has noted in its `metrics.jsonl`.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use crate::failure::Failure;

/// One line; the fields that a report does not show are passed over.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    Step(Step),
    Eval(Eval),
    Notice(Notice),
    End(End),
    Monitor(Figure),
    /// What a report does not show, or a newer version notes.
    #[serde(other)]
    Other,
}

/// A step that was logged. A figure that is not finite is null.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Step {
    pub step: u64,
    pub epoch: f64,
    pub loss: Option<f64>,
    pub accuracy: Option<f64>,
    pub gradient_norm: Option<f64>,
    pub learning_rate: f64,
    pub images_per_second: f64,
    /// Training images that the run has left out so far; not in the metrics of older versions.
    #[serde(default)]
    pub left_out: u64,
    /// Not in the metrics of older versions.
    pub data: Option<Data>,
}

/// What the data path did since the step that was logged before, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Data {
    /// Time of the steps.
    pub seconds: f64,
    /// How long of it they waited for data.
    pub wait: f64,
    /// Time that all workers spent in each stage.
    pub stages: BTreeMap<String, f64>,
}

impl Data {
    /// Share of the time that was waited, from 0 to 1; none of no time.
    pub fn waiting_share(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.wait / self.seconds)
    }
}

/// An evaluation.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Eval {
    pub step: u64,
    pub epoch: f64,
    pub loss: Option<f64>,
    pub top1: f64,
    pub top5: f64,
    pub images: u64,
    /// Images that could not be read.
    #[serde(default)]
    pub skipped: u64,
}

/// Something that the user was told.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Notice {
    pub step: u64,
    pub from: String,
    pub message: String,
}

/// The end of a run that is over; one that was stopped has none.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct End {
    pub reason: String,
}

/// What a monitor has measured. A figure that is not finite is null.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Figure {
    pub step: u64,
    pub monitor: String,
    pub name: String,
    pub value: Option<f64>,
}

/// All of a run, in its order.
#[derive(Debug, Default)]
pub struct Metrics {
    pub steps: Vec<Step>,
    pub evals: Vec<Eval>,
    pub notices: Vec<Notice>,
    /// Its end, if it is over; the metrics of older versions do not say.
    pub end: Option<End>,
    pub figures: Vec<Figure>,
    /// How many lines are none.
    pub damaged: usize,
}

impl Metrics {
    /// Reads the metrics of the run in a folder, of which there are some.
    pub fn read(run: &Path) -> Result<Self, Failure> {
        let metrics = Self::read_any(run)?;
        let path = run.join("metrics.jsonl");
        if metrics.steps.is_empty() && metrics.evals.is_empty() {
            let message = format!("{}: the run has logged nothing yet", path.display());
            return Err(Failure::Other(message));
        }
        Ok(metrics)
    }

    /// Reads the metrics of the run in a folder, be there none yet.
    pub fn read_any(run: &Path) -> Result<Self, Failure> {
        let path = run.join("metrics.jsonl");
        let text = vitral_files::read(&path, vitral_files::Kind::METRICS).map_err(|error| {
            Failure::Other(format!("{}: {error}; is this the folder of a run?", path.display()))
        })?;
        Ok(Self::parse(&text))
    }

    /// Lines that are damaged are counted. One that has no end is being written, or was when the run was
    /// killed.
    fn parse(text: &[u8]) -> Self {
        let mut metrics = Self::default();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Step(step)) => metrics.steps.push(step),
                Ok(Line::Eval(eval)) => metrics.evals.push(eval),
                Ok(Line::Notice(notice)) => metrics.notices.push(notice),
                Ok(Line::End(end)) => metrics.end = Some(end),
                Ok(Line::Monitor(figure)) => metrics.figures.push(figure),
                Ok(Line::Other) => {}
                Err(_) => metrics.damaged += usize::from(line.ends_with(b"\n")),
            }
        }
        metrics
    }

    /// What the data path did in all logged steps; none where none tells.
    pub fn data(&self) -> Option<Data> {
        let mut told = self.steps.iter().filter_map(|step| step.data.as_ref());
        let first = told.next()?.clone();
        Some(told.fold(first, |mut sum, data| {
            sum.seconds += data.seconds;
            sum.wait += data.wait;
            for (stage, seconds) in &data.stages {
                *sum.stages.entry(stage.clone()).or_default() += seconds;
            }
            sum
        }))
    }

    /// The epoch that a step is in, by the steps that tell; as far as none does, the step itself.
    pub fn epoch_of(&self, step: u64) -> f64 {
        let steps = self.steps.iter().map(|step| (step.step, step.epoch));
        let evals = self.evals.iter().map(|eval| (eval.step, eval.epoch));
        let told = steps.chain(evals).filter(|(step, _)| *step > 0);
        match told.min_by_key(|(told, _)| told.abs_diff(step)) {
            Some((told, epoch)) => epoch * step as f64 / told as f64,
            None => step as f64,
        }
    }

    /// The middle one of the speeds of logged steps, in images per second.
    pub fn speed(&self) -> Option<f64> {
        let mut speeds: Vec<f64> = self.steps.iter().map(|step| step.images_per_second).collect();
        speeds.sort_by(f64::total_cmp);
        speeds.get(speeds.len() / 2).copied()
    }

    /// The evaluation that recognised most.
    pub fn best(&self) -> Option<&Eval> {
        // Of equals the first.
        self.evals.iter().rev().max_by(|one, other| one.top1.total_cmp(&other.top1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_the_rest_is_passed_over() {
        let text = r#"{"kind":"step","step":1,"epoch":0.1,"loss":2.5,"accuracy":0.1,"gradient_norm":3.0,"learning_rate":0.001,"images_per_second":100.0,"data_wait":0.0,"micro_batch":4,"data":{"seconds":2.0,"wait":0.5,"workers":2,"prefetch":4,"stages":{"read":1.0,"decode":2.0}}}
{"kind":"step","step":2,"epoch":0.2,"loss":null,"accuracy":0.1,"gradient_norm":null,"learning_rate":0.001,"images_per_second":100.0,"left_out":3,"data":{"seconds":2.0,"wait":0.0,"workers":2,"prefetch":4,"stages":{"read":1.0}}}
{"kind":"monitor","step":2,"monitor":"throughput","name":"x","value":1.0}
{"kind":"notice","step":2,"from":"early-stop","message":"a <b>"}
{"kind":"eval","step":2,"epoch":1.0,"loss":1.5,"top1":0.5,"top5":0.9,"images":10,"skipped":0,"classes":[]}
{"kind":"eval","step":3,"epoch":1.5,"loss":1.4,"top1":0.5,"top5":0.9,"images":10,"skipped":0,"classes":[]}
{"kind":"end","step":3,"reason":"done"}
{"kind":"step","step":3,"epo"#;
        assert_eq!(Metrics::parse(text.as_bytes()).damaged, 0);
        let (start, end) = text.as_bytes().split_at(text.find("\n").unwrap() + 1);
        let metrics = Metrics::parse(&[start, b"{\"kind\":\"step\xff\"\n", end].concat());
        assert_eq!(metrics.damaged, 1);
        assert_eq!((metrics.steps.len(), metrics.evals.len(), metrics.notices.len()), (2, 2, 1));
        assert_eq!((metrics.steps[0].loss, metrics.steps[1].loss), (Some(2.5), None));
        assert_eq!((metrics.steps[0].left_out, metrics.steps[1].left_out), (0, 3));
        let figure = &metrics.figures[0];
        assert_eq!((&*figure.monitor, &*figure.name, figure.value), ("throughput", "x", Some(1.0)));
        assert_eq!(metrics.best().unwrap().step, 2);
        assert_eq!(metrics.end.as_ref().unwrap().reason, "done");
        let data = metrics.data().unwrap();
        assert_eq!((data.waiting_share(), data.stages["read"]), (Some(0.125), 2.0));
        assert_eq!(data.stages["decode"], 2.0);
        assert_eq!(Metrics::default().data(), None);
        assert_eq!((metrics.speed(), Metrics::default().speed()), (Some(100.0), None));
        assert!((metrics.epoch_of(4) - 2.0).abs() < 1e-12 && Metrics::default().epoch_of(7) == 7.0);
    }
}
