//! A cache holds what its source has, byte for byte the same however often its making was ended, and
//! is refused when it is not as it was written.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use vitral_seed::Seed;

use super::*;
use crate::{
    Channels, DataError, HorizontalFlip, Image, ImageBatch, ImageFolder, Loader, LoaderOptions,
    OnError, Pipeline, RandomResizedCrop, ReadError, Shard, Source, Stored, Transform,
};

/// A folder of PNG and JPEG images of different sizes, in three classes.
fn folder(count: u32) -> (TempDir, ImageFolder) {
    let folder = TempDir::new().unwrap();
    for number in 0..count {
        let class = folder.path().join(["ant", "bee", "cow"][number as usize % 3]);
        fs::create_dir_all(&class).unwrap();
        let kind = if number % 4 == 0 { "png" } else { "jpg" };
        let image = image::RgbImage::from_fn(20 + number % 7, 9 + number % 5, |x, y| {
            image::Rgb([(x * 9) as u8, (y * 17) as u8, number as u8])
        });
        image.save(class.join(format!("{number:04}.{kind}"))).unwrap();
    }
    let source = ImageFolder::open(folder.path(), None).unwrap();
    (folder, source)
}

fn make(
    source: &dyn Source,
    path: &std::path::Path,
    options: &PackOptions,
) -> Result<PackReport, DataError> {
    pack(source, path, options, &|_| {})
}

fn images(source: &dyn Source) -> Vec<(Image, u32)> {
    (0..source.len()).map(|i| (source.read(i).unwrap(), source.label(i))).collect()
}

#[test]
fn a_cache_has_the_images_of_its_source() {
    let (folder, source) = folder(150);
    for (name, keep, raw) in
        [("a", Keep::Pixels, 150), ("b", Keep::Stored, 0), ("c", Keep::Budget(100_000), usize::MAX)]
    {
        let path = folder.path().join(name);
        let report = make(&source, &path, &PackOptions { keep, ..Default::default() }).unwrap();
        assert_eq!((report.images, report.bytes), (150, fs::metadata(&path).unwrap().len()));
        let cache = Cache::open(&path).unwrap();
        assert_eq!(cache.class_names(), ["ant", "bee", "cow"]);
        assert!(images(&cache) == images(&source), "{keep:?}");
        cache.verify(|| {}).unwrap();
        if raw == usize::MAX {
            assert!((1..150).contains(&cache.raw_images()), "{}", cache.raw_images());
            assert!(report.bytes <= 100_000 + 2 * 4096, "{}", report.bytes);
        } else {
            assert_eq!(cache.raw_images(), raw);
        }
        let stays = fs::read_dir(folder.path()).unwrap().flatten();
        let stays = stays.filter(|entry| entry.path().extension().is_some()).count();
        assert_eq!(stays, 0, "a journal or a partial file is left");
    }
}

#[test]
fn pixels_are_read_without_a_copy_and_longer_sides_are_limited() {
    let (folder, source) = folder(4);
    let path = folder.path().join("x");
    make(&source, &path, &PackOptions { max_side: Some(10), ..Default::default() }).unwrap();
    let cache = Cache::open(&path).unwrap();
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let loaded = [cache.load(0, &mut one).unwrap(), cache.load(0, &mut two).unwrap()];
    let [Stored::Pixels(first), Stored::Pixels(again)] = loaded else {
        panic!("{loaded:?} are no views of pixels");
    };
    assert_eq!((first.width(), first.height()), (10, 5));
    assert_eq!(first.pixels().as_ptr(), again.pixels().as_ptr());
    assert_eq!(first.pixels().as_ptr() as usize % 64, 0);
}

/// Training batches of two epochs and a part, augmented.
fn batches(source: Arc<dyn Source>, workers: usize) -> Vec<ImageBatch> {
    let transforms = vec![
        Transform::RandomResizedCrop(RandomResizedCrop {
            scale: (0.2, 1.0),
            ratio: (0.75, 1.3),
            ..RandomResizedCrop::default()
        }),
        Transform::HorizontalFlip(HorizontalFlip { probability: 0.5 }),
    ];
    let pipeline = Pipeline::own(Channels::Rgb, 8, &transforms).unwrap();
    let (on_error, seed, shard) = (OnError::Stop, Seed::new(3), Shard::default());
    let options =
        LoaderOptions { batch: 16, workers, prefetch: 2, on_error, seed, shard, repeats: 1 };
    let loader = Loader::train(source, Arc::new(pipeline), options, 0..15).unwrap();
    loader.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_cache_gives_the_batches_of_its_source() {
    let (folder, source) = folder(100);
    let source: Arc<dyn Source> = Arc::new(source);
    let expected = batches(Arc::clone(&source), 1);
    for (name, keep) in [("a", Keep::Pixels), ("b", Keep::Stored), ("c", Keep::Budget(70_000))] {
        let path = folder.path().join(name);
        make(&*source, &path, &PackOptions { keep, ..Default::default() }).unwrap();
        let cache = Arc::new(Cache::open(&path).unwrap());
        assert!(batches(cache, 3) == expected, "{keep:?}");
    }
}

/// Gives its images until it has given so many, and then fails.
struct Ending<'a> {
    source: &'a ImageFolder,
    left: AtomicUsize,
}

impl Source for Ending<'_> {
    fn len(&self) -> usize {
        self.source.len()
    }
    fn class_names(&self) -> &[String] {
        self.source.class_names()
    }
    fn label(&self, index: usize) -> u32 {
        self.source.label(index)
    }
    fn read(&self, index: usize) -> Result<Image, ReadError> {
        let ended = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, ended) {
            Ok(_) => self.source.read(index),
            Err(_) => Err(ReadError { name: self.name(index), reason: "ended".into() }),
        }
    }
    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }
    fn hash_index(&self, hasher: &mut dyn std::hash::Hasher) {
        self.source.hash_index(hasher);
    }
}

#[test]
fn an_ended_attempt_is_gone_on_with_and_changes_nothing() {
    let (folder, source) = folder(300);
    let (whole, ended) = (folder.path().join("whole"), folder.path().join("ended"));
    let options = PackOptions::default();
    make(&source, &whole, &options).unwrap();
    let mut resumed = Vec::new();
    for left in [100, 90, 1000] {
        let ending = Ending { source: &source, left: AtomicUsize::new(left) };
        let from = Mutex::new(0);
        let result = pack(&ending, &ended, &options, &|event| {
            if let PackEvent::Resumed(done) = event {
                *from.lock().unwrap() = done;
            }
        });
        assert_eq!(result.is_ok(), left == 1000, "{result:?}");
        assert_eq!(ended.exists(), left == 1000);
        resumed.push(from.into_inner().unwrap());
        // As if the process had been ended while it wrote.
        let partial = folder.path().join("ended.partial");
        if partial.exists() {
            let mut bytes = fs::read(&partial).unwrap();
            bytes.extend([7; 1000]);
            fs::write(&partial, bytes).unwrap();
        }
    }
    assert_eq!(resumed, [0, 64, 128]);
    assert!(fs::read(&ended).unwrap() == fs::read(&whole).unwrap());

    // Without the partial file, the journal means nothing.
    fs::remove_file(&ended).unwrap();
    let ending = Ending { source: &source, left: AtomicUsize::new(100) };
    make(&ending, &ended, &options).unwrap_err();
    fs::remove_file(folder.path().join("ended.partial")).unwrap();
    make(&source, &ended, &options).unwrap();
    assert!(fs::read(&ended).unwrap() == fs::read(&whole).unwrap());
}

#[test]
fn damaged_images_stop_packing_or_are_left_out() {
    let (folder, _) = folder(30);
    fs::write(folder.path().join("bee/0004.png"), b"broken").unwrap();
    let source = ImageFolder::open(folder.path(), None).unwrap();
    let path = folder.path().join("x");
    let error = make(&source, &path, &PackOptions::default()).unwrap_err().to_string();
    assert!(error.contains("0004.png"), "{error}");
    let skipped = Mutex::new(Vec::new());
    let options = PackOptions { on_error: OnError::Skip, ..Default::default() };
    fs::remove_file(folder.path().join("x.journal")).unwrap();
    let report = pack(&source, &path, &options, &|event| {
        if let PackEvent::Skipped(image) = event {
            skipped.lock().unwrap().push(image.name);
        }
    });
    assert_eq!(report.unwrap().images, 29);
    assert!(skipped.into_inner().unwrap()[0].ends_with("0004.png"));
}

#[test]
fn caches_that_were_altered_are_refused() {
    let (folder, source) = folder(12);
    let path = folder.path().join("x");
    make(&source, &path, &PackOptions::default()).unwrap();
    let error = make(&source, &path, &PackOptions::default()).unwrap_err().to_string();
    assert!(error.contains("of that name already"), "{error}");
    let whole = fs::read(&path).unwrap();
    let other = folder.path().join("other");
    let open = |bytes: &[u8]| {
        fs::write(&other, bytes).unwrap();
        Cache::open(&other)
    };
    for (length, reason) in
        [(whole.len() - 1, "cut short"), (5000, "cut short"), (100, "cut short"), (0, "empty")]
    {
        let error = open(&whole[..length]).err().unwrap().to_string();
        assert!(error.contains(reason) && error.contains("other"), "{error}");
    }
    let altered = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    for (at, reason) in [
        (0, "not a cache"),
        (8, "version 0"),
        (24, "its header"),
        (whole.len() - 1, "its list of classes"),
        (whole.len() - 100, "its index"),
    ] {
        let error = open(&altered(at)).err().unwrap().to_string();
        assert!(error.contains(reason), "{at}: {error}");
    }
    // In the first image's pixels: found when it is read, or all are verified.
    let cache = open(&altered(4096 + 5)).unwrap();
    let error = cache.read(0).unwrap_err().to_string();
    assert!(
        error.contains("other, image 0") && error.contains("not those that were written"),
        "{error}"
    );
    assert!(cache.read(1).is_ok());
    assert!(cache.verify(|| {}).is_err());
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_what_it_takes() {
    let (folder, source) = folder(12);
    let options = PackOptions { keep: Keep::Budget(100), ..Default::default() };
    let error = make(&source, &folder.path().join("x"), &options).unwrap_err().to_string();
    assert!(error.contains("budget: is 100 bytes") && error.contains("at least"), "{error}");
}
