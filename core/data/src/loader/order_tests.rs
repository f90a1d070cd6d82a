//! Which images come when: on every kind of source, whatever the number of workers, from whichever batch
//! a run goes on, and shared by however many processes.

use super::*;
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::Path;

use rand::Rng as _;
use tempfile::TempDir;

use crate::source::fixtures;
use crate::{
    Cache, Channels, Cifar, HorizontalFlip, Idx, ImageFolder, PackOptions, PadCrop, Parquet,
    Transform, WebDataset,
};

/// Images of the sources that are made here.
const IMAGES: u32 = 31;

/// One of every kind, and of those that are read in groups, with buffers of several sizes.
fn sources(folder: &Path) -> Vec<(&'static str, Arc<dyn Source>)> {
    let path = |name: &str| folder.join(name);
    for index in 0..IMAGES {
        let class = path(&format!("folder/{}", index % 3));
        fs::create_dir_all(&class).unwrap();
        fs::write(class.join(format!("{index:02}.png")), png(index)).unwrap();
    }
    let idx = |dimensions: &[u32], values: Vec<u8>| {
        let header = [0, 0, 8, dimensions.len() as u8].into_iter();
        header
            .chain(dimensions.iter().flat_map(|n| n.to_be_bytes()))
            .chain(values)
            .collect::<Vec<_>>()
    };
    let pixels = (0..IMAGES).flat_map(|index| [index as u8; 16]).collect();
    fs::write(path("images"), idx(&[IMAGES, 4, 4], pixels)).unwrap();
    fs::write(path("labels"), idx(&[IMAGES], (0..IMAGES as u8).collect())).unwrap();
    let records: Vec<u8> =
        (0..IMAGES as u8).flat_map(|index| [index % 10].into_iter().chain([index; 3072])).collect();
    fs::write(path("cifar.bin"), records).unwrap();
    for (shard, images) in [0..9, 9..23, 23..IMAGES].into_iter().enumerate() {
        let mut tar = tar::Builder::new(File::create(path(&format!("{shard}.tar"))).unwrap());
        for index in images {
            for (extension, content) in
                [("cls", vec![b'0' + index as u8 % 10]), ("png", png(index))]
            {
                let mut header = tar::Header::new_gnu();
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, format!("{index}.{extension}"), &content[..]).unwrap();
            }
        }
        tar.finish().unwrap();
    }
    let web = |buffer| -> Arc<dyn Source> {
        Arc::new(WebDataset::open(&[path("*.tar")], None, "label", buffer).unwrap())
    };
    let parquet = |buffer| -> Arc<dyn Source> {
        let files = [fixtures("train-*-of-00002.parquet")];
        Arc::new(Parquet::open(&files, None, None, None, buffer).unwrap())
    };
    let images = ImageFolder::open(&path("folder"), None).unwrap();
    crate::pack(&images, &path("x.vcache"), &PackOptions::default(), &|_| {}).unwrap();
    vec![
        ("folder", Arc::new(images)),
        ("idx", Arc::new(Idx::open(&path("images"), &path("labels"), None).unwrap())),
        ("cifar", Arc::new(Cifar::open_10(&[path("cifar.bin")]).unwrap())),
        ("shards", web(None)),
        ("sequential, one piece", web(Some(1))),
        ("sequential, two pieces", web(Some(20))),
        ("sequential, all", web(Some(1000))),
        ("parquet, one group", parquet(Some(1))),
        ("parquet, two groups", parquet(Some(8))),
        ("parquet, all", parquet(None)),
        ("cache", Arc::new(Cache::open(&path("x.vcache")).unwrap())),
    ]
}

fn png(index: u32) -> Vec<u8> {
    let image =
        image::GrayImage::from_fn(4, 4, |x, y| image::Luma([(index * 7 + x + 4 * y) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn pipeline() -> Arc<Pipeline> {
    let transforms = vec![
        Transform::HorizontalFlip(HorizontalFlip { probability: 0.5 }),
        Transform::PadCrop(PadCrop { padding: 1, fill: 0 }),
    ];
    Arc::new(Pipeline::own(Channels::Grey, 4, &transforms).unwrap())
}

fn batches(
    source: &Arc<dyn Source>,
    options: LoaderOptions,
    numbers: Range<u64>,
) -> Vec<ImageBatch> {
    let loader = Loader::train(Arc::clone(source), pipeline(), options, numbers).unwrap();
    loader.collect::<Result<_, _>>().unwrap()
}

/// What the processes of one step have, put together in the order of their ranks.
fn together(parts: &[ImageBatch]) -> ImageBatch {
    let mut whole = parts[0].clone();
    for part in &parts[1..] {
        assert_eq!(
            (part.size, part.channels, part.epoch),
            (whole.size, whole.channels, whole.epoch)
        );
        whole.images.extend(&part.images);
        whole.labels.extend(&part.labels);
        whole.samples.extend(&part.samples);
        whole.places.extend(&part.places);
    }
    whole
}

/// Random batch sizes, numbers of processes and workers, and places to go on from; the same every time.
#[test]
fn batches_follow_from_seed_and_number_alone_on_every_source() {
    let folder = TempDir::new().unwrap();
    for (number, (name, source)) in sources(folder.path()).into_iter().enumerate() {
        let rng = &mut Seed::new(number as u64).rng();
        for trial in 0..12 {
            let len = source.len();
            let batch = rng.random_range(1..=len as u32) as usize;
            let per_epoch = Loader::batches_per_epoch(len, batch);
            // Two epochs and a half.
            let end = 2 * per_epoch + per_epoch.div_ceil(2);
            let repeats = rng.random_range(1..=3);
            let options = LoaderOptions {
                batch,
                workers: 1,
                prefetch: 1,
                on_error: OnError::Stop,
                seed: Seed::new(trial),
                shard: Shard::default(),
                repeats,
            };
            let whole = batches(&source, options, 0..end);
            check_epochs(&whole, len, batch, per_epoch as usize, repeats as usize);
            let world_size = rng.random_range(1..=batch.min(5) as u32);
            let start = rng.random_range(0..end);
            let parts: Vec<_> = (0..world_size)
                .map(|rank| {
                    let shard = Shard::new(rank, world_size).unwrap();
                    let workers = rng.random_range(1..=4);
                    let options = LoaderOptions { shard, workers, prefetch: 3, ..options };
                    batches(&source, options, start..end)
                })
                .collect();
            for (at, expected) in whole[start as usize..].iter().enumerate() {
                let parts: Vec<_> = parts.iter().map(|part| part[at].clone()).collect();
                let case = format!(
                    "{name}: batch {batch}, repeats {repeats}, {world_size} processes, from {start}"
                );
                assert!(together(&parts) == *expected, "{case}, step {at}");
            }
        }
    }
}

/// Every image comes once in an epoch, or as often as it is repeated, but for those that do not fill a batch.
fn check_epochs(
    batches: &[ImageBatch],
    len: usize,
    batch: usize,
    per_epoch: usize,
    repeats: usize,
) {
    let mut orders = HashSet::new();
    for epoch in batches.chunks(per_epoch) {
        let samples: Vec<u32> = epoch.iter().flat_map(|batch| batch.samples.clone()).collect();
        let different: HashSet<_> = samples.iter().collect();
        assert_eq!(different.len(), samples.len().div_ceil(repeats));
        let runs: Vec<usize> = samples.chunk_by(|a, b| a == b).map(<[u32]>::len).collect();
        assert!(runs[..runs.len() - 1].iter().all(|run| *run == repeats), "{samples:?}");
        assert_eq!(samples.len(), epoch.len() * batch.min(len));
        orders.insert(samples);
    }
    assert!(len < 10 || batch * 2 > len || orders.len() > 1, "all epochs have the same order");
}

#[test]
fn evaluation_is_shared_without_a_gap_or_an_overlap() {
    let folder = TempDir::new().unwrap();
    for (name, source) in sources(folder.path()) {
        for (batch, world_size) in [(4, 3), (1, 5), (100, 2), (7, 7)] {
            let samples = (0..world_size).flat_map(|rank| {
                let options = LoaderOptions {
                    batch,
                    workers: 2,
                    prefetch: 2,
                    on_error: OnError::Stop,
                    seed: Seed::new(0),
                    shard: Shard::new(rank, world_size).unwrap(),
                    repeats: 1,
                };
                let loader = Loader::eval(Arc::clone(&source), pipeline(), options).unwrap();
                loader.flat_map(|batch| batch.unwrap().samples)
            });
            let samples: Vec<_> = samples.collect();
            assert_eq!(samples, (0..source.len() as u32).collect::<Vec<_>>(), "{name}");
        }
    }
}

/// As often as it comes, an image is augmented anew, and the first time as without repetitions.
#[test]
fn repeated_images_are_augmented_anew() {
    let folder = TempDir::new().unwrap();
    let (_, source) =
        sources(folder.path()).into_iter().find(|(name, _)| *name == "folder").unwrap();
    let options = |repeats| LoaderOptions {
        batch: 24,
        repeats,
        workers: 2,
        prefetch: 2,
        on_error: OnError::Stop,
        seed: Seed::new(1),
        shard: Shard::default(),
    };
    let of = |repeats| batches(&source, options(repeats), 0..1).remove(0);
    let (once, repeated) = (of(1), of(4));
    let images: Vec<&[u8]> = repeated.images.chunks(16).collect();
    let mut others = 0;
    for (sample, versions) in images.chunks(4).enumerate() {
        assert_eq!(versions[0], &once.images[sample * 16..][..16], "image {sample}");
        others += versions[1..].iter().filter(|version| **version != versions[0]).count();
    }
    // Of 18 ways to cut and turn an image, two are the same now and then.
    assert!((12..=18).contains(&others), "{others} of 18 differ from the first");
}

/// Whatever the number of workers and processes, and wherever it goes on.
#[test]
fn balanced_epochs_have_as_many_of_each_class() {
    let folder = TempDir::new().unwrap();
    let mut balanced = 0;
    for (name, source) in sources(folder.path()) {
        let options = LoaderOptions {
            batch: 6,
            workers: 1,
            prefetch: 1,
            on_error: OnError::Stop,
            seed: Seed::new(2),
            shard: Shard::default(),
            repeats: 1,
        };
        let loader = |options, batches: Range<u64>| {
            let source = Arc::clone(&source);
            Loader::train_sampled(Sampling::Balanced, source, pipeline(), options, batches)
        };
        if source.groups().is_some() {
            let error = loader(options, 0..1).err().unwrap().to_string();
            assert!(error.contains("sampling: is `Balanced`"), "{name}: {error}");
            continue;
        }
        balanced += 1;
        let drawn = |options, batches| -> Vec<ImageBatch> {
            loader(options, batches).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let whole = drawn(options, 0..20);
        let mut counts = vec![0_usize; source.class_names().len()];
        whole.iter().flat_map(|batch| &batch.labels).for_each(|&label| counts[label as usize] += 1);
        counts.retain(|&count| count > 0);
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        // 120 of the 124 images of four epochs: those that do not fill a batch are left out.
        assert!(most - least <= 8, "{name}: {counts:?}");
        let parts = [0, 1].map(|rank| {
            let shard = Shard::new(rank, 2).unwrap();
            drawn(LoaderOptions { shard, workers: 3, prefetch: 3, ..options }, 7..20)
        });
        for (at, expected) in whole[7..].iter().enumerate() {
            let both = parts.each_ref().map(|part| part[at].clone());
            assert!(together(&both) == *expected, "{name}, batch {at}");
        }
    }
    assert!(balanced >= 4, "{balanced} sources were balanced");
}

/// Which groups each process reads of an epoch, and that batches are the same however many there are.
#[test]
fn processes_read_groups_of_their_own_where_batches_are_split() {
    let folder = TempDir::new().unwrap();
    let all = sources(folder.path());
    let mut split = 0;
    for (name, source) in &all {
        let options = LoaderOptions {
            batch: 8,
            workers: 1,
            prefetch: 1,
            on_error: OnError::Stop,
            seed: Seed::new(2),
            shard: Shard::default(),
            repeats: 1,
        };
        let loader = |parts, options, batches: Range<u64>| {
            let (source, sampling) = (Arc::clone(source), Sampling::SplitByNode { parts });
            Loader::train_sampled(sampling, source, pipeline(), options, batches)
        };
        let drawn = |parts, options, batches| -> Vec<ImageBatch> {
            loader(parts, options, batches).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let per_epoch = Loader::batches_per_epoch(source.len(), 8);
        let Some(groups) = source.groups() else {
            assert!(drawn(4, options, 0..per_epoch) == batches(source, options, 0..per_epoch));
            continue;
        };
        let error = loader(3, options, 0..1).err().unwrap().to_string();
        assert!(error.contains("sampling: deals a batch of 8 out to 3 parts"), "{name}: {error}");
        let whole = drawn(4, options, 0..2 * per_epoch);
        check_epochs(&whole, source.len(), 8, per_epoch as usize, 1);
        for processes in [1, 2, 4] {
            let parts: Vec<_> = (0..processes)
                .map(|rank| {
                    let shard = Shard::new(rank, processes).unwrap();
                    drawn(4, LoaderOptions { shard, workers: 2, ..options }, 1..2 * per_epoch)
                })
                .collect();
            for (at, expected) in whole[1..].iter().enumerate() {
                let parts: Vec<_> = parts.iter().map(|part| part[at].clone()).collect();
                assert!(together(&parts) == *expected, "{name}, {processes} processes, step {at}");
            }
            // Those of the second epoch: neighbours have one in common at most.
            let read = |part: &Vec<ImageBatch>| -> HashSet<usize> {
                let epoch = part.iter().skip(per_epoch as usize - 1);
                epoch
                    .flat_map(|batch| &batch.samples)
                    .map(|at| groups.locate(*at as usize).0)
                    .collect()
            };
            let read: usize = parts.iter().map(|part| read(part).len()).sum();
            let most = groups.count() + processes as usize - 1;
            assert!(read <= most, "{name}: {read} groups by {processes} processes");
        }
        split += 1;
    }
    assert_eq!(split, 6);
    // All images in one batch.
    let (_, source) = &all[4];
    let options = LoaderOptions {
        batch: 64,
        workers: 1,
        prefetch: 1,
        on_error: OnError::Stop,
        seed: Seed::new(2),
        shard: Shard::default(),
        repeats: 1,
    };
    let sampling = Sampling::SplitByNode { parts: 4 };
    let loader = Loader::train_sampled(sampling, Arc::clone(source), pipeline(), options, 0..1);
    let found: Vec<_> = loader.unwrap().map(Result::unwrap).collect();
    assert!(found == batches(source, options, 0..1));
}
