//! What the machine can do of parts of the data path, on as many threads as there are workers.

use std::{
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use vitral_data::{OnError, ReadError, Source, Stored, epoch_order, grouped_order};
use vitral_seed::Seed;
use vitral_train::Experiment;

use crate::failure::Failure;

/// Images that a thread takes at once.
const AT_ONCE: usize = 8;
/// The most that is copied at once: 32 MiB, which no processor's cache holds.
const COPIED: usize = 32 << 20;

/// A part of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// The bytes of images as they are stored, in the order of an epoch, each of them looked at.
    Read,
    /// The same, and all of each image made into pixels.
    Decode,
    /// Copies of batches of 8-bit pixels in memory.
    Copy,
}

/// Does parts of the path.
pub struct PathParts<'s> {
    source: &'s dyn Source,
    /// The images in the order of an epoch, and where in it is gone on.
    order: Vec<u32>,
    next: AtomicUsize,
    /// Of a batch, or of a part of it.
    copied_images: usize,
    copied_bytes: usize,
    on_error: OnError,
}

impl<'s> PathParts<'s> {
    pub fn new(experiment: &Experiment, source: &'s dyn Source) -> Self {
        let seed = Seed::new(experiment.seed);
        // A loader refuses more images than a u32 counts.
        let len = u32::try_from(source.len()).unwrap_or(u32::MAX);
        let order = match source.groups() {
            Some(groups) => grouped_order(seed, 0, groups),
            None => epoch_order(seed, 0, len),
        };
        let model = &experiment.model;
        let image = (model.image_size * model.image_size * model.channels).max(1);
        let copied_images = (COPIED / image).clamp(1, experiment.train.batch.effective());
        Self {
            source,
            // The path itself begins with the first.
            next: AtomicUsize::new(order.len() / 2),
            order,
            copied_images,
            copied_bytes: copied_images * image,
            on_error: experiment.data.on_error,
        }
    }

    /// Images per second, of all threads together.
    ///
    /// # Errors
    /// An image cannot be read, and is not to be left out.
    pub fn rate(&self, limit: PathPart, threads: usize, time: Duration) -> Result<f64, Failure> {
        thread::scope(|scope| {
            let work = || match limit {
                PathPart::Read => self.each(time, read),
                PathPart::Decode => self.each(time, decode),
                PathPart::Copy => Ok(self.copy(time)),
            };
            let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let rates = threads.into_iter().map(|thread| match thread.join() {
                Ok(rate) => rate
                    .map_err(|error| Failure::Other(format!("{}: {}", error.name, error.reason))),
                Err(_) => Err(Failure::Other("the decoder failed on an image".into())),
            });
            rates.sum()
        })
    }

    /// Does something with one image after the other.
    fn each(
        &self,
        time: Duration,
        work: fn(Stored<'_>) -> Result<(), String>,
    ) -> Result<f64, ReadError> {
        let (mut buffer, mut count) = (Vec::new(), 0_u32);
        let start = Instant::now();
        while start.elapsed() < time {
            let first = self.next.fetch_add(AT_ONCE, Ordering::Relaxed);
            for at in first..first + AT_ONCE {
                let index = self.order[at % self.order.len()] as usize;
                let done = self.source.load(index, &mut buffer).and_then(|stored| {
                    work(stored)
                        .map_err(|reason| ReadError { name: self.source.name(index), reason })
                });
                match done {
                    Ok(()) => count += 1,
                    Err(_) if self.on_error == OnError::Skip => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    }

    fn copy(&self, time: Duration) -> f64 {
        let (from, mut to) = (vec![1_u8; self.copied_bytes], vec![0; self.copied_bytes]);
        // The system gives memory when it is first written.
        to.copy_from_slice(&from);
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed() < time {
            to.copy_from_slice(black_box(&from));
            black_box(&to);
            count += self.copied_images;
        }
        count as f64 / start.elapsed().as_secs_f64()
    }
}

fn read(stored: Stored<'_>) -> Result<(), String> {
    let bytes = match &stored {
        Stored::Encoded(bytes) => bytes,
        Stored::Pixels(view) => view.pixels(),
        Stored::Image(image) => image.pixels(),
    };
    // A page that is mapped is read from the disk when it is looked at.
    black_box(bytes.iter().step_by(64).fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
    Ok(())
}

fn decode(stored: Stored<'_>) -> Result<(), String> {
    let image = stored.decode().map_err(|error| error.to_string())?;
    black_box(image);
    Ok(())
}
