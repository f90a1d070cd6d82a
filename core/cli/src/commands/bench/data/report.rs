//! The figures of a data path, for people and as JSON.

use std::{fmt, path::Path, time::Duration};

use serde::Serialize;
use vitral_train::Experiment;

use super::path::Passage;
use crate::commands::bench::report::Spread;

/// What the thread that takes batches does, which no worker can do for it.
const NORMALIZE: &str = "normalize";

/// Whose images they are, and what they become.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Subject {
    experiment: String,
    images: usize,
    batch: usize,
    image_size: usize,
    channels: usize,
}

/// Images per second of one round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Round {
    pub images_per_second: f64,
    pub read: f64,
    pub decode: f64,
    pub copy: f64,
}

/// Time of one stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Stage {
    name: String,
    /// Of the threads that do it, for one image.
    microseconds_per_image: f64,
    /// Of the time of all stages, from 0 to 1.
    share: f64,
}

/// What was found with one number of workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Row {
    pub workers: usize,
    images_per_second: Option<Spread>,
    batches_per_second: f64,
    stages: Vec<Stage>,
    bottleneck: Option<String>,
    /// Images per second of each part of the path alone.
    limits: PartSpreads,
    /// The path's images per second, relative to each limit.
    ratios: PartSpreads,
    samples: Vec<Round>,
    #[serde(skip)]
    passage: Passage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
struct PartSpreads {
    read: Option<Spread>,
    decode: Option<Spread>,
    copy: Option<Spread>,
}

impl PartSpreads {
    fn of(samples: &[Round], figure: impl Fn(&Round, f64) -> f64) -> Self {
        let spread = |part: fn(&Round) -> f64| {
            Spread::of(samples.iter().map(|round| figure(round, part(round))))
        };
        Self {
            read: spread(|round| round.read),
            decode: spread(|round| round.decode),
            copy: spread(|round| round.copy),
        }
    }
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataResults {
    pub version: &'static str,
    #[serde(flatten)]
    pub subject: Subject,
    pub processors: usize,
    /// That their kernels run on.
    pub instruction_set: &'static str,
    /// Of each measurement.
    pub seconds: f64,
    pub workers: Vec<Row>,
    pub notes: Vec<String>,
}

impl Subject {
    pub fn new(path: &Path, experiment: &Experiment, images: usize) -> Self {
        Self {
            experiment: path.display().to_string(),
            images,
            batch: experiment.train.batch.effective(),
            image_size: experiment.model.image_size,
            channels: experiment.model.channels,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { experiment, images, batch, image_size, channels } = self;
        let channels = if *channels == 1 { "grey" } else { "RGB" };
        write!(
            f,
            "{images} training images of {experiment}, as batches of {batch} at {image_size} px, {channels}"
        )
    }
}

impl Row {
    pub fn new(workers: usize) -> Self {
        Self { workers, ..Self::default() }
    }

    /// Adds a round, and what went along the path in it.
    pub fn add(&mut self, round: Round, passage: &Passage) {
        self.samples.push(round);
        self.passage.add(passage);
        let samples = &self.samples;
        self.images_per_second = Spread::of(samples.iter().map(|round| round.images_per_second));
        self.batches_per_second = self.passage.batches as f64 / self.passage.elapsed.as_secs_f64();
        self.limits = PartSpreads::of(samples, |_, limit| limit);
        self.ratios = PartSpreads::of(samples, |round, limit| round.images_per_second / limit);
        self.stages = stages(&self.passage);
        self.bottleneck = bottleneck(&self.passage, self.workers);
    }
}

fn stages(passage: &Passage) -> Vec<Stage> {
    let normalize = (NORMALIZE.to_owned(), passage.normalize);
    let all: Vec<_> = passage.stages.iter().cloned().chain([normalize]).collect();
    let total: Duration = all.iter().map(|(_, time)| time).sum();
    let total = total.as_secs_f64().max(f64::MIN_POSITIVE);
    all.into_iter()
        .map(|(name, time)| Stage {
            name,
            microseconds_per_image: 1e6 * time.as_secs_f64() / passage.images.max(1) as f64,
            share: time.as_secs_f64() / total,
        })
        .collect()
}

/// What batches come no faster for: the workers' longest stage, or normalising, where one thread takes
/// longer for it than all workers take for the rest.
fn bottleneck(passage: &Passage, workers: usize) -> Option<String> {
    let total: Duration = passage.stages.iter().map(|(_, time)| time).sum();
    let each = total.as_secs_f64() / workers.max(1) as f64;
    if passage.normalize.as_secs_f64() > each {
        return Some(NORMALIZE.into());
    }
    vitral_data::bottleneck(&passage.stages).map(|(name, _)| name.to_owned())
}

impl fmt::Display for DataResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, processors, instruction_set, .. } = self;
        writeln!(f, "{subject}; {processors} processors, kernels on {instruction_set}")?;
        writeln!(
            f,
            "{:>7}  {:>9} {:21}  {:>9}  {:>15}  {:>17}  {:>16}  bottleneck",
            "workers",
            "img/s",
            "(least to most)",
            "batches/s",
            "of reading alone",
            "of decoding alone",
            "of copying alone"
        )?;
        for row in &self.workers {
            let Some(Spread { median, least, most }) = row.images_per_second else { continue };
            let range = format!("({least:.0} to {most:.0})");
            let [read, decode, copy] =
                [row.ratios.read, row.ratios.decode, row.ratios.copy].map(ratio);
            writeln!(
                f,
                "{:7}  {median:9.0} {range:21}  {:9.2}  {read:>16}  {decode:>17}  {copy:>16}  {}",
                row.workers,
                row.batches_per_second,
                row.bottleneck.as_deref().unwrap_or("unknown"),
            )?;
        }
        for row in &self.workers {
            let plural = if row.workers == 1 { "" } else { "s" };
            let stages = row.stages.iter().map(|Stage { name, microseconds_per_image, share }| {
                format!("{name} {microseconds_per_image:.1} us ({:.0}%)", share * 100.0)
            });
            let stages: Vec<String> = stages.collect();
            writeln!(f, "with {} worker{plural}, of an image: {}", row.workers, stages.join(", "))?;
            let PartSpreads { read, decode, copy } = row.limits;
            let [read, decode, copy] = [read, decode, copy].map(rate);
            writeln!(
                f,
                "  alone: reading {read} img/s, decoding whole images {decode}, copying batches {copy}"
            )?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

/// The median of a rate.
fn rate(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "unknown".into(), |spread| format!("{:.0}", spread.median))
}

/// The median of a ratio.
fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "unknown".into(), |spread| format!("{:.3}x", spread.median))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(decode: u64, flip: u64, normalize: u64) -> Passage {
        let milliseconds = Duration::from_millis;
        Passage {
            images: 100,
            batches: 10,
            elapsed: Duration::from_secs(2),
            stages: vec![
                ("decode".into(), milliseconds(decode)),
                ("flip".into(), milliseconds(flip)),
            ],
            normalize: milliseconds(normalize),
        }
    }

    #[test]
    fn times_are_those_of_an_image() {
        let round = Round { images_per_second: 50.0, read: 500.0, decode: 100.0, copy: 1e4 };
        let mut row = Row::new(2);
        for _ in 0..2 {
            row.add(round, &passage(300, 100, 100));
        }
        let found: Vec<_> = row.stages.iter().map(|s| (s.name.as_str(), s.share)).collect();
        assert_eq!(found, [("decode", 0.6), ("flip", 0.2), ("normalize", 0.2)]);
        assert_eq!(row.stages[0].microseconds_per_image, 3000.0);
        assert_eq!(row.batches_per_second, 5.0);
        assert_eq!(row.ratios.read.unwrap().median, 0.1);
        assert_eq!(row.limits.decode.unwrap().median, 100.0);
    }

    #[test]
    fn one_thread_can_hold_up_many() {
        for (workers, normalize, expected) in
            [(1, 300, "decode"), (2, 300, "normalize"), (4, 90, "decode"), (4, 110, "normalize")]
        {
            let found = bottleneck(&passage(300, 100, normalize), workers);
            assert_eq!(found.as_deref(), Some(expected), "{workers}, {normalize}");
        }
    }
}
