//! `vitral bench data`: the training images of an experiment, from their source to normalised batches in
//! memory, without the model.
//!
//! For each number of workers, this path and its limits (`parts`) take turns: reading alone, decoding
//! alone, and copying alone what becomes of the images, on as many threads.

mod parts;
mod path;
mod report;

use std::{path::PathBuf, sync::Arc, thread, time::Duration};

use clap::Args;
use vitral_kernels::simd::InstructionSet;
use vitral_train::plugins::open_stages;

use self::{
    parts::{PathPart, PathParts},
    path::DataPath,
    report::{DataResults, Round, Row, Subject},
};
use crate::{
    consent::Allowed, experiment::Loaded, failure::Failure, json, overrides::Overrides,
    plugins::registry, progress::Steps,
};

#[derive(Debug, Args)]
pub struct BenchDataArguments {
    /// The experiment, a RON file.
    pub experiment: PathBuf,
    /// Numbers of workers to try, as in `--workers 1,4`; by default the powers of two up to the
    /// number of processors, and that number.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub workers: Vec<u32>,
    /// Seconds per measurement of the whole path; each part alone is measured for half as long.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,
    /// Rounds of measurements; in each, everything is measured in turn.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Print one JSON object with every sample instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

/// A length of time, in seconds.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("seconds must be a number from 0.01 to 3600".into()),
    }
}

pub fn run(arguments: &BenchDataArguments) -> Result<(), Failure> {
    let loaded = Loaded::read(&arguments.experiment, &arguments.overrides.set)?;
    let experiment = &loaded.experiment;
    let data = &experiment.data;
    let images = data.training().open_with(data.on_error);
    let images = images.map_err(|error| loaded.locate(error.into()))?;
    let stages = open_stages(experiment, &registry(&arguments.allowed.allow)?)
        .map_err(|error| loaded.locate(error))?;
    let mut path = DataPath::new(experiment, Arc::clone(&images), stages);
    let limits = PathParts::new(experiment, &*images);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let counts = match arguments.workers.is_empty() {
        true => worker_counts(processors),
        false => arguments.workers.iter().map(|&workers| workers as usize).collect(),
    };

    let mut report = DataResults {
        version: env!("CARGO_PKG_VERSION"),
        subject: Subject::new(&arguments.experiment, experiment, images.len()),
        processors,
        instruction_set: InstructionSet::current().name(),
        seconds: arguments.seconds,
        workers: counts.iter().map(|&workers| Row::new(workers)).collect(),
        notes: Vec::new(),
    };
    let time = Duration::from_secs_f64(arguments.seconds);
    // The first measurement, which is not counted, opens files and starts plugins.
    let mut progress = Steps::new(1, 4 * arguments.rounds * counts.len() as u32);
    progress.line(&report.subject.to_string());
    let locate = |error| loaded.locate(error);
    progress.next();
    path.run(counts[0], time / 4).map_err(locate)?;
    for _ in 0..arguments.rounds {
        for row in &mut report.workers {
            let threads = row.workers;
            progress.next();
            let passage = path.run(threads, time).map_err(locate)?;
            let mut limit = |limit| {
                progress.next();
                limits.rate(limit, threads, time / 2)
            };
            let [read, decode, copy] =
                [limit(PathPart::Read)?, limit(PathPart::Decode)?, limit(PathPart::Copy)?];
            row.add(
                Round { images_per_second: passage.images_per_second(), read, decode, copy },
                &passage,
            );
        }
    }
    progress.finish();
    report.notes = path.notes();
    if arguments.json {
        json::print(&report)?;
    } else {
        print!("{report}");
    }
    Ok(())
}

/// 1, its doubles, and all processors.
fn worker_counts(processors: usize) -> Vec<usize> {
    let doubles = std::iter::successors(Some(1), |count| Some(count * 2));
    doubles.take_while(|&count| count < processors).chain([processors]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_processors_are_tried_and_powers_of_two_before() {
        for (processors, counts) in [(1, &[1][..]), (2, &[1, 2]), (6, &[1, 2, 4, 6])] {
            assert_eq!(worker_counts(processors), counts);
        }
    }
}
