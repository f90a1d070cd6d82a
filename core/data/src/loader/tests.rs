//! What a loader promises, tested with sources that misbehave.

use super::*;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{
    Channels, HorizontalFlip, Image, ImageFolder, PadCrop, RandomResizedCrop, ReadError, Transform,
};

/// Images whose pixels tell their index, made without files.
struct Fake {
    count: usize,
    /// Indices that cannot be read.
    broken: HashSet<usize>,
    /// Index whose reading panics.
    panics: Option<usize>,
    delay: Duration,
    classes: Vec<String>,
    /// A file that reading would make, as code that an image has slipped in might.
    #[cfg(target_os = "linux")]
    writes: Option<std::path::PathBuf>,
}

impl Fake {
    fn new(count: usize) -> Self {
        Self {
            count,
            broken: HashSet::new(),
            panics: None,
            delay: Duration::ZERO,
            classes: vec!["a".into(), "b".into()],
            #[cfg(target_os = "linux")]
            writes: None,
        }
    }
}

impl Source for Fake {
    fn len(&self) -> usize {
        self.count
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, index: usize) -> u32 {
        (index % 2) as u32
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        // Later samples are quicker, so that batches become ready out of order.
        thread::sleep(self.delay * (index % 3) as u32);
        assert_ne!(Some(index), self.panics, "no such luck");
        #[cfg(target_os = "linux")]
        if let Some(path) = &self.writes {
            let refused = std::fs::write(path, "mine").unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
        }
        if self.broken.contains(&index) {
            let (name, reason) = (self.name(index), "it is broken".into());
            return Err(ReadError { name, reason });
        }
        let pixels = (0..10 * 12).map(|at| (at * 3 + index) as u8).collect();
        Ok(Image::new(10, 12, Channels::Grey, pixels).unwrap())
    }

    fn name(&self, index: usize) -> String {
        format!("fake {index}")
    }

    fn hash_index(&self, _: &mut dyn std::hash::Hasher) {}
}

fn options(batch: usize, workers: usize) -> LoaderOptions {
    let (on_error, seed, shard) = (OnError::Stop, Seed::new(11), Shard::default());
    LoaderOptions { batch, workers, prefetch: 3, on_error, seed, shard, repeats: 1 }
}

fn augmentation() -> Arc<Pipeline> {
    let transforms = vec![
        Transform::RandomResizedCrop(RandomResizedCrop {
            scale: (0.2, 1.0),
            ratio: (0.75, 1.3),
            ..RandomResizedCrop::default()
        }),
        Transform::HorizontalFlip(HorizontalFlip { probability: 0.5 }),
        Transform::PadCrop(PadCrop { padding: 1, fill: 3 }),
    ];
    Arc::new(Pipeline::own(Channels::Rgb, 8, &transforms).unwrap())
}

fn plain() -> Arc<Pipeline> {
    Arc::new(Pipeline::default_eval(Channels::Grey, 8).unwrap())
}

fn train(source: Fake, options: LoaderOptions, batches: Range<u64>) -> Loader {
    Loader::train(Arc::new(source), augmentation(), options, batches).unwrap()
}

fn delayed(count: usize) -> Fake {
    Fake { delay: Duration::from_micros(300), ..Fake::new(count) }
}

fn good(loader: Loader) -> Vec<ImageBatch> {
    loader.collect::<Result<_, _>>().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn workers_write_no_files_whatever_an_image_leads_to() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    let source = Fake { writes: Some(path.clone()), ..Fake::new(23) };
    assert_eq!(good(train(source, options(4, 2), 0..5)).len(), 5);
    assert!(!path.exists());
    std::fs::write(&path, "others can").unwrap();
}

#[test]
fn batches_do_not_depend_on_the_number_of_workers() {
    let with = |workers| good(train(delayed(23), options(4, workers), 0..17));
    let one = with(1);
    assert_eq!(one.len(), 17);
    for batch in &one {
        assert_eq!((batch.len(), batch.images.len()), (4, 4 * 8 * 8 * 3));
    }
    for workers in [2, 5] {
        assert!(with(workers) == one, "{workers} workers give other batches");
    }
}

#[test]
fn starting_later_gives_the_tail_of_the_whole() {
    let whole = good(train(delayed(23), options(4, 2), 0..17));
    for start in [1, 5, 8, 16, 17] {
        let tail = good(train(delayed(23), options(4, 3), start..17));
        assert!(tail == whole[start as usize..], "from batch {start}");
    }
}

#[test]
fn an_epoch_takes_full_batches_of_different_samples() {
    let batches = good(train(Fake::new(23), options(4, 2), 0..15));
    for (epoch, batches) in batches.chunks(5).enumerate() {
        assert!(batches.iter().all(|batch| batch.epoch == epoch as u64));
        let samples: HashSet<_> = batches.iter().flat_map(|batch| &batch.samples).collect();
        assert_eq!(samples.len(), 20);
    }
    assert_ne!(batches[0].samples, batches[5].samples);
    let labels = batches.iter().flat_map(|batch| batch.samples.iter().zip(&batch.labels));
    assert!(labels.into_iter().all(|(sample, label)| sample % 2 == *label));
}

#[test]
fn augmentation_differs_between_epochs() {
    let batches = good(train(Fake::new(1), options(1, 1), 0..6));
    let images: HashSet<_> = batches.iter().map(|batch| &batch.images).collect();
    assert!(images.len() > 3, "{} different images in 6 epochs", images.len());
}

#[test]
fn too_few_samples_make_one_smaller_batch() {
    assert_eq!(Loader::batches_per_epoch(3, 8), 1);
    assert_eq!(Loader::batches_per_epoch(16, 8), 2);
    assert_eq!(Loader::batches_per_epoch(23, 8), 2);
    let batches = good(train(Fake::new(3), options(8, 2), 0..2));
    assert_eq!(batches.iter().map(ImageBatch::len).collect::<Vec<_>>(), [3, 3]);
    assert_eq!(batches[1].epoch, 1);
}

#[test]
fn evaluation_covers_every_image_once_in_order() {
    for (batch, sizes) in [(4, vec![4, 4, 2]), (5, vec![5, 5]), (usize::MAX, vec![10])] {
        let loader = Loader::eval(Arc::new(delayed(10)), plain(), options(batch, 3)).unwrap();
        let batches = good(loader);
        assert_eq!(batches.iter().map(ImageBatch::len).collect::<Vec<_>>(), sizes);
        let samples: Vec<_> = batches.iter().flat_map(|batch| batch.samples.clone()).collect();
        assert_eq!(samples, (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn batches_hold_the_pipelines_images_side_by_side() {
    let source = Arc::new(Fake::new(3));
    let batch = good(Loader::eval(source.clone(), plain(), options(3, 1)).unwrap()).remove(0);
    assert_eq!((batch.size, batch.channels, batch.epoch), (8, Channels::Grey, 0));
    for index in 0..3 {
        let image = plain().run(source.read(index).unwrap(), Seed::new(0), 0).unwrap();
        assert_eq!(batch.images[index * 64..][..64], *image.pixels());
    }
}

#[test]
fn an_unreadable_image_stops_after_the_batches_before_it() {
    let source = Fake { broken: HashSet::from([9]), ..delayed(20) };
    let mut loader = Loader::eval(Arc::new(source), plain(), options(4, 3)).unwrap();
    assert!(loader.next().unwrap().is_ok());
    assert!(loader.next().unwrap().is_ok());
    let error = loader.next().unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read fake 9: it is broken; with `data.on_error: Skip`, such images are left out and counted"
    );
    assert!(loader.next().is_none());
}

#[test]
fn skipped_images_are_left_out_and_reported() {
    let source = Fake { broken: HashSet::from([1, 6]), ..Fake::new(8) };
    let options = LoaderOptions { on_error: OnError::Skip, ..options(4, 2) };
    let batches = good(Loader::eval(Arc::new(source), plain(), options).unwrap());
    assert_eq!(batches[0].samples, [0, 2, 3]);
    assert_eq!(batches[0].images.len(), 3 * 64);
    assert_eq!(batches[1].labels, [0, 1, 1]);
    assert_eq!(batches[1].skipped[0].name, "fake 6");
    assert_eq!(batches[1].skipped[0].reason, "it is broken");
}

#[test]
fn a_batch_with_nothing_readable_is_an_error() {
    let source = Fake { broken: HashSet::from([4, 5, 6, 7]), ..Fake::new(8) };
    let options = LoaderOptions { on_error: OnError::Skip, ..options(4, 2) };
    let mut loader = Loader::eval(Arc::new(source), plain(), options).unwrap();
    assert!(loader.next().unwrap().is_ok());
    let error = loader.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("batch 1: none of its 4") && error.contains("fake 4"), "{error}");
}

#[test]
fn of_images_of_which_nothing_is_known_a_whole_batch_may_be_unreadable() {
    let source = Fake { broken: HashSet::from([0, 4, 5, 6, 7]), ..Fake::new(9) };
    let batches = good(Loader::each(Arc::new(source), plain(), options(4, 2)).unwrap());
    let samples: Vec<&[u32]> = batches.iter().map(|batch| &*batch.samples).collect();
    assert_eq!(samples, [&[1, 2, 3][..], &[], &[8]]);
    assert_eq!(batches.iter().map(|batch| batch.skipped.len()).collect::<Vec<_>>(), [1, 4, 0]);
    assert!(batches[1].is_empty() && batches[1].images.is_empty());
}

#[test]
fn a_corrupt_file_is_named_or_skipped() {
    let folder = TempDir::new().unwrap();
    for name in ["cat/1.png", "cat/2.jpg", "dog/3.png"] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::GrayImage::from_pixel(9, 9, image::Luma([99])).save(path).unwrap();
    }
    let broken = folder.path().join("cat/2.jpg");
    let bytes = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let source: Arc<dyn Source> = Arc::new(ImageFolder::open(folder.path(), None).unwrap());

    let mut loader = Loader::eval(Arc::clone(&source), plain(), options(3, 2)).unwrap();
    let error = loader.next().unwrap().unwrap_err().to_string();
    assert!(error.contains(broken.to_str().unwrap()) && error.contains("cut short"), "{error}");

    let skip = LoaderOptions { on_error: OnError::Skip, ..options(3, 2) };
    let batch = good(Loader::eval(source, plain(), skip).unwrap()).remove(0);
    assert_eq!(batch.samples, [0, 2]);
    assert_eq!(batch.skipped[0].name, broken.to_str().unwrap());
}

#[test]
fn a_panic_while_reading_becomes_an_error_that_names_the_image() {
    let source = Fake { panics: Some(2), ..Fake::new(6) };
    let mut loader = Loader::eval(Arc::new(source), plain(), options(2, 2)).unwrap();
    assert!(loader.next().unwrap().is_ok());
    let error = loader.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("fake 2") && error.contains("no such luck"), "{error}");
    assert!(loader.next().is_none());
}

#[test]
fn dropping_a_loader_ends_its_threads_promptly() {
    let source: Arc<dyn Source> =
        Arc::new(Fake { delay: Duration::from_millis(20), ..Fake::new(10_000) });
    let options = options(1000, 4);
    let loader = Loader::train(Arc::clone(&source), augmentation(), options, 0..1000).unwrap();
    let start = Instant::now();
    drop(loader);
    // A batch takes 20 s; the threads end within the sample that they are reading.
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(Arc::strong_count(&source), 1, "a thread still holds the source");
}

#[test]
fn memory_is_bounded_by_the_window() {
    let mut loader = train(Fake::new(64), options(4, 2), 0..1000);
    assert!(loader.next().unwrap().is_ok());
    thread::sleep(Duration::from_millis(50));
    assert_eq!((loader.dispatched, loader.window), (4, 3));
    assert!(loader.results.len() <= 3);
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let start =
        |count, batch| Loader::eval(Arc::new(Fake::new(count)), plain(), options(batch, 1)).err();
    assert!(start(3, 0).unwrap().to_string().contains("batch: is 0"));
    assert!(start(0, 3).unwrap().to_string().contains("no images"));
    assert!(start(3, 3).is_none());
    let two = |count, batch| {
        let options = LoaderOptions { shard: Shard::new(1, 2).unwrap(), ..options(batch, 1) };
        Loader::train(Arc::new(Fake::new(count)), plain(), options, 0..1).err()
    };
    let error = two(9, 1).unwrap().to_string();
    assert!(error.contains("batch: has 1 images, too few for 2 processes"), "{error}");
    assert!(two(1, 9).unwrap().to_string().contains("source: has 1 images"));
    assert!(two(2, 2).is_none());
    #[expect(clippy::reversed_empty_ranges)]
    let nothing = good(train(Fake::new(3), options(1, 0), 5..2));
    assert!(nothing.is_empty());
}

#[test]
fn memory_of_batches_is_used_again_and_changes_nothing() {
    let source = || Fake { broken: HashSet::from([4, 9]), ..Fake::new(24) };
    let options = LoaderOptions { on_error: OnError::Skip, ..options(4, 2) };
    let kept = good(train(source(), options, 0..18));
    let mut loader = train(source(), options, 0..18);
    for expected in kept {
        let batch = loader.next().unwrap().unwrap();
        assert!(batch == expected);
        loader.recycle(batch);
    }
    assert!(loader.next().is_none());
    assert!(!loader.crew.worker.spare().is_empty());
}

#[test]
fn time_is_counted_by_stage() {
    let slow = Fake { delay: Duration::from_millis(2), ..Fake::new(23) };
    let mut loader = train(slow, options(4, 2), 0..12);
    assert_eq!(loader.by_ref().filter(Result::is_ok).count(), 12);
    let timings = loader.timings();
    let names: Vec<_> = timings.stages.iter().map(|(name, _)| name.as_str()).collect();
    let transforms = ["RandomResizedCrop", "HorizontalFlip", "PadCrop"];
    assert_eq!(names, [&["read", "decode"], &transforms[..], &["assemble"]].concat());
    // Reading sleeps, and nothing had to be decoded.
    assert_eq!(timings.bottleneck().unwrap().0, "read");
    assert!(timings.stages[1].1.is_zero() && !timings.stages[2].1.is_zero());
    assert!((0.0..=1.0).contains(&timings.waiting_share()), "{timings:?}");
    assert_eq!((timings.workers, timings.prefetch), (2, 3));
}

/// Reading is slow, so workers are added until batches are there in time, and batches stay the same.
#[test]
fn slow_reading_is_met_by_more_workers() {
    let slow = || Fake { delay: Duration::from_millis(2), ..Fake::new(40) };
    let open = LoaderOptions { workers: 0, prefetch: 0, ..options(2, 0) };
    let mut loader = train(slow(), open, 0..60);
    let first = loader.timings().workers;
    let found: Vec<_> = loader.by_ref().map(Result::unwrap).collect();
    assert!(loader.timings().workers > first, "{:?}", loader.timings());
    assert!(found == good(train(slow(), options(2, 1), 0..60)));
}
