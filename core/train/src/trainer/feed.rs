//! Batches on their way from the loader to a step: upload, memory that is used again, and how long
//! they were waited for.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use burn::tensor::Tensor;
use vitral_data::{ImageBatch, Loader, LoaderTimings, Normalization, Skipped};
use vitral_model::device::{Device, is_cpu};

use super::Trainer;
use crate::{
    DataReport, Error, Experiment, Learner, batch::images_to_device, learner::Share, loss::targets,
    teacher::TeacherLogits,
};

/// A batch on the device, and what is told of it when its step is made.
pub(super) struct DeviceBatch {
    /// Normalised: `[batch, height, width, channels]`.
    pub(super) images: Tensor<4>,
    /// `[batch, classes]`, each row a distribution; with a teacher's logits beside them where a file has these.
    pub(super) targets: Tensor<2>,
    /// Its images.
    pub(super) count: usize,
    /// Their places among those that should be in the batch.
    pub(super) places: Vec<u32>,
    /// Which part of a step they are, where ranks share it; `count`, `skipped` and `disabled` are then those of
    /// all ranks.
    pub(super) share: Option<Share>,
    /// Images that were left out.
    pub(super) skipped: Vec<Skipped>,
    /// Why plugins are no longer used, as far as that is known with this batch.
    pub(super) disabled: Vec<String>,
}

/// The training batches of a run from its present step on.
pub(super) struct Feed {
    loader: Loader,
    upload: Upload,
    /// Whether the device computes while the next batch is fetched and uploaded. A CPU does not: there
    /// the batch would only take memory earlier.
    is_ahead: bool,
    /// The next batch, where it was fetched already. A failure is told when its turn comes, so that the
    /// step before counts.
    ahead: Option<Option<Result<DeviceBatch, Error>>>,
    /// When the present step asked for its batch.
    started: Instant,
    /// What fetching the first batch took, if that was before its step; it counts to it.
    before: Duration,
    /// What was waited since the last step ended.
    waited: Duration,
    since_report: Sum,
    since_start: Sum,
    reported: LoaderTimings,
}

/// How batches go to the device.
pub(super) struct Upload {
    normalize: Normalization,
    classes: usize,
    label_smoothing: f64,
    answers: Option<Arc<TeacherLogits>>,
    device: Device,
}

/// Time of steps, and how long of it was waited.
#[derive(Clone, Copy, Default)]
struct Sum {
    time: Duration,
    wait: Duration,
}

impl Trainer {
    /// Batches from the present step on.
    pub(super) fn feed(&self) -> Result<Feed, Error> {
        let loader = self.train_loader()?;
        Ok(Feed {
            reported: loader.timings(),
            loader,
            upload: self.upload(),
            is_ahead: !is_cpu(&self.device),
            ahead: None,
            started: Instant::now(),
            before: Duration::ZERO,
            waited: Duration::ZERO,
            since_report: Sum::default(),
            since_start: Sum::default(),
        })
    }

    /// How batches go to the device.
    pub(super) fn upload(&self) -> Upload {
        Upload::new(&self.experiment, &self.learner, &self.device)
    }
}

impl Feed {
    /// The first batch, which stays the next one; none if there is none, or it fails, which is told when
    /// its turn comes.
    pub(super) fn first(&mut self) -> Option<&DeviceBatch> {
        let start = Instant::now();
        let first = self.fetch();
        self.before = start.elapsed();
        self.ahead.insert(first).as_ref()?.as_ref().ok()
    }

    /// The next batch, with which a step begins; none after the last.
    pub(super) fn next(&mut self) -> Option<Result<DeviceBatch, Error>> {
        self.started = Instant::now();
        match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.fetch(),
        }
    }

    /// Fetches the next batch and starts its upload, where the device computes meanwhile.
    pub(super) fn fetch_ahead(&mut self) {
        if self.is_ahead && self.ahead.is_none() {
            self.ahead = Some(self.fetch());
        }
    }

    fn fetch(&mut self) -> Option<Result<DeviceBatch, Error>> {
        let before = self.loader.waited();
        let batch = tracing::trace_span!("wait for images").in_scope(|| self.loader.next());
        self.waited += self.loader.waited() - before;
        Some(batch?.map_err(Error::from).and_then(|mut batch| {
            let upload = || self.upload.batch(&mut batch);
            let uploaded = tracing::trace_span!("upload").in_scope(upload)?;
            self.loader.recycle(batch);
            Ok(uploaded)
        }))
    }

    /// Notes that a step was made; gives its time, and how long of it data was waited for.
    pub(super) fn stepped(&mut self) -> (Duration, Duration) {
        let time = self.started.elapsed() + std::mem::take(&mut self.before);
        let wait = std::mem::take(&mut self.waited);
        for sum in [&mut self.since_report, &mut self.since_start] {
            sum.time += time;
            sum.wait += wait;
        }
        (time, wait)
    }

    /// What was done since the last report.
    pub(super) fn report(&mut self) -> DataReport {
        let now = self.loader.timings();
        let before = std::mem::replace(&mut self.reported, now.clone());
        let since = |(stage, before): ((String, Duration), (String, Duration))| {
            (stage.0, stage.1.saturating_sub(before.1))
        };
        let stages = now.stages.into_iter().zip(before.stages).map(since).collect();
        let Sum { time, wait } = std::mem::take(&mut self.since_report);
        DataReport { time, wait, workers: now.workers, prefetch: now.prefetch, stages }
    }

    /// What was done since the run started, went on, or went back to a checkpoint.
    pub(super) fn whole(&self) -> DataReport {
        let LoaderTimings { stages, workers, prefetch, .. } = self.loader.timings();
        let Sum { time, wait } = self.since_start;
        DataReport { time, wait, workers, prefetch, stages }
    }
}

impl Upload {
    /// How batches of an experiment, with its number of classes, go to a learner's device.
    pub(super) fn new(experiment: &Experiment, learner: &Learner, device: &Device) -> Self {
        Self {
            normalize: experiment.data.normalize.clone(),
            classes: experiment.model.classes,
            label_smoothing: experiment.train.label_smoothing,
            answers: learner.teacher_logits().cloned(),
            device: device.clone(),
        }
    }

    pub(super) fn batch(&self, batch: &mut ImageBatch) -> Result<DeviceBatch, Error> {
        let labels = targets(&batch.labels, self.classes, self.label_smoothing, &self.device);
        let targets = match &self.answers {
            Some(answers) => {
                Tensor::cat(vec![labels, answers.of(&batch.samples, &self.device)?], 1)
            }
            None => labels,
        };
        Ok(DeviceBatch {
            images: images_to_device(batch, &self.normalize, &self.device)?,
            targets,
            count: batch.len(),
            places: std::mem::take(&mut batch.places),
            share: None,
            skipped: std::mem::take(&mut batch.skipped),
            disabled: std::mem::take(&mut batch.disabled),
        })
    }
}
