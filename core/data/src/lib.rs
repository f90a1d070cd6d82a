//! From files to batches: where images come from, how they are augmented, and how worker threads
//! turn them into batches in a fixed order.
//!
//! ```text
//! Source ─▶ sampler ─▶ workers: read/decode ▸ Pipeline of transforms ─▶ ImageBatch ─▶ normalize
//! ```
//!
//! Everything random comes from `vitral-seed` and is named by epoch, sample and stage. So a batch
//! depends on its number alone, not on the worker count or on where the run was started.
//!
//! The batches of an experiment's `data`:
//!
//! ```
//! use std::sync::Arc;
//!
//! use vitral_config::Document;
//! use vitral_data::{Channels, DataConfig, Loader, LoaderOptions, OnError, Pipeline, Shard};
//! use vitral_seed::Seed;
//!
//! let text = r#"(
//!     train: Idx(
//!         images: "../../examples/data/fashion-mnist-subset/train-images-idx3-ubyte.gz",
//!         labels: "../../examples/data/fashion-mnist-subset/train-labels-idx1-ubyte.gz",
//!     ),
//!     val: Split(0.1),
//!     augment: [HorizontalFlip()],
//! )"#;
//! let data: DataConfig = Document::new("data.ron", text).parse()?;
//! let images = data.open()?.train;
//! let pipeline = Arc::new(Pipeline::own(Channels::Grey, 28, &data.augment)?);
//! let options = LoaderOptions {
//!     batch: 32,
//!     repeats: 1,
//!     workers: 2,
//!     prefetch: 0,
//!     on_error: OnError::Stop,
//!     seed: Seed::new(0),
//!     shard: Shard::default(),
//! };
//! for batch in Loader::train(images, pipeline, options, 0..3)? {
//!     let batch = batch?;
//!     assert_eq!(batch.images.len(), 32 * 28 * 28);
//!     let inputs = data.normalize.apply(&batch.images, batch.channels)?;
//!     assert!(inputs.iter().all(|value| (-1.0..=1.0).contains(value)));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod config;
mod decode;
mod error;
mod fingerprint;
mod image_size;
mod loader;
mod normalize;
mod pixels;
mod region;
mod sampler;
mod scratch;
mod shard;
mod source;
mod timing;
mod transform;
mod tune;
mod worker;

pub use cache::{Cache, CacheConfig, Keep, PackEvent, PackOptions, PackReport, pack};
pub use config::{DataConfig, Datasets, Decoder};
pub use decode::{CodedAxis, CodedImage, CodedImages, CodedPlane, decode};
pub use error::{DataError, DecodeError, OnError, ReadError, TransformError};
pub use fingerprint::{Fingerprint, Fingerprints};
pub use image_size::ImageSizeStage;
pub use loader::{Loader, LoaderOptions};
pub use normalize::Normalization;
pub use pixels::{Channels, Image, ImageView, MAX_IMAGE_BYTES, MAX_IMAGE_SIDE};
pub use sampler::{Sampling, epoch_order, grouped_order};
pub use shard::Shard;
pub use source::{
    Cifar, Cifar10Config, Cifar100Config, ClassList, Groups, Idx, IdxConfig, ImageFiles,
    ImageFolder, ImageFolderConfig, Parquet, ParquetConfig, Part, Source, SourceConfig,
    SplitConfig, Stored, WebDataset, WebDatasetConfig, abridged, match_classes, parts_of_folder,
};
pub use timing::{LoaderTimings, bottleneck};
pub use transform::{
    CenterCrop, EVAL_CROP, HorizontalFlip, Interpolation, PadCrop, Pipeline, PluginFailure,
    PluginStage, RandomResizedCrop, Resize, ResizeShorter, Stage, StageError, Transform,
};
pub use worker::{ImageBatch, Skipped};
