//! `vitral data cache` and `vitral data verify`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};

use clap::Args;
use indicatif::HumanCount;
use vitral_config::path_text;
use vitral_data::{Cache, DataError, Keep, OnError, PackEvent, PackOptions, Source as _, pack};
use vitral_train::batch_size::MemorySize;

use super::subject::{DataArguments, Split, Subjects};
use crate::{failure::Failure, progress::counting, words::counted};

/// Images that are named when they are left out; the rest are only counted.
const NAMED_SKIPS: u64 = 5;

#[derive(Debug, Args)]
pub struct DataCacheArguments {
    #[command(flatten)]
    pub data: DataArguments,
    /// The cache's file.
    #[arg(long, value_name = "FILE.vcache")]
    pub out: PathBuf,
    /// Shrink images whose longer side is longer than this. Images that stay encoded keep their
    /// size.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub max_side: Option<u32>,
    /// How large the cache may get, as in "20 GiB": as many images as fit are stored as pixels, the
    /// others stay encoded. By default, all are stored as pixels.
    #[arg(long, value_name = "SIZE", conflicts_with = "encoded")]
    pub budget: Option<MemorySize>,
    /// Keep all images encoded.
    #[arg(long)]
    pub encoded: bool,
    /// Skip images that cannot be read, instead of stopping at the first.
    #[arg(long)]
    pub skip: bool,
}

pub fn run(arguments: &DataCacheArguments) -> Result<ExitCode, Failure> {
    let on_error = if arguments.skip { OnError::Skip } else { OnError::Stop };
    let subjects = Subjects::open(&arguments.data, on_error)?;
    let wanted = |split: Option<Split>| split.is_none_or(|split| split == Split::Train);
    let chosen =
        subjects.sets.iter().find(|set| arguments.data.split.is_some() || wanted(set.split));
    let Some(subject) = chosen else {
        return Err(Failure::Other("the experiment has no such data set".into()));
    };
    let keep = match (arguments.budget, arguments.encoded) {
        (Some(budget), _) => Keep::Budget(budget.bytes()),
        (None, true) => Keep::Stored,
        (None, false) => Keep::Pixels,
    };
    let options = PackOptions { keep, max_side: arguments.max_side, on_error };

    let bar = counting("measuring");
    bar.set_length(subject.source.len() as u64);
    let skipped = AtomicU64::new(0);
    let line = |text: String| bar.suspend(|| eprintln!("{text}"));
    let damaged = subject.source.damaged().iter().map(|part| format!("left out {part}"));
    damaged.chain(subject.source.notes().iter().cloned()).for_each(line);
    let packed = pack(&*subject.source, &arguments.out, &options, &|event| match event {
        PackEvent::Measured(done) => bar.set_position(done),
        PackEvent::Resumed(done) => {
            line(format!("continuing after {}", counted(HumanCount(done), "image", "images")));
            bar.set_position(done);
            bar.reset_eta();
        }
        PackEvent::Packed(done) => {
            bar.set_message("packing");
            bar.set_position(done);
        }
        PackEvent::Skipped(image) => {
            if skipped.fetch_add(1, Ordering::Relaxed) < NAMED_SKIPS {
                line(format!("left out {}: {}", image.name, image.reason));
            }
        }
    });
    bar.finish_and_clear();
    let report = packed.map_err(|error| match error {
        DataError::Sample(error) => {
            Failure::Other(format!("{error}; `--skip` leaves such images out"))
        }
        error => error.into(),
    })?;
    let skipped = skipped.into_inner();
    if skipped > NAMED_SKIPS {
        let more = HumanCount(skipped - NAMED_SKIPS);
        eprintln!(
            "and {more} more images could not be read and were left out; `vitral data info \
             --check --json` lists them all"
        );
    }
    // What was written is read as a run would read it.
    let raw = Cache::open(&arguments.out)?.raw_images() as u64;
    println!(
        "{}: {} ({} as pixels, {} encoded), {}",
        arguments.out.display(),
        counted(HumanCount(report.images), "image", "images"),
        HumanCount(raw),
        HumanCount(report.images - raw),
        MemorySize::new(report.bytes).rounded(),
    );
    println!("to use it: Cache(path: {})", path_text::quoted(&arguments.out));
    Ok(ExitCode::SUCCESS)
}

pub fn verify(path: &Path) -> Result<ExitCode, Failure> {
    let cache = Cache::open(path)?;
    let bar = counting("verifying");
    bar.set_length(cache.len() as u64);
    let result = cache.verify(|| bar.inc(1));
    bar.finish_and_clear();
    result.map_err(DataError::from)?;
    println!("{}: all {} images match their checksums", path.display(), cache.len());
    Ok(ExitCode::SUCCESS)
}
