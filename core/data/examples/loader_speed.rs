//! How many images a second a loader gives, ready for a model: read, decoded, cropped, resized,
//! flipped, put into batches and normalised. `tests/peers/data/run` compares this with PyTorch.
//!
//! ```text
//! loader_speed FOLDER [--cache SIDE] [--randaugment COMPONENT.wasm] [--decoder Cpu] [--batch 64]
//!              [--size 224] [--workers 2] [--seconds 10]
//! ```
//!
//! With `--cache`, images are packed as pixels, at most so large, into a cache beside the folder before
//! time is taken, and come from there. With `--decoder Hybrid`, only the processor's part of decoding is
//! done, and what is left to a device is not.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use vitral_data::{
    Cache, Channels, HorizontalFlip, ImageFolder, Keep, Loader, LoaderOptions, Normalization,
    OnError, PackOptions, Pipeline, RandomResizedCrop, Shard, Source, Stage, Transform, pack,
};
use vitral_seed::Seed;

type Fallible<T> = Result<T, Box<dyn Error>>;

struct Options {
    folder: PathBuf,
    cache: Option<u32>,
    randaugment: Option<PathBuf>,
    hybrid: bool,
    batch: usize,
    size: u32,
    workers: usize,
    seconds: f64,
}

fn main() -> Fallible<()> {
    let options = options()?;
    let folder = ImageFolder::open(&options.folder, None)?;
    let source: Arc<dyn Source> = match options.cache {
        Some(side) => Arc::new(cache(&options.folder, &folder, side)?),
        None => Arc::new(folder),
    };
    let transforms = [
        Transform::RandomResizedCrop(RandomResizedCrop::default()),
        Transform::HorizontalFlip(HorizontalFlip { probability: 0.5 }),
    ];
    let mut stages = Pipeline::own(Channels::Rgb, options.size, &transforms)?.stages().to_vec();
    if let Some(component) = &options.randaugment {
        stages.push(randaugment(component)?);
    }
    let mut pipeline = Pipeline::new(Channels::Rgb, options.size, stages)?;
    if options.hybrid {
        pipeline = pipeline.with_hybrid_decoder()?;
    }
    let loader = LoaderOptions {
        batch: options.batch,
        workers: options.workers,
        prefetch: 0,
        on_error: OnError::Stop,
        seed: Seed::new(0),
        shard: Shard::default(),
        repeats: 1,
    };
    let mut loader = Loader::train(source, Arc::new(pipeline), loader, 0..u64::MAX)?;
    // Until files are in the page cache, threads run, and a plugin is compiled.
    let mut values = Vec::new();
    for _ in 0..8 {
        next(&mut loader, &mut values)?;
    }
    let start = Instant::now();
    let mut images = 0;
    while start.elapsed() < Duration::from_secs_f64(options.seconds) {
        images += next(&mut loader, &mut values)?;
    }
    let rate = images as f64 / start.elapsed().as_secs_f64();
    let timings = loader.timings();
    eprintln!("waiting {:.1}%, {} workers", 100.0 * timings.waiting_share(), timings.workers);
    for (name, time) in &timings.stages {
        eprintln!("{name:>20} {:.2} s", time.as_secs_f64());
    }
    println!("{rate:.2}");
    Ok(())
}

/// Takes one batch, normalises it, and gives the number of its images.
fn next(loader: &mut Loader, values: &mut Vec<f32>) -> Fallible<usize> {
    let batch = loader.next().ok_or("the batches have ended")??;
    Normalization::ImageNet.apply_into(&batch.images, batch.channels, values)?;
    std::hint::black_box(&*values);
    let count = batch.len();
    loader.recycle(batch);
    Ok(count)
}

fn options() -> Fallible<Options> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("which folder?")?.into();
    let mut options = Options {
        folder,
        cache: None,
        randaugment: None,
        hybrid: false,
        batch: 64,
        size: 224,
        workers: 2,
        seconds: 10.0,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--cache" => options.cache = Some(value.parse()?),
            "--randaugment" => options.randaugment = Some(value.into()),
            "--decoder" => options.hybrid = value == "Hybrid",
            "--batch" => options.batch = value.parse()?,
            "--size" => options.size = value.parse()?,
            "--workers" => options.workers = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            _ => return Err(format!("{name} is not an option").into()),
        }
    }
    Ok(options)
}

/// A cache of pixels, of images made smaller so that their longer side is `side`, beside the folder.
fn cache(folder: &Path, images: &ImageFolder, side: u32) -> Fallible<Cache> {
    let path = folder.with_extension(format!("{side}.cache"));
    if !path.exists() {
        let options =
            PackOptions { keep: Keep::Pixels, max_side: Some(side), on_error: OnError::Stop };
        pack(images, &path, &options, &|_| ())?;
    }
    Ok(Cache::open(&path)?)
}

#[cfg(feature = "wasm")]
fn randaugment(component: &Path) -> Fallible<Stage> {
    use vitral_data::{DataError, PluginStage};
    use vitral_host::{Plugin, Settings, WasmEngine, WasmOptions};
    let engine = WasmEngine::new(None)?;
    let plugin = Plugin::wasm(&engine, &std::fs::read(component)?, None, WasmOptions::default())?;
    let settings = Settings::check(plugin.description(), &[])?;
    let stage = PluginStage::new(plugin, settings, vitral_config::OnPluginError::Stop);
    let transform = vitral_config::PluginUse {
        name: "randaugment".into(),
        version: Default::default(),
        settings: Default::default(),
        on_error: Default::default(),
    };
    Ok(Transform::Plugin(transform).stage::<DataError>(|_| Ok(stage))?)
}

#[cfg(not(feature = "wasm"))]
fn randaugment(_: &Path) -> Fallible<Stage> {
    Err("build it with --features wasm to run a WebAssembly plugin".into())
}
