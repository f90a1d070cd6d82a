//! How many images a second one worker puts into batches when the last stage is a plugin that does next
//! to nothing: 256 px in memory, cropped to 224 px, flipped, handed to the plugin.
//!
//! ```text
//! plugin_speed [COMPONENT.wasm] [--seconds 10]
//! ```
//!
//! The native plugin changes one value. With a component, that one is used instead.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_config::{OnPluginError, PluginUse};
use vitral_data::{
    Channels, DataError, HorizontalFlip, Image, Loader, LoaderOptions, OnError, Pipeline,
    PluginStage, RandomResizedCrop, ReadError, Shard, Source, Stored, Transform,
};
use vitral_host::{Plugin as Opened, Settings};
use vitral_sdk::prelude::{
    Identity, ImageAugmentation, Plugin, Result as Outcome, Sample, identity,
};
use vitral_seed::Seed;

type Fallible<T> = Result<T, Box<dyn Error>>;

struct OneValue;

impl Plugin for OneValue {
    type Parameters = ();

    const IDENTITY: Identity = identity!("one-value", "Changes one value of an image");

    fn new((): ()) -> Outcome<Self> {
        Ok(Self)
    }
}

impl ImageAugmentation for OneValue {
    fn augment(&mut self, image: &mut vitral_sdk::Image<'_>, _: &Sample) -> Outcome<()> {
        image.pixels_mut()[0] ^= 1;
        Ok(())
    }
}

fn main() -> Fallible<()> {
    let (mut component, mut seconds) = (None, 10.0);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seconds" => seconds = arguments.next().ok_or("how many seconds?")?.parse()?,
            _ => component = Some(argument),
        }
    }
    let plugin = match component {
        Some(path) => wasm(&path)?,
        None => Opened::compiled_in(vitral_sdk::native::image_augmentation::<OneValue>())?,
    };
    let used = PluginUse {
        name: plugin.description().name.clone(),
        version: Default::default(),
        settings: Default::default(),
        on_error: Default::default(),
    };
    let settings = Settings::check(plugin.description(), &[])?;
    let stage = PluginStage::new(plugin, settings, OnPluginError::Stop);
    let transforms = [
        Transform::RandomResizedCrop(RandomResizedCrop::default()),
        Transform::HorizontalFlip(HorizontalFlip { probability: 0.5 }),
    ];
    let mut stages = Pipeline::own(Channels::Rgb, 224, &transforms)?.stages().to_vec();
    stages.push(Transform::Plugin(used).stage::<DataError>(|_| Ok(stage))?);
    let pipeline = Pipeline::new(Channels::Rgb, 224, stages)?;
    let options = LoaderOptions {
        batch: 64,
        workers: 1,
        prefetch: 2,
        on_error: OnError::Stop,
        seed: Seed::new(0),
        shard: Shard::default(),
        repeats: 1,
    };
    let mut loader =
        Loader::train(Arc::new(Noise::new()), Arc::new(pipeline), options, 0..u64::MAX)?;
    let mut next = || -> Fallible<usize> {
        let batch = loader.next().ok_or("the batches have ended")??;
        let count = batch.len();
        loader.recycle(batch);
        Ok(count)
    };
    for _ in 0..8 {
        next()?;
    }
    let (start, mut images) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs_f64(seconds) {
        images += next()?;
    }
    println!("{:.1} img/s", images as f64 / start.elapsed().as_secs_f64());
    for (name, time) in loader.timings().stages {
        eprintln!("{name:>20} {:.2} s", time.as_secs_f64());
    }
    Ok(())
}

#[cfg(feature = "wasm")]
fn wasm(path: &str) -> Fallible<Opened> {
    use vitral_host::{WasmEngine, WasmOptions};
    let component = std::fs::read(path)?;
    Ok(Opened::wasm(&WasmEngine::new(None)?, &component, None, WasmOptions::default())?)
}

#[cfg(not(feature = "wasm"))]
fn wasm(_: &str) -> Fallible<Opened> {
    Err("build it with --features wasm to run a WebAssembly plugin".into())
}

/// Images of noise, in memory.
struct Noise {
    images: Vec<Image>,
    classes: [String; 1],
}

impl Noise {
    fn new() -> Self {
        let image = |number: u32| {
            let values = (0..256 * 256 * 3_u32)
                .map(|at| ((at ^ number).wrapping_mul(2_654_435_761) >> 24) as u8);
            Image::new(256, 256, Channels::Rgb, values.collect()).expect("it has the size")
        };
        Self { images: (0..256).map(image).collect(), classes: ["noise".into()] }
    }
}

impl Source for Noise {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, _: usize) -> u32 {
        0
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        Ok(self.images[index].clone())
    }

    fn load<'a>(&'a self, index: usize, _: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        Ok(Stored::Pixels(self.images[index].view()))
    }

    fn name(&self, index: usize) -> String {
        format!("noise {index}")
    }

    fn hash_index(&self, _: &mut dyn std::hash::Hasher) {}
}
