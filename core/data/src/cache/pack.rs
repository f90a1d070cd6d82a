//! Making a cache: images are read, decoded and made smaller on all processors, and written in the
//! source's order, so that the file does not depend on how many there are.
//!
//! Until it is finished, `x.vcache` is `x.vcache.partial`, and `x.vcache.journal` says how much of that
//! is on the disk. A process that was ended goes on from there.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SendError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::format::{ALIGNMENT, Entry, Header, PAGE, aligned, checksum};
use super::journal::{Journal, Progress};
use super::plan::{Keep, Packed, Plan};
use crate::error::{DataError, OnError, ReadError};
use crate::loader::READERS;
use crate::pixels::MAX_IMAGE_SIDE;
use crate::source::Source;
use crate::worker::Skipped;

/// Images that are made at once.
const AT_ONCE: usize = 64;
/// Bytes after which the payload is flushed to the disk, so that they need not be made again.
const FLUSH_BYTES: u64 = 64 << 20;
/// Bytes that may wait for the disk until writing waits, too.
const MOST_UNKEPT: u64 = 4 * FLUSH_BYTES;
/// The time after which it is flushed, if there are fewer bytes.
const FLUSH_TIME: Duration = Duration::from_secs(5);

/// What a cache is to hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct PackOptions {
    /// Pixels or encoded images.
    pub keep: Keep,
    /// Longest side of images that are kept as pixels, in pixels; larger ones are made smaller.
    pub max_side: Option<u32>,
    /// What happens to images that cannot be read. Those that stay encoded are not decoded here.
    pub on_error: OnError,
}

/// What packing is doing.
#[derive(Clone, Debug)]
pub enum PackEvent {
    /// So many images' sizes are known, of which the budget's share depends.
    Measured(u64),
    /// So many images are in the file, of an earlier attempt.
    Resumed(u64),
    /// So many of the source's images are dealt with.
    Packed(u64),
    /// An image was left out.
    Skipped(Skipped),
}

/// What a cache came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackReport {
    /// Images in the cache.
    pub images: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Packs a source's images into a cache at `path`, and goes on where an earlier attempt was ended.
///
/// # Errors
/// If there is a file at `path`, one cannot be written, the budget is too small, an image cannot be
/// read (unless such are to be left out), or another process makes the same cache.
pub fn pack(
    source: &dyn Source,
    path: &Path,
    options: &PackOptions,
    observe: &(dyn Fn(PackEvent) + Sync),
) -> Result<PackReport, DataError> {
    if options.max_side.is_some_and(|side| !(1..=MAX_IMAGE_SIDE).contains(&side)) {
        let problem = format!("must be from 1 to {MAX_IMAGE_SIDE} pixels");
        return Err(DataError::setting("max_side", problem));
    }
    vitral_files::check_new(path).map_err(|error| DataError::write(path, error))?;
    let measured = AtomicU64::new(0);
    let measure = || observe(PackEvent::Measured(measured.fetch_add(1, Ordering::Relaxed) + 1));
    let fingerprint = fingerprint(source, options);
    let (mut journal, mut progress) = Journal::open(&beside(path, "journal"), fingerprint)?;
    let readers = readers()?;
    let plan = readers.install(|| Plan::make(source, options.keep, options.max_side, &measure))?;
    let mut payload = Payload::open(&beside(path, "partial"), &mut journal, &mut progress)?;
    if progress.next > 0 {
        observe(PackEvent::Resumed(progress.next));
    }
    let pack = || payload.pack(source, options, &plan, &mut journal, &mut progress, observe);
    let mut made = readers.install(pack);
    if made.is_ok() && progress.entries.is_empty() {
        made = Err(DataError::malformed(path, "would hold no images: none can be read"));
    }
    made?;
    let bytes = payload.finish(&progress, source.class_names(), path)?;
    journal.remove()?;
    Ok(PackReport { images: progress.entries.len() as u64, bytes })
}

/// Threads that make images: more than there are processors, since many wait for the disk where images are
/// files of their own.
fn readers() -> Result<ThreadPool, DataError> {
    let threads = (READERS * rayon::current_num_threads()).min(AT_ONCE);
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|error| DataError::Worker(error.to_string()))
}

/// A number that stands for everything that decides what is in the cache, but for the images' bytes.
fn fingerprint(source: &dyn Source, options: &PackOptions) -> u64 {
    let mut hasher = twox_hash::XxHash3_64::new();
    let settings = format!("{options:?} {:?}", source.class_names());
    std::hash::Hasher::write(&mut hasher, settings.as_bytes());
    for index in 0..source.len() {
        std::hash::Hasher::write(&mut hasher, source.name(index).as_bytes());
        std::hash::Hasher::write(&mut hasher, &source.label(index).to_le_bytes());
    }
    std::hash::Hasher::finish(&hasher)
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// The unfinished file.
struct Payload {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Payload {
    /// Opens the file, and cuts off what the journal does not know of.
    fn open(
        path: &Path,
        journal: &mut Journal,
        progress: &mut Progress,
    ) -> Result<Self, DataError> {
        let io = |error| DataError::write(path, error);
        let mut file = vitral_files::update(path, vitral_files::Kind::CACHE).map_err(io)?;
        if file.metadata().map_err(io)?.len() < progress.end {
            *progress = journal.forget()?;
        }
        file.set_len(progress.end).map_err(io)?;
        file.seek(SeekFrom::Start(progress.end)).map_err(io)?;
        Ok(Self { path: path.to_owned(), file: BufWriter::with_capacity(1 << 20, file) })
    }

    /// Makes and writes all images that are missing. What was written before an error is kept.
    fn pack(
        &mut self,
        source: &dyn Source,
        options: &PackOptions,
        plan: &Plan,
        journal: &mut Journal,
        progress: &mut Progress,
        observe: &(dyn Fn(PackEvent) + Sync),
    ) -> Result<(), DataError> {
        let first = progress.next as usize;
        let path = self.path.clone();
        // The next images are made while those before are written.
        let (made, to_write) = sync_channel(2);
        thread::scope(|scope| {
            let writer = scope.spawn(|| self.write_all(to_write, journal, progress));
            let mut result = Ok(());
            for start in (first..source.len()).step_by(AT_ONCE) {
                let end = (start + AT_ONCE).min(source.len());
                let images: Vec<_> = (start..end)
                    .into_par_iter()
                    .map(|index| Packed::make(source, index, plan.is_raw(index), options.max_side))
                    .collect();
                let images = match accept(images, options.on_error, observe) {
                    Ok(images) => images,
                    Err(error) => {
                        result = Err(error.into());
                        break;
                    }
                };
                if made.send((end as u64, images)).is_err() {
                    break; // the writer failed, and says why
                }
                observe(PackEvent::Packed(end as u64));
            }
            drop(made);
            let written =
                writer.join().unwrap_or_else(|_| Err(io::Error::other("a thread failed")));
            written.map_err(|error| DataError::write(&path, error)).and(result)
        })
    }

    /// Writes images one after the other, while another thread has the disk keep what is written.
    fn write_all(
        &mut self,
        images: Receiver<(u64, Vec<Packed>)>,
        journal: &mut Journal,
        progress: &mut Progress,
    ) -> io::Result<()> {
        let file = self.file.get_ref().try_clone()?;
        // A part that is handed over is being kept: only one is, and the next waits here.
        let (parts, to_keep) = sync_channel(0);
        thread::scope(|scope| {
            let keeper = scope.spawn(move || keep(&file, journal, to_keep));
            let written = self.write_parts(images, progress, &parts);
            drop(parts);
            let kept = keeper.join().unwrap_or_else(|_| Err(io::Error::other("a thread failed")));
            kept.and(written)
        })
    }

    fn write_parts(
        &mut self,
        images: Receiver<(u64, Vec<Packed>)>,
        progress: &mut Progress,
        parts: &SyncSender<Part>,
    ) -> io::Result<()> {
        let mut known = (progress.end, progress.entries.len(), Instant::now());
        for (next, images) in images {
            for image in images {
                self.write(&image, progress)?;
            }
            progress.next = next;
            let bytes = progress.end - known.0;
            if bytes < FLUSH_BYTES && known.2.elapsed() < FLUSH_TIME {
                continue;
            }
            self.file.flush()?;
            let part = Part::new(progress, known.1);
            let handed = match bytes < MOST_UNKEPT {
                // While the disk is busy with the part before, this one grows.
                true => parts.try_send(part),
                false => {
                    parts.send(part).map_err(|SendError(part)| TrySendError::Disconnected(part))
                }
            };
            match handed {
                Ok(()) => known = (progress.end, progress.entries.len(), Instant::now()),
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Disconnected(_)) => return Ok(()), // the other thread says why
            }
        }
        self.file.flush()?;
        // Should it be gone, the other thread says why.
        let _ = parts.send(Part::new(progress, known.1));
        Ok(())
    }

    fn write(&mut self, image: &Packed, progress: &mut Progress) -> io::Result<()> {
        let offset = aligned(progress.end, ALIGNMENT);
        self.pad(offset - progress.end)?;
        self.file.write_all(&image.bytes)?;
        let &Packed { form, label, checksum, .. } = image;
        // Packing refuses images whose length is no u32.
        let length = image.bytes.len() as u32;
        progress.entries.push(Entry { offset, length, label, form, checksum });
        progress.end = offset + u64::from(length);
        Ok(())
    }

    fn pad(&mut self, bytes: u64) -> io::Result<()> {
        // Never more than a page.
        self.file.write_all(&[0; PAGE as usize][..bytes as usize])
    }

    /// Adds index, names and header, and gives the file its name.
    fn finish(
        mut self,
        progress: &Progress,
        class_names: &[String],
        path: &Path,
    ) -> Result<u64, DataError> {
        let index: Vec<u8> = progress.entries.iter().flat_map(|entry| entry.to_bytes()).collect();
        let names = serde_json::Value::from(class_names).to_string();
        let header = Header {
            samples: progress.entries.len() as u64,
            index: aligned(progress.end, PAGE),
            names: names.len() as u64,
            index_checksum: checksum(&index),
            names_checksum: checksum(names.as_bytes()),
        };
        let mut write = || {
            self.pad(header.index - progress.end)?;
            self.file.write_all(&index)?;
            self.file.write_all(names.as_bytes())?;
            self.file.rewind()?;
            self.file.write_all(&header.to_bytes())?;
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            fs::rename(&self.path, path)?;
            vitral_files::sync_folder_of(path)
        };
        write().map_err(|error| DataError::write(path, error))?;
        Ok(header.index + (index.len() + names.len()) as u64)
    }
}

/// A part of the payload that was written, as the journal will know it.
struct Part {
    next: u64,
    end: u64,
    entries: Vec<Entry>,
}

impl Part {
    /// What was written since there were `known` images.
    fn new(progress: &Progress, known: usize) -> Self {
        let &Progress { next, end, ref entries } = progress;
        Self { next, end, entries: entries[known..].to_vec() }
    }
}

/// Has the disk keep each part, and the journal know of it after that.
fn keep(file: &File, journal: &mut Journal, parts: Receiver<Part>) -> io::Result<()> {
    for Part { next, end, entries } in parts {
        file.sync_data()?;
        journal.add(next, end, &entries)?;
    }
    Ok(())
}

/// The images that could be made; one that could not is an error, or is reported and left out.
fn accept(
    images: Vec<Result<Packed, ReadError>>,
    on_error: OnError,
    observe: &(dyn Fn(PackEvent) + Sync),
) -> Result<Vec<Packed>, ReadError> {
    let mut good = Vec::with_capacity(images.len());
    for image in images {
        match (image, on_error) {
            (Ok(image), _) => good.push(image),
            (Err(error), OnError::Stop) => return Err(error),
            (Err(ReadError { name, reason }), OnError::Skip) => {
                observe(PackEvent::Skipped(Skipped { name, reason }));
            }
        }
    }
    Ok(good)
}
