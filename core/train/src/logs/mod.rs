//! What a run reports, in formats that other programs open: event files of TensorBoard, and CSV. Both follow
//! from `metrics.jsonl`, with which they are brought in step whenever a run goes on, so that they neither have
//! anything twice nor lack anything. Pictures are in event files alone, and stay there as long as the evaluation
//! is in the metrics that they are of.

mod csv;
pub(crate) mod format;
pub(crate) mod histogram;
mod message;
mod tensorboard;

use std::path::Path;

use serde_json::Value;

use self::{csv::Csv, format::LogFormat, tensorboard::TensorBoard};
use crate::{Error, error::AtPath, experiment::Experiment, metrics_file, pictures::Picture};

/// The logs of a run.
#[derive(Default)]
pub(crate) struct Logs {
    /// What they are of; nothing before the run says it.
    experiment: Option<Experiment>,
    open: Vec<Box<dyn Log + Send>>,
}

/// A log that lines of `metrics.jsonl` are written to, and pictures beside them.
trait Log {
    /// Adds what a line has for it.
    fn line(&mut self, line: &Value) -> Result<(), Error>;

    /// Adds pictures of the evaluation of a step, where it has a place for them.
    fn pictures(&mut self, step: u64, pictures: &[Picture]) -> Result<(), Error> {
        let _ = (step, pictures);
        Ok(())
    }
}

impl Logs {
    /// Opens the logs that an experiment asks for, with what the run has reported until now.
    ///
    /// # Errors
    /// The metrics cannot be read, or a log cannot be written.
    pub fn open(&mut self, run: &Path, experiment: &Experiment) -> Result<(), Error> {
        self.experiment = Some(experiment.clone());
        self.follow(run)
    }

    /// Brings the logs in step with the metrics, of which some may be gone or others.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn follow(&mut self, run: &Path) -> Result<(), Error> {
        self.open.clear();
        let Some(experiment) = self.experiment.as_ref().filter(|found| !found.log.is_empty())
        else {
            return Ok(());
        };
        let lines = metrics_file::lines(run)?;
        if experiment.log.contains(&LogFormat::Csv) {
            self.open.push(Box::new(Csv::open(run, &lines)?));
        }
        if experiment.log.contains(&LogFormat::TensorBoard) {
            self.open.push(Box::new(TensorBoard::open(run, experiment, &lines)?));
        }
        Ok(())
    }

    /// Whether statistics of parameters have a place in a log: only then are they kept in the metrics, of
    /// which they are the largest part.
    pub fn have_histograms(&self) -> bool {
        let asked = self.experiment.as_ref().map(|experiment| &experiment.log);
        asked.is_some_and(|log| log.contains(&LogFormat::TensorBoard))
    }

    /// Whether pictures have a place in a log.
    pub fn have_pictures(&self) -> bool {
        self.have_histograms()
    }

    /// Adds pictures of the evaluation of a step.
    ///
    /// # Errors
    /// A log cannot be written.
    pub fn pictures(&mut self, step: u64, pictures: &[Picture]) -> Result<(), Error> {
        if pictures.is_empty() {
            return Ok(());
        }
        self.open.iter_mut().try_for_each(|log| log.pictures(step, pictures))
    }

    /// Adds a line of the metrics.
    ///
    /// # Errors
    /// A log cannot be written.
    pub fn line(&mut self, line: &Value) -> Result<(), Error> {
        self.open.iter_mut().try_for_each(|log| log.line(line))
    }
}

/// The folder of a log, which is made where it is not there.
fn folder(run: &Path, name: &str) -> Result<std::path::PathBuf, Error> {
    let folder = run.join(name);
    std::fs::create_dir_all(&folder).at(&folder)?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;
    use vitral_config::Document;

    use super::*;

    const METRICS: &str = "metrics.jsonl";

    fn experiment(log: &str) -> Experiment {
        let text = format!(
            r#"(data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])), log: {log})"#
        );
        Document::new("test", text).parse().unwrap()
    }

    fn step(step: u64) -> Value {
        json!({ "kind": "step", "step": step, "epoch": 0.5, "loss": 2.5, "learning_rate": 1e-3 })
    }

    fn eval(step: u64, loss: f64) -> Value {
        json!({ "kind": "eval", "step": step, "epoch": 1.0, "loss": loss, "top1": 0.5, "top5": 1.0 })
    }

    #[test]
    fn logs_follow_the_metrics_of_a_run_that_goes_back_and_on() {
        let run = tempfile::tempdir().unwrap();
        let run = run.path();
        let write = |lines: &[Value]| {
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            fs::write(run.join(METRICS), text).unwrap();
        };
        let mut logs = Logs::default();
        write(&[]);
        logs.open(run, &experiment("[Csv, TensorBoard]")).unwrap();
        let monitor = json!({
            "kind": "monitor", "step": 2, "monitor": "memory", "name": "a, \"b\"", "value": 7.0
        });
        let lines = [step(1), eval(2, 2.0), monitor, step(3), eval(4, 9.0)];
        lines.iter().for_each(|line| logs.line(line).unwrap());
        let scalars = |tag: &str| tensorboard::scalars(run, tag);
        assert_eq!(scalars("train/loss"), [(1, 2.5), (3, 2.5)]);
        assert_eq!(scalars("val/loss"), [(2, 2.0), (4, 9.0)]);
        assert_eq!(scalars("memory/a, \"b\""), [(2, 7.0)]);
        let histograms = json!({
            "kind": "histograms", "step": 5,
            "parameters": [{ "name": "head.bias", "gradient": [0, 2, 1], "weight": [0, 0, 0] }]
        });
        logs.line(&histograms).unwrap();
        assert_eq!(tensorboard::tags(run, 5), ["gradients/head.bias"]);
        let csv = |name: &str| fs::read_to_string(run.join("csv").join(name)).unwrap();
        assert_eq!(
            csv("val.csv"),
            "step,epoch,loss,top1,top5,images,skipped\n2,1.0,2.0,0.5,1.0,,\n4,1.0,9.0,0.5,1.0,,\n"
        );
        assert_eq!(csv("monitors.csv"), "step,monitor,name,value\n2,memory,\"a, \"\"b\"\"\",7.0\n");
        let picture = |predicted: &str| Picture {
            label: "cat|1".into(),
            predicted: predicted.into(),
            probability: 0.75,
            side: 112,
            png: vec![1, 2, 3],
        };
        for (step, predicted) in [(2, "dog"), (2, "cat"), (4, "dog")] {
            logs.pictures(step, &[picture(predicted)]).unwrap();
        }
        let pictured = ["samples/0 cat|1", "samples/predictions"];
        assert_eq!(tensorboard::tags(run, 4)[3..], pictured);
        // It went on from step 2, whose evaluation was made again.
        write(&[step(1), eval(2, 3.0)]);
        let before = tensorboard::times(run);
        logs.follow(run).unwrap();
        logs.line(&step(3)).unwrap();
        assert_eq!(scalars("train/loss"), [(1, 2.5), (3, 2.5)]);
        assert_eq!(scalars("val/loss"), [(2, 3.0)]);
        // Of pictures, the last ones of an evaluation that counts.
        assert_eq!(
            tensorboard::tags(run, 2).iter().filter(|tag| pictured.contains(&&***tag)).count(),
            2
        );
        assert!(tensorboard::tags(run, 4).is_empty());
        let bytes = tensorboard::bytes(run);
        assert!(bytes.contains("cat\\|1 | cat | 75.0%") && !bytes.contains("| dog |"), "{bytes}");
        assert!(csv("train.csv").lines().count() == 3 && csv("monitors.csv").lines().count() == 1);
        // What was before keeps its time.
        let (first, second) = (before[0], tensorboard::times(run)[0]);
        assert_eq!(first, second);
        // A log that is asked for later has all from the start on, and one that is not is left as it is.
        fs::remove_dir_all(run.join("csv")).unwrap();
        write(&[step(1), eval(2, 3.0), step(3)]);
        Logs::default().open(run, &experiment("[Csv]")).unwrap();
        assert_eq!(csv("train.csv").lines().count(), 3);
        assert_eq!(scalars("val/loss"), [(2, 3.0)]);
        let other = tempfile::tempdir().unwrap();
        let mut none = Logs::default();
        none.open(other.path(), &experiment("[]")).unwrap();
        none.line(&step(1)).unwrap();
        assert!(fs::read_dir(other.path()).unwrap().next().is_none());
    }
}
