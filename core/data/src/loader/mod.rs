//! Batches made by worker threads, given out in order.
//!
//! A job is one batch number. The loader keeps a window of jobs under way and sorts the results, so
//! memory is bounded by the window, and neither order nor content depends on the worker count. So both
//! can change while it runs: what the experiment leaves open is found by how long batches are waited
//! for (`tune.rs`).

mod crew;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use vitral_seed::Seed;

use self::crew::{Crew, Numbered, Plan};
use crate::error::{DataError, OnError};
use crate::sampler::{ByClass, Drawn, EpochOrders, Kind, Sampling, together_in_part};
use crate::shard::Shard;
use crate::source::{Groups, Source};
use crate::timing::LoaderTimings;
use crate::transform::Pipeline;
use crate::tune::{Change, Limits, Tuner};
use crate::worker::{BatchPlan, ImageBatch, Worker};

/// Most batches and most threads that a loader keeps busy.
const MAX_WINDOW: usize = 1024;

/// Batches ahead at first where their number is left open, and the memory that they may grow to.
const FIRST_PREFETCH: usize = 4;
const AHEAD_BYTES: usize = 64 << 20;

/// Workers for each processor, at most, where reading takes them most of the time.
pub(crate) const READERS: usize = 4;

/// Why images of some sources cannot be balanced.
const UNGROUPED: &str = "is `Balanced`, which takes images from anywhere, but these are read from the start of a file to its end; \
     pack them into a cache (`vitral data cache`), use shards without `shuffle_buffer`, or weigh classes in the loss \
     (`train.class_weights: Balanced`)";

/// How a loader works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Images per batch, at least 1; those of all processes together.
    pub batch: usize,
    /// How often in a row a training image comes, augmented anew each time; at least 1. An epoch stays as
    /// long, of as many images fewer.
    pub repeats: u32,
    /// Worker threads; 0 means one per available processor, and more where reading is slow and batches
    /// are waited for.
    pub workers: usize,
    /// Batches made ahead; 0 means 4, and more where batches are waited for. One per worker is made
    /// ahead in any case.
    pub prefetch: usize,
    /// What happens to images that cannot be read.
    pub on_error: OnError,
    /// The run's seed, for the order of samples and the augmentation.
    pub seed: Seed,
    /// The process's part of the images, where several processes train together.
    pub shard: Shard,
}

/// An iterator over batches that are made by worker threads.
///
/// After an error it ends. Dropping it ends its threads, which takes as long as one sample.
pub struct Loader {
    next: u64,
    /// The first batch that no worker has been asked for.
    dispatched: u64,
    end: u64,
    window: u64,
    /// Batches that were ready before their turn.
    early: BTreeMap<u64, Result<ImageBatch, DataError>>,
    jobs: Option<Sender<u64>>,
    results: Receiver<Numbered>,
    crew: Crew,
    threads: Vec<JoinHandle<()>>,
    tuner: Tuner,
    wait: Duration,
    /// The same with the first batch.
    waited: Duration,
    /// When the first batch and the latest were given out.
    given: Option<(Instant, Instant)>,
}

impl Loader {
    /// Training batches `batches`, numbered from the start of the run, over as many epochs as they
    /// reach. Each epoch has its own order, in which each sample comes [`LoaderOptions::repeats`] times in a
    /// row; those that do not fill a batch are left out. Of each batch
    /// a process gets the part of its [shard](LoaderOptions::shard).
    ///
    /// # Errors
    /// If the batch size is 0, the source is empty or too long, either has fewer images than there are
    /// processes, or threads cannot be started.
    pub fn train(
        source: Arc<dyn Source>,
        pipeline: Arc<Pipeline>,
        options: LoaderOptions,
        batches: Range<u64>,
    ) -> Result<Self, DataError> {
        Self::train_sampled(Sampling::Shuffled, source, pipeline, options, batches)
    }

    /// The same, with the images of an epoch chosen in this way.
    ///
    /// # Errors
    /// As [`train`](Self::train), and if images are to be balanced of a source that is read in groups, or its batches
    /// cannot be cut into as many parts.
    pub fn train_sampled(
        sampling: Sampling,
        source: Arc<dyn Source>,
        pipeline: Arc<Pipeline>,
        options: LoaderOptions,
        batches: Range<u64>,
    ) -> Result<Self, DataError> {
        let count = check(&*source, &options)?;
        let shard = options.shard;
        shard.check("batch", options.batch)?;
        shard.check("source", source.len())?;
        let kind = match (sampling, source.groups()) {
            (Sampling::Shuffled | Sampling::SplitByNode { .. }, None) => Kind::Shuffled,
            (Sampling::Shuffled, Some(groups)) => Kind::Grouped(groups.clone()),
            (Sampling::Balanced, None) => Kind::Balanced(ByClass::of(&*source, count)),
            (Sampling::SplitByNode { parts }, Some(groups)) => {
                parted(&*source, groups, &options, parts)?
            }
            (Sampling::Balanced, Some(_)) => return Err(DataError::setting("sampling", UNGROUPED)),
        };
        let orders = EpochOrders::new(options.seed, count, kind);
        let per_epoch = Self::batches_per_epoch(source.len(), options.batch);
        let plan = move |number| {
            let epoch = number / per_epoch;
            // A number of batches in an epoch is at most its number of samples, a u32.
            let start = (number % per_epoch) as usize * options.batch;
            let end = start.saturating_add(options.batch).min(count as usize);
            let places = shard.places(end - start).into_iter().flatten();
            let samples = orders.with(epoch, |order| {
                // Below the number of samples, a u32.
                places.map(|at| (at as u32, order.at(start + at, options.repeats))).collect()
            });
            BatchPlan { number, epoch, samples }
        };
        Self::start(source, pipeline, options, batches, plan, false)
    }

    /// All images once, in their own order. The last batch may be smaller. Several processes have one
    /// part of the images each, in batches of [`LoaderOptions::batch`], of which one may have one more
    /// than another.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn eval(
        source: Arc<dyn Source>,
        pipeline: Arc<Pipeline>,
        options: LoaderOptions,
    ) -> Result<Self, DataError> {
        Self::once(source, pipeline, options, false)
    }

    /// The same for images of which nothing is known: a batch of which no image can be read has none, and
    /// names them all.
    ///
    /// # Errors
    /// As [`train`](Self::train).
    pub fn each(
        source: Arc<dyn Source>,
        pipeline: Arc<Pipeline>,
        options: LoaderOptions,
    ) -> Result<Self, DataError> {
        Self::once(source, pipeline, LoaderOptions { on_error: OnError::Skip, ..options }, true)
    }

    fn once(
        source: Arc<dyn Source>,
        pipeline: Arc<Pipeline>,
        options: LoaderOptions,
        may_be_empty: bool,
    ) -> Result<Self, DataError> {
        let count = check(&*source, &options)?;
        options.shard.check("source", source.len())?;
        // Both ends are at most `count`, a u32.
        let part = options.shard.part(count as usize);
        let (first, end) = (part.start as u32, part.end as u32);
        // A batch beyond u32 holds everything, as `count` does not exceed it.
        let batch = u32::try_from(options.batch).unwrap_or(u32::MAX);
        let plan = move |number| {
            // `number` is below the number of batches, so `start` is below `end`.
            let start = first + number as u32 * batch;
            BatchPlan {
                number,
                epoch: 0,
                samples: (0..)
                    .zip(start..start.saturating_add(batch).min(end))
                    .map(|(place, sample)| (place, Drawn { sample, repetition: 0 }))
                    .collect(),
            }
        };
        let batches = 0..u64::from((end - first).div_ceil(batch));
        Self::start(source, pipeline, options, batches, plan, may_be_empty)
    }

    /// Training batches in an epoch of `len` samples: those that can be filled, or a single smaller
    /// one if there are too few samples for a batch. Never 0.
    pub fn batches_per_epoch(len: usize, batch: usize) -> u64 {
        (len / batch.max(1)).max(1) as u64
    }

    fn start(
        source: Arc<dyn Source>,
        pipeline: Arc<Pipeline>,
        options: LoaderOptions,
        batches: Range<u64>,
        plan: impl Fn(u64) -> BatchPlan + Send + Sync + 'static,
        may_be_empty: bool,
    ) -> Result<Self, DataError> {
        let count = batches.end.saturating_sub(batches.start);
        let threads = thread_count(options.workers, count);
        let prefetch = if options.prefetch == 0 { FIRST_PREFETCH } else { options.prefetch };
        let window = prefetch.clamp(1, MAX_WINDOW).max(threads);
        let limits = limits(&options, &pipeline, threads, window, count);
        // No more than `window` batches are under way, which is what bounds the channels.
        let (job_sender, job_receiver) = unbounded();
        let (result_sender, result_receiver) = unbounded();
        let worker = Arc::new(Worker {
            clock: pipeline.clock(),
            source,
            pipeline,
            on_error: options.on_error,
            may_be_empty,
            seed: options.seed,
            stop: AtomicBool::new(false),
            spare: Mutex::default(),
        });
        let plan: Arc<Plan> = Arc::new(plan);
        let mut loader = Self {
            next: batches.start,
            dispatched: batches.start,
            end: batches.end.max(batches.start),
            window: window as u64,
            early: BTreeMap::new(),
            jobs: Some(job_sender),
            results: result_receiver,
            crew: Crew { worker, plan, jobs: job_receiver, results: result_sender },
            threads: Vec::new(),
            tuner: Tuner::new(limits),
            wait: Duration::ZERO,
            waited: Duration::ZERO,
            given: None,
        };
        for number in 0..threads {
            let thread = loader.crew.start(number).map_err(|error| {
                DataError::setting("workers", format!("cannot start a thread: {error}"))
            })?;
            loader.threads.push(thread);
        }
        loader.dispatch();
        Ok(loader)
    }

    /// Takes a batch back that is no longer needed, so that its memory is used for another.
    pub fn recycle(&self, batch: ImageBatch) {
        let mut spare = self.crew.worker.spare();
        if (spare.len() as u64) < self.window {
            spare.push((batch.images, batch.coded.words));
        }
    }

    /// How long the batches that were asked for were not ready yet, the first included.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// What the work has taken so far.
    pub fn timings(&self) -> LoaderTimings {
        LoaderTimings {
            stages: self.crew.worker.clock.stages(),
            wait: self.wait,
            elapsed: self.given.map_or(Duration::ZERO, |(first, last)| last - first),
            workers: self.threads.len(),
            prefetch: self.window as usize,
        }
    }

    /// Notes when a batch was asked for and given out, and changes what does not suffice.
    fn note(&mut self, asked: Instant) {
        let now = Instant::now();
        let Some((first, before)) = self.given.replace((now, now)) else { return };
        self.given = Some((first, now));
        let waited = now - asked;
        self.wait += waited;
        let state = (self.threads.len(), self.window as usize);
        let clock = &self.crew.worker.clock;
        match self.tuner.batch(waited, now - before, state, || clock.reading_share()) {
            Some(Change::Workers) => {
                // Without another thread it goes on as it was.
                if let Ok(thread) = self.crew.start(self.threads.len()) {
                    self.threads.push(thread);
                    self.window = self.window.max(self.threads.len() as u64);
                }
            }
            Some(Change::Window) => self.window *= 2,
            None => {}
        }
    }

    /// Keeps the window full.
    fn dispatch(&mut self) {
        let Some(jobs) = &self.jobs else { return };
        let until = self.end.min(self.next.saturating_add(self.window));
        while self.dispatched < until && jobs.send(self.dispatched).is_ok() {
            self.dispatched += 1;
        }
    }

    /// Waits for the batch whose turn it is.
    fn wait(&mut self) -> Result<ImageBatch, DataError> {
        loop {
            if let Some(result) = self.early.remove(&self.next) {
                return result;
            }
            match self.results.recv() {
                Ok((number, result)) => {
                    self.early.insert(number, result);
                }
                // Not while `crew` holds the other end.
                Err(_) => return Err(DataError::Worker("all workers are gone".into())),
            }
        }
    }

    /// Ends the threads and everything that is under way.
    fn finish(&mut self) {
        self.crew.worker.stop.store(true, Ordering::Relaxed);
        self.end = self.next;
        self.jobs = None;
        self.early.clear();
        for thread in self.threads.drain(..) {
            // Panics in a worker were caught and reported as the result of its batch.
            let _ = thread.join();
        }
    }
}

impl Iterator for Loader {
    type Item = Result<ImageBatch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.end {
            return None;
        }
        let asked = Instant::now();
        let result = self.wait();
        self.waited += asked.elapsed();
        match &result {
            Ok(_) => {
                self.next += 1;
                self.note(asked);
                self.dispatch();
            }
            Err(_) => self.finish(),
        }
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // An error ends it early.
        (0, usize::try_from(self.end - self.next).ok())
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The order where each part of a batch comes from groups of its own.
fn parted(
    source: &dyn Source,
    groups: &Groups,
    options: &LoaderOptions,
    parts: u32,
) -> Result<Kind, DataError> {
    let batch = options.batch;
    if parts == 0 || !batch.is_multiple_of(parts as usize) {
        let problem =
            format!("deals a batch of {batch} out to {parts} parts, which do not divide it");
        return Err(DataError::setting("sampling", problem));
    }
    // All images in one batch.
    if source.len() < batch {
        return Ok(Kind::Grouped(groups.clone()));
    }
    let own = parts.div_ceil(options.shard.world_size()) as usize;
    source.keep_groups(own.saturating_mul(together_in_part(groups, parts)));
    Ok(Kind::Parted { groups: groups.clone(), parts, batch })
}

/// Checks what a loader needs, and gives the number of samples.
fn check(source: &dyn Source, options: &LoaderOptions) -> Result<u32, DataError> {
    if options.batch == 0 {
        return Err(DataError::setting("batch", "is 0, but must be at least 1"));
    }
    if source.is_empty() {
        return Err(DataError::setting("source", "holds no images"));
    }
    u32::try_from(source.len()).map_err(|_| {
        let problem = format!("holds {} images; at most {} can be used", source.len(), u32::MAX);
        DataError::setting("source", problem)
    })
}

fn thread_count(workers: usize, batches: u64) -> usize {
    let wanted = match workers {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        workers => workers,
    };
    let useful = usize::try_from(batches).unwrap_or(MAX_WINDOW).clamp(1, MAX_WINDOW);
    wanted.min(useful)
}

/// How far workers and window may grow; what the experiment sets stays as it is.
fn limits(
    options: &LoaderOptions,
    pipeline: &Pipeline,
    threads: usize,
    window: usize,
    batches: u64,
) -> Limits {
    let readers = match options.workers {
        0 => thread_count(threads.saturating_mul(READERS), batches),
        _ => threads,
    };
    let batch = options.shard.part(options.batch).len();
    let bytes = batch.saturating_mul(pipeline.image_bytes(0)).max(1);
    let window = match options.prefetch {
        0 => (AHEAD_BYTES / bytes).clamp(window, MAX_WINDOW),
        _ => window,
    };
    Limits { workers: threads, readers, window }
}

#[cfg(test)]
mod order_tests;
#[cfg(test)]
mod tests;
