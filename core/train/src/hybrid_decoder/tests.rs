//! Against the processor's decoder: JPEG files of every kind that is decoded in this way, in every
//! orientation, larger and smaller than the result.

use std::{fs, path::Path, sync::Arc};

use tempfile::TempDir;
use vitral_data::{
    HorizontalFlip, ImageBatch, ImageFolder, Loader, LoaderOptions, Normalization, OnError,
    PadCrop, Pipeline, RandomResizedCrop, Resize, Shard, Source, Transform,
};
use vitral_seed::Seed;

use super::*;
use crate::batch::images_to_device;

const SMALL: [&str; 7] =
    ["444.jpg", "422.jpg", "440.jpg", "420.jpg", "restart.jpg", "progressive.jpg", "grey.jpg"];

fn fixture(name: &str) -> Vec<u8> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = if name.starts_with("photo") { "data/src/decode" } else { "jpeg/src" };
    fs::read(core.join(folder).join("fixtures").join(name)).unwrap()
}

/// The file with an EXIF segment that says how it has to be turned.
fn turned(file: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut segment = vec![0xff, 0xe1, 0, exif.len() as u8 + 2];
    segment.extend(exif);
    [&file[..2], &segment, &file[2..]].concat()
}

/// A folder with these files in it, and with their order.
fn folder(files: &[(String, Vec<u8>)]) -> (TempDir, Arc<dyn Source>) {
    let folder = TempDir::new().unwrap();
    let class = folder.path().join("class");
    fs::create_dir(&class).unwrap();
    for (name, bytes) in files {
        fs::write(class.join(name), bytes).unwrap();
    }
    let source = ImageFolder::open(folder.path(), None).unwrap();
    (folder, Arc::new(source))
}

/// All images as one batch, several times.
fn batches(source: &Arc<dyn Source>, pipeline: Pipeline, count: u64) -> Vec<ImageBatch> {
    let options = LoaderOptions {
        batch: source.len(),
        workers: 1,
        prefetch: 1,
        on_error: OnError::Skip,
        seed: Seed::new(5),
        shard: Shard::default(),
        repeats: 1,
    };
    let loader = Loader::train(Arc::clone(source), Arc::new(pipeline), options, 0..count).unwrap();
    loader.collect::<Result<_, _>>().unwrap()
}

/// Grey levels by which each image differs on average, with its name.
fn differences(
    source: &Arc<dyn Source>,
    pipeline: &Pipeline,
    device: &Device,
) -> Vec<(String, f64)> {
    let hybrid = batches(source, pipeline.clone().with_hybrid_decoder().unwrap(), 3);
    let cpu = batches(source, pipeline.clone(), 3);
    let mut found = Vec::new();
    for (hybrid, cpu) in hybrid.iter().zip(&cpu) {
        assert_eq!((&hybrid.labels, &hybrid.samples), (&cpu.labels, &cpu.samples));
        let normalize = Normalization::ImageNet;
        let (_, std) = normalize.mean_std(cpu.channels).unwrap();
        let [a, b] = [hybrid, cpu].map(|batch| {
            let images = images_to_device(batch, &normalize, device).unwrap();
            assert_eq!(images.dims()[0], source.len());
            images.into_data().try_to_vec::<f32>().unwrap()
        });
        let values = a.len() / source.len();
        for (at, sample) in cpu.samples.iter().enumerate() {
            let levels = (at * values..(at + 1) * values).map(|value| {
                f64::from((a[value] - b[value]).abs() * 255.0 * std[value % std.len()])
            });
            let name = source.name(*sample as usize);
            found.push((name, levels.sum::<f64>() / values as f64));
        }
    }
    found
}

fn stages(scale: (f64, f64)) -> Vec<Transform> {
    vec![
        Transform::RandomResizedCrop(RandomResizedCrop {
            scale,
            ratio: (0.75, 1.333),
            ..RandomResizedCrop::default()
        }),
        Transform::HorizontalFlip(HorizontalFlip { probability: 0.5 }),
    ]
}

fn check(device: &Device, sizes: &[u32]) {
    let mut files: Vec<_> = SMALL.iter().map(|name| (name.to_string(), fixture(name))).collect();
    files.push(("photo.jpg".into(), fixture("photo.jpg")));
    for orientation in 2..=8 {
        for name in ["422.jpg", "photo.jpg"] {
            let file = turned(&fixture(name), orientation);
            files.push((format!("turned-{orientation}-{name}"), file));
        }
    }
    let (_folder, source) = folder(&files);
    for &size in sizes {
        for channels in [Channels::Rgb, Channels::Grey] {
            let flip = Transform::HorizontalFlip(HorizontalFlip { probability: 0.5 });
            let flip_first = [&[flip.clone()][..], &stages((0.1, 1.0))].concat();
            for transforms in
                [stages((0.1, 1.0)), flip_first, vec![Transform::Resize(Resize::default()), flip]]
            {
                let pipeline = Pipeline::own(channels, size, &transforms).unwrap();
                let coded =
                    &batches(&source, pipeline.clone().with_hybrid_decoder().unwrap(), 1)[0];
                assert_eq!(coded.coded.images.len(), files.len());
                let found = differences(&source, &pipeline, device);
                let worst = found.iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
                let mean = found.iter().map(|(_, levels)| levels).sum::<f64>() / found.len() as f64;
                println!("{size} px, {channels:?}: mean {mean:.3}, worst {worst:?}");
                // The small ones, at a quarter of their size, have the most detail to lose.
                assert!(mean < 1.0 && worst.1 < 2.0, "{size} px, {channels:?}: {mean}, {worst:?}");
            }
        }
    }
}

#[test]
fn images_are_those_of_the_processors_decoder() {
    check(&Device::flex(), &[10, 24, 50]);
}

#[cfg(feature = "wgpu")]
#[test]
fn images_are_those_of_the_processors_decoder_on_a_gpu() {
    use vitral_model::device::{DeviceChoice, Gpu};
    let device = DeviceChoice::Gpu(Gpu::Wgpu, 0)
        .open()
        .expect("a Vulkan driver, e.g. Debian's mesa-vulkan-drivers");
    check(&device, &[24]);
}

/// Other formats, files that another decoder has to read, and damaged ones.
#[test]
fn what_has_no_coefficients_has_pixels_at_its_place() {
    let mut files: Vec<_> = (0..40)
        .map(|number| (format!("{number:02}.jpg"), fixture(SMALL[number % SMALL.len()])))
        .collect();
    files[3] = ("03.jpg".into(), fixture("rgb.jpg"));
    files[17] = ("17.jpg".into(), fixture("photo.png"));
    files[39] = ("39.jpg".into(), fixture("photo.png"));
    let (_folder, source) = folder(&files);
    let pipeline = Pipeline::own(Channels::Rgb, 12, &stages((0.3, 1.0))).unwrap();
    for (name, levels) in differences(&source, &pipeline, &Device::flex()) {
        assert!(levels < 2.0, "{name}: {levels}");
    }
    let hybrid = batches(&source, pipeline.clone().with_hybrid_decoder().unwrap(), 1).remove(0);
    assert_eq!((hybrid.coded.images.len(), hybrid.images.len()), (37, 3 * 12 * 12 * 3));

    let whole = fixture("420.jpg");
    files[8].1 = whole[..whole.len() / 2].to_vec();
    let (_folder, source) = folder(&files);
    let hybrid = batches(&source, pipeline.with_hybrid_decoder().unwrap(), 1).remove(0);
    assert_eq!((hybrid.len(), hybrid.skipped.len(), hybrid.coded.images.len()), (39, 1, 36));
    assert!(hybrid.skipped[0].name.ends_with("08.jpg") && !hybrid.samples.contains(&8));
}

#[test]
fn stages_that_need_pixels_are_named() {
    let transforms = vec![
        Transform::Resize(Resize::default()),
        Transform::PadCrop(PadCrop { padding: 1, fill: 0 }),
    ];
    let pipeline = Pipeline::own(Channels::Rgb, 12, &transforms).unwrap();
    let said = pipeline.with_hybrid_decoder().unwrap_err().to_string();
    assert!(said.contains("augment[1]") && said.contains("`PadCrop`"), "{said}");
}
