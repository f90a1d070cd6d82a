//! `vitral bench data`: the training images of an experiment, from their source to normalised batches in
//! memory, without the model.
//!
//! For each number of workers, this path and its limits (`limits`) take turns: reading alone, decoding
//! alone, and copying alone what becomes of the images, on as many threads.

mod limits;
mod path;
mod report;

use std::{sync::Arc, thread, time::Duration};

use vitral_train::plugins::open_stages;

use self::{
    limits::Limits,
    path::DataPath,
    report::{Report, Round, Row, Subject},
};
use crate::{
    args::BenchDataArguments, experiment::Loaded, failure::Failure, plugins::registry, print,
    progress::Steps,
};

pub fn run(arguments: &BenchDataArguments) -> Result<(), Failure> {
    let loaded = Loaded::read(&arguments.experiment, &arguments.overrides.set)?;
    let experiment = &loaded.experiment;
    let data = &experiment.data;
    let images = data.train.open_with(data.on_error);
    let images = images.map_err(|error| loaded.locate(error.into()))?;
    let stages = open_stages(experiment, &registry(&arguments.allowed.allow)?)
        .map_err(|error| loaded.locate(error))?;
    let mut path = DataPath::new(experiment, Arc::clone(&images), stages);
    let limits = Limits::new(experiment, &*images);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let counts = match arguments.workers.is_empty() {
        true => worker_counts(processors),
        false => arguments.workers.iter().map(|&workers| workers as usize).collect(),
    };

    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        subject: Subject::new(&arguments.experiment, experiment, images.len()),
        processors,
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
            let [read, decode, copy] = [
                limit(limits::Limit::Read)?,
                limit(limits::Limit::Decode)?,
                limit(limits::Limit::Copy)?,
            ];
            row.add(
                Round { images_per_second: passage.images_per_second(), read, decode, copy },
                &passage,
            );
        }
    }
    progress.finish();
    report.notes = path.notes();
    if arguments.json {
        print::json(&report)?;
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
