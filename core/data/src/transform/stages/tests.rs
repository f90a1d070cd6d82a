//! Where images are made, and what a batch holds when plugins fail, with a native plugin.

use std::cell::Cell;
use std::slice;
use std::sync::Arc;

use rand::Rng as _;
use vitral_config::{OnPluginError, PluginUse};
use vitral_host::{Setting, Settings};
use vitral_sdk::prelude::{
    Choice, Identity, ImageAugmentation, Parameters, Plugin, Result as Outcome, bail, identity,
};
use vitral_seed::Seed;

use super::*;
use crate::source::Stored;
use crate::transform::{
    CenterCrop, HorizontalFlip, PadCrop, PluginStage, RandomResizedCrop, Resize, ResizeShorter,
    Stage, Transform, own_stages,
};
use crate::{DataError, ImageBatch, Loader, LoaderOptions, OnError, ReadError, Shard, Source};

/// Inverts images, replaces them, or spoils some.
#[derive(Clone, Debug, Parameters)]
struct Tester {
    /// What is done.
    #[parameter(default = Mode::Invert)]
    mode: Mode,
}

#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// In place.
    Invert,
    /// Another image of the same size.
    Replace,
    /// The upper left quarter.
    Quarter,
    /// Inverts images, but of those that begin with a multiple of 3 only the first half, and then fails.
    Spoil,
}

thread_local! {
    /// Where the image was that was changed last.
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

impl Plugin for Tester {
    type Parameters = Self;

    const IDENTITY: Identity = identity!("tester", "Does what tests want");

    fn new(parameters: Self) -> Outcome<Self> {
        Ok(parameters)
    }
}

fn inverted(pixels: &[u8]) -> Vec<u8> {
    pixels.iter().map(|value| !value).collect()
}

/// Width, height and pixels of the upper left quarter.
fn quarter(width: u32, height: u32, channels: u32, pixels: &[u8]) -> (u32, u32, Vec<u8>) {
    let (columns, rows) = (width.div_ceil(2), height.div_ceil(2));
    let row = |y: u32| &pixels[(y * width * channels) as usize..][..(columns * channels) as usize];
    (columns, rows, (0..rows).flat_map(row).copied().collect())
}

impl ImageAugmentation for Tester {
    fn augment(
        &mut self,
        image: &mut vitral_sdk::Image<'_>,
        _: &vitral_sdk::Sample,
    ) -> Outcome<()> {
        PLACE.set(image.pixels().as_ptr().addr());
        let (width, height) = (image.width(), image.height());
        match self.mode {
            Mode::Invert => image.pixels_mut().iter_mut().for_each(|value| *value = !*value),
            Mode::Replace => image.replace(width, height, inverted(image.pixels())),
            Mode::Quarter => {
                let (width, height, pixels) =
                    quarter(width, height, image.channels(), image.pixels());
                image.replace(width, height, pixels);
            }
            Mode::Spoil => {
                let fails = image.pixels()[0].is_multiple_of(3);
                let count = image.pixels().len() / if fails { 2 } else { 1 };
                image.pixels_mut()[..count].iter_mut().for_each(|value| *value = !*value);
                if fails {
                    bail!("spoilt");
                }
            }
        }
        Ok(())
    }
}

fn opened(mode: &str, on_error: OnPluginError) -> Stage {
    let table = vitral_sdk::native::image_augmentation::<Tester>();
    let plugin = vitral_host::Plugin::compiled_in(table).unwrap();
    let setting = Setting { name: "mode".into(), value: vitral_host::Value::Text(mode.into()) };
    let settings = Settings::check(plugin.description(), &[setting]).unwrap();
    let used = PluginUse {
        name: "tester".into(),
        version: Default::default(),
        settings: Default::default(),
        on_error,
    };
    let open = |used: &PluginUse| Ok(PluginStage::new(plugin, settings, used.on_error));
    Transform::Plugin(used).stage::<DataError>(open).unwrap()
}

/// Stages of this program, and plugins by their mode.
#[derive(Clone, Debug)]
enum Given {
    Own(Transform),
    Tester(&'static str),
}

fn pipeline(channels: Channels, size: u32, stages: &[Given]) -> Pipeline {
    let stage = |given: &Given| match given {
        Given::Own(transform) => own_stages(slice::from_ref(transform)).unwrap().remove(0),
        Given::Tester(mode) => opened(mode, OnPluginError::Stop),
    };
    Pipeline::new(channels, size, stages.iter().map(stage).collect()).unwrap()
}

/// Every stage by itself on a whole image.
fn one_by_one(mut image: Image, size: u32, stages: &[Given], seed: Seed) -> Image {
    for (number, stage) in stages.iter().enumerate() {
        let (width, height, channels) = (image.width(), image.height(), image.channels());
        image = match stage {
            Given::Own(transform) => {
                let stage = own_stages(slice::from_ref(transform)).unwrap().remove(0);
                let passing = Passing { width, height, channels, model: size };
                match stage.operation.step(passing, seed.indexed(number as u64)).unwrap() {
                    Step::Mirror(happens) => {
                        if happens {
                            flip(image.pixels_mut(), width, channels);
                        }
                        image
                    }
                    Step::Redraw(redraw) => {
                        let (width, height) = redraw.size();
                        let mut pixels = vec![0; byte_count(width, height, channels).unwrap()];
                        redraw.draw(image.view(), &mut pixels).unwrap();
                        Image::new(width, height, channels, pixels).unwrap()
                    }
                    Step::Plugin(_) => panic!("{transform:?} is a plugin"),
                }
            }
            Given::Tester("quarter") => {
                let count = channels.count() as u32;
                let (width, height, pixels) = quarter(width, height, count, image.pixels());
                Image::new(width, height, channels, pixels).unwrap()
            }
            Given::Tester(_) => {
                Image::new(width, height, channels, inverted(image.pixels())).unwrap()
            }
        };
    }
    resample::exactly(image, size, size).unwrap()
}

fn noise(width: u32, height: u32, channels: Channels) -> Image {
    let mut rng = Seed::new(u64::from(width * height)).rng();
    let count = (width * height) as usize * channels.count();
    let pixels = (0..count).map(|_| rng.random()).collect();
    Image::new(width, height, channels, pixels).unwrap()
}

fn run(pipeline: &Pipeline, stored: Stored<'_>, seed: Seed, scratch: &mut Scratch) -> Vec<u8> {
    // What was in the batch does not matter.
    let mut out = vec![0xa5; pipeline.image_bytes(0)];
    pipeline.run_into(stored, seed, 0, scratch, &mut out).unwrap();
    out
}

fn crop() -> Transform {
    Transform::RandomResizedCrop(RandomResizedCrop {
        scale: (0.1, 0.9),
        ratio: (0.75, 1.333),
        ..RandomResizedCrop::default()
    })
}

fn mirror() -> Transform {
    Transform::HorizontalFlip(HorizontalFlip { probability: 0.5 })
}

#[test]
fn any_stages_give_what_they_give_one_by_one() {
    let kinds = [
        Given::Own(crop()),
        Given::Own(mirror()),
        Given::Own(Transform::Resize(Resize::default())),
        Given::Own(Transform::ResizeShorter(ResizeShorter::to(16))),
        Given::Own(Transform::ResizeShorter(ResizeShorter::to(19))),
        Given::Own(Transform::CenterCrop(CenterCrop {})),
        Given::Own(Transform::PadCrop(PadCrop { padding: 3, fill: 9 })),
        Given::Tester("invert"),
        Given::Tester("replace"),
        Given::Tester("quarter"),
    ];
    let rng = &mut Seed::new(5).rng();
    for channels in [Channels::Grey, Channels::Rgb] {
        for round in 0..400 {
            let count = rng.random_range(0..=4);
            let stages: Vec<_> =
                (0..count).map(|_| kinds[rng.random_range(0..kinds.len())].clone()).collect();
            let pipeline = pipeline(channels, 16, &stages);
            let mut scratch = Scratch::new(&pipeline.clock());
            for (width, height) in [(16, 16), (31, 24), (9, 40)] {
                let image = noise(width, height, channels);
                let seed = Seed::new(round);
                let expected = one_by_one(image.clone(), 16, &stages, seed);
                let found = run(&pipeline, Stored::Pixels(image.view()), seed, &mut scratch);
                let owned = run(&pipeline, Stored::Image(image), seed, &mut scratch);
                assert_eq!(found, owned, "{width}x{height}: {stages:?}");
                assert_eq!(found, expected.pixels(), "{width}x{height}: {stages:?}");
            }
        }
    }
}

#[test]
fn native_plugins_work_in_the_batchs_own_memory() {
    let pad = Transform::PadCrop(PadCrop { padding: 3, fill: 0 });
    let whole = Transform::ResizeShorter(ResizeShorter::to(20));
    let lists = [
        vec![Given::Tester("invert")],
        vec![Given::Own(crop()), Given::Tester("invert")],
        vec![
            Given::Own(mirror()),
            Given::Own(crop()),
            Given::Own(mirror()),
            Given::Tester("invert"),
        ],
        vec![Given::Own(crop()), Given::Own(pad), Given::Tester("invert"), Given::Own(mirror())],
        vec![
            Given::Own(whole),
            Given::Own(Transform::CenterCrop(CenterCrop {})),
            Given::Tester("invert"),
        ],
        vec![Given::Own(crop()), Given::Tester("replace"), Given::Tester("invert")],
    ];
    for stages in lists {
        let pipeline = pipeline(Channels::Rgb, 16, &stages);
        let mut scratch = Scratch::new(&pipeline.clock());
        // An image that has the size already is only copied to its place.
        let side = if stages.len() == 1 { 16 } else { 40 };
        let image = noise(side, side, Channels::Rgb);
        let mut out = vec![0; pipeline.image_bytes(0)];
        let stored = Stored::Pixels(image.view());
        pipeline.run_into(stored, Seed::new(1), 0, &mut scratch, &mut out).unwrap();
        assert_eq!(PLACE.get(), out.as_ptr().addr(), "{stages:?}");
    }
    // Images that are not of the batch's size yet are elsewhere.
    let pipeline = pipeline(Channels::Rgb, 16, &[Given::Tester("invert"), Given::Own(crop())]);
    let image = noise(40, 40, Channels::Rgb);
    let mut scratch = Scratch::new(&pipeline.clock());
    let out = run(&pipeline, Stored::Pixels(image.view()), Seed::new(1), &mut scratch);
    assert_ne!(PLACE.get(), out.as_ptr().addr());
}

/// Images of one value each, which is their index and one more.
struct Constant([String; 1]);

impl Source for Constant {
    fn len(&self) -> usize {
        10
    }

    fn class_names(&self) -> &[String] {
        &self.0
    }

    fn label(&self, _: usize) -> u32 {
        0
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        Ok(Image::new(8, 8, Channels::Grey, vec![index as u8 + 1; 64]).unwrap())
    }

    fn name(&self, index: usize) -> String {
        format!("constant {index}")
    }

    fn hash_index(&self, _: &mut dyn std::hash::Hasher) {}
}

/// All batches of a loader whose plugin fails for images 2, 5 and 8.
fn batches(on_error: OnPluginError, data: OnError) -> Vec<Result<ImageBatch, DataError>> {
    let stages = vec![opened("spoil", on_error)];
    let pipeline = Pipeline::new(Channels::Grey, 8, stages).unwrap();
    let options = LoaderOptions {
        batch: 4,
        workers: 1,
        prefetch: 1,
        on_error: data,
        seed: Seed::new(0),
        shard: Shard::default(),
        repeats: 1,
    };
    let source = Arc::new(Constant(["one".into()]));
    Loader::eval(source, Arc::new(pipeline), options).unwrap().collect()
}

/// The images of all batches, by their samples; every image is of one value.
fn values(batches: Vec<Result<ImageBatch, DataError>>) -> Vec<(u32, u8)> {
    let mut found = Vec::new();
    for batch in batches {
        let batch = batch.unwrap();
        assert_eq!(batch.images.len(), 64 * batch.len());
        for (&sample, pixels) in batch.samples.iter().zip(batch.images.chunks_exact(64)) {
            assert!(pixels.iter().all(|value| *value == pixels[0]), "image {sample}: {pixels:?}");
            found.push((sample, pixels[0]));
        }
    }
    found
}

#[test]
fn a_plugin_that_fails_half_way_leaves_nothing_in_a_batch() {
    let is_spoilt = |sample: &u32| (sample + 1).is_multiple_of(3);
    let inverted = |sample: u32| (sample, !(sample as u8 + 1));
    let good: Vec<_> = (0..10).filter(|sample| !is_spoilt(sample)).map(inverted).collect();
    // The plugin's policy leaves the sample out, or the data's does.
    for (plugin, data) in [
        (OnPluginError::Skip, OnError::Stop),
        (OnPluginError::Skip, OnError::Skip),
        (OnPluginError::Stop, OnError::Skip),
    ] {
        let batches = batches(plugin, data);
        let skipped = batches.iter().flatten().flat_map(|batch| &batch.skipped);
        let skipped: Vec<_> = skipped.map(|skipped| skipped.name.as_str()).collect();
        assert_eq!(skipped, ["constant 2", "constant 5", "constant 8"]);
        assert_eq!(values(batches), good);
    }
    // One that is disabled leaves that image and all after it as they were.
    for data in [OnError::Stop, OnError::Skip] {
        let batches = batches(OnPluginError::Disable, data);
        let told = &batches[2].as_ref().unwrap().disabled;
        assert!(told.len() == 1 && told[0].contains("spoilt"), "{told:?}");
        let kept = (2..10).map(|sample| (sample, sample as u8 + 1));
        let expected: Vec<_> = [inverted(0), inverted(1)].into_iter().chain(kept).collect();
        assert_eq!(values(batches), expected);
    }
    // And where it stops, there is no batch.
    let batches = batches(OnPluginError::Stop, OnError::Stop);
    let error = batches[0].as_ref().unwrap_err().to_string();
    assert!(error.contains("constant 2") && error.contains("spoilt"), "{error}");
}
