//! The way of training images into normalised batches, as a run has them come.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use vitral_data::{Loader, Source, Stage};
use vitral_train::{Error, Experiment, train_loader};

/// The path, and how much of the images went along it.
pub struct DataPath {
    experiment: Experiment,
    images: Arc<dyn Source>,
    stages: Vec<Stage>,
    /// The next batch: no measurement reads again what another has just read, unless there is nothing
    /// else.
    next: u64,
    /// Memory of normalised batches.
    values: Vec<f32>,
    skipped: u64,
    disabled: BTreeSet<String>,
}

/// What went along the path in some time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passage {
    pub images: u64,
    pub batches: u64,
    pub elapsed: Duration,
    /// Time of all workers in each stage.
    pub stages: Vec<(String, Duration)>,
    /// Time that normalising took the thread that takes batches.
    pub normalize: Duration,
}

impl Passage {
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.elapsed.as_secs_f64()
    }

    /// Adds what went along the same path later.
    pub fn add(&mut self, later: &Self) {
        self.images += later.images;
        self.batches += later.batches;
        self.elapsed += later.elapsed;
        self.normalize += later.normalize;
        if self.stages.is_empty() {
            self.stages.clone_from(&later.stages);
            return;
        }
        for ((_, sum), (_, time)) in self.stages.iter_mut().zip(&later.stages) {
            *sum += *time;
        }
    }
}

impl DataPath {
    pub fn new(experiment: &Experiment, images: Arc<dyn Source>, stages: Vec<Stage>) -> Self {
        let mut experiment = experiment.clone();
        // One size throughout: else it would depend on how many epochs fit into the time.
        experiment.train.image_size.clear();
        Self {
            experiment,
            images,
            stages,
            next: 0,
            values: Vec::new(),
            skipped: 0,
            disabled: BTreeSet::new(),
        }
    }

    /// Has so many workers make batches for some time, and for two batches of each at least.
    ///
    /// # Errors
    /// The data's settings do not fit the model, or an image cannot be read.
    pub fn run(&mut self, workers: usize, time: Duration) -> Result<Passage, Error> {
        self.experiment.data.workers = workers;
        let batches = self.next..u64::MAX;
        let mut loader =
            train_loader(&self.experiment, &self.images, self.stages.clone(), batches)?;
        // Until all workers are in the middle of their work.
        for _ in 0..workers {
            self.take(&mut loader)?;
        }
        let before = loader.timings().stages;
        let mut passage = Passage::default();
        let start = Instant::now();
        while passage.batches < 2 * workers as u64 || start.elapsed() < time {
            let (images, normalize) = self.take(&mut loader)?;
            passage.images += images;
            passage.normalize += normalize;
            passage.batches += 1;
        }
        passage.elapsed = start.elapsed();
        let stages = loader.timings().stages.into_iter().zip(before);
        passage.stages = stages.map(|((name, now), (_, before))| (name, now - before)).collect();
        Ok(passage)
    }

    /// Takes a batch as a run does: the number of its images, and the time of normalising them.
    fn take(&mut self, loader: &mut Loader) -> Result<(u64, Duration), Error> {
        // There are more batches than anyone can wait for.
        let Some(batch) = loader.next() else { return Ok((0, Duration::ZERO)) };
        let batch = batch?;
        self.next += 1;
        self.skipped += batch.skipped.len() as u64;
        self.disabled.extend(batch.disabled.iter().cloned());
        let start = Instant::now();
        let normalize = &self.experiment.data.normalize;
        normalize.apply_into(&batch.images, batch.channels, &mut self.values)?;
        std::hint::black_box(&self.values);
        let time = start.elapsed();
        let images = batch.len() as u64;
        loader.recycle(batch);
        Ok((images, time))
    }

    /// What should be known with the figures.
    pub fn notes(&self) -> Vec<String> {
        let skipped = (self.skipped > 0)
            .then(|| format!("{} images could not be read and were left out", self.skipped));
        skipped.into_iter().chain(self.disabled.iter().cloned()).collect()
    }
}
