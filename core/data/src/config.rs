//! The `data` part of an experiment, and the data sets it names.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{DataError, OnError};
use crate::normalize::Normalization;
use crate::pixels::Channels;
use crate::sampler::Sampling;
use crate::source::{ClassList, Side, Source, SourceConfig, TRAINING, VALIDATION, Whose};
use crate::transform::{Pipeline, Transform, check_hybrid};

/// Which images a model is trained and validated with, and how they are prepared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Images to train with.
    pub train: SourceConfig,
    /// Images to validate with. Its classes are matched by name with those of the training images.
    /// `Split(0.1)` holds back a tenth of the training images.
    #[schemars(extend("otherNames" = ["valid", "validation", "test", "eval"]))]
    pub val: SourceConfig,
    /// What happens to training images, in this order. At the end they are resized to the model's
    /// input size if they do not have it.
    #[serde(default)]
    #[schemars(extend("otherNames" = ["transforms", "augmentation", "aug"]))]
    pub augment: Vec<Transform>,
    /// How many times in a row an epoch has a training image, augmented differently each time
    /// (repeated augmentation; Hoffer et al. 2020, DeiT). An epoch keeps its length, with that many
    /// times fewer images.
    #[serde(default = "once")]
    #[schemars(range(min = 1, max = 1024))]
    #[schemars(extend("otherNames" = ["aug_repeats", "repeated_aug", "num_repeats", "repeats"]))]
    pub repeated_augmentation: u32,
    /// Which training images an epoch has, and in which order: `Shuffled` (each once), `Balanced`
    /// (equally many of each class) or `SplitByNode(parts: 8)` (each once, with each rank reading
    /// its own files).
    #[serde(default)]
    #[schemars(extend("otherNames" = ["sampler", "weighted_sampler", "class_balanced"]))]
    pub sampling: Sampling,
    /// What happens to validation images. If empty, images of the model's input size stay as they
    /// are; of others the shorter side is resized to size / 0.875 and the centre is cropped.
    /// Plugins cannot be used here.
    #[serde(default)]
    #[schemars(extend("otherNames" = ["crop_pct", "test_transforms", "val_transforms"]))]
    pub eval_transforms: Vec<Transform>,
    /// How 8-bit values become the model's inputs.
    #[serde(default)]
    pub normalize: Normalization,
    /// Threads that read images; 0 means one per processor, and more if reading is slow and
    /// training waits for batches. Batches are the same with any number.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1024))]
    #[schemars(extend("otherNames" = ["num_workers"]))]
    pub workers: usize,
    /// Batches prepared ahead of training; 0 means 4, and more if training waits for batches, up to
    /// 64 MiB. One per worker is prepared in any case.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1024))]
    #[schemars(extend("otherNames" = ["prefetch_factor"]))]
    pub prefetch: usize,
    /// What to do when an image cannot be read, or a shard or row group is damaged.
    #[serde(default)]
    pub on_error: OnError,
    /// Where training images in JPEG files become pixels.
    #[serde(default)]
    pub decoder: Decoder,
}

fn once() -> u32 {
    1
}

/// Where the JPEG files of a training batch are decoded. Results differ by less than one grey level on
/// average. Images in other formats, and those of evaluations, are always decoded on the processor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Decoder {
    /// On the processor, by its worker threads.
    #[default]
    Cpu,
    /// Workers only decode the Huffman code; the inverse DCT, colour conversion, crop and resize
    /// are computed on the training device. `augment` must then consist of a `RandomResizedCrop` or
    /// a `Resize`, and of flips.
    Hybrid,
    /// On a GPU, whichever is measured to be faster when the run begins; a resumed run keeps it. So
    /// two runs of the same experiment may differ in it.
    Auto,
}

/// Opened data sets whose classes agree.
#[derive(Clone)]
pub struct Datasets {
    /// Images to train with.
    pub train: Arc<dyn Source>,
    /// Images to validate with.
    pub val: Arc<dyn Source>,
}

impl Datasets {
    /// The same images with labels that are positions in another list of the same classes.
    ///
    /// # Errors
    /// If the training set has other classes, or fewer.
    pub fn in_order_of(self, classes: &ClassList) -> Result<Self, DataError> {
        let of = |name| Whose { name, numbered: false };
        classes.check_whole(self.train.class_names(), of(TRAINING))?;
        Ok(Self {
            train: classes.order(self.train, of(TRAINING))?,
            val: classes.order(self.val, of(VALIDATION))?,
        })
    }
}

impl DataConfig {
    /// Opens both data sets.
    ///
    /// Labels of both are positions in the training set's list of classes.
    ///
    /// # Errors
    /// If a data set cannot be opened, or if the validation set has images of a class that the
    /// training set lacks.
    pub fn open(&self) -> Result<Datasets, DataError> {
        if let SourceConfig::Split(split) = &self.val {
            let whole = self.train.open_with(self.on_error)?;
            return Ok(Datasets {
                train: Arc::new(split.of(Arc::clone(&whole), Side::Training)?),
                val: Arc::new(split.of(whole, Side::Validation)?),
            });
        }
        let train = self.train.open_with(self.on_error)?;
        let classes = ClassList {
            owner: TRAINING,
            names: train.class_names().to_vec(),
            numbered: self.train.is_numbered(),
        };
        let val = self.val.open_validation(Some(&classes), self.on_error)?;
        Ok(Datasets { train, val })
    }

    /// The images to train with: those of `train`, without what `val: Split(...)` holds back.
    pub fn training(&self) -> SourceConfig {
        match &self.val {
            SourceConfig::Split(split) if split.of.is_none() => {
                SourceConfig::Split(split.part(self.train.clone(), Side::Training))
            }
            _ => self.train.clone(),
        }
    }

    /// The images to validate with, which need nothing else to be opened.
    pub fn validation(&self) -> SourceConfig {
        match &self.val {
            // Those of another experiment, which have been given in place of its own, stay what they are.
            SourceConfig::Split(split) if split.of.is_none() => {
                SourceConfig::Split(split.part(self.train.clone(), Side::Validation))
            }
            val => val.clone(),
        }
    }

    /// Makes relative paths start at a folder: the one that `base` gives for each of them, by the field
    /// that it stands in, as `train.path`.
    pub fn resolve_paths<'b>(&mut self, base: impl Fn(&str) -> &'b Path) {
        self.train.resolve_paths(|field| base(&format!("train.{field}")));
        self.val.resolve_paths(|field| base(&format!("val.{field}")));
    }

    /// Whether training images can be decoded in part on a device ([`Decoder::Hybrid`]).
    ///
    /// # Errors
    /// The stage that needs an image's pixels.
    pub fn check_hybrid(&self) -> Result<(), DataError> {
        check_hybrid(&self.augment)
    }

    /// The pipeline of validation images for a model with inputs of `size` x `size` pixels.
    ///
    /// # Errors
    /// If `size` or a setting of a transform is out of range.
    pub fn eval_pipeline(&self, channels: Channels, size: u32) -> Result<Pipeline, DataError> {
        if self.eval_transforms.is_empty() {
            Pipeline::default_eval(channels, size)
        } else {
            Pipeline::own(channels, size, &self.eval_transforms)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn read(text: &str) -> Result<DataConfig, vitral_config::ConfigError> {
        vitral_config::Document::new("test", text).parse()
    }

    fn folders(train: &[&str], val: &[&str]) -> (TempDir, DataConfig) {
        let folder = TempDir::new().unwrap();
        for (split, classes) in [("train", train), ("val", val)] {
            for class in classes {
                let path = folder.path().join(split).join(class);
                fs::create_dir_all(&path).unwrap();
                image::GrayImage::new(4, 4).save(path.join("1.png")).unwrap();
            }
        }
        let text = r#"(train: ImageFolder(path: "train"), val: ImageFolder(path: "val"))"#;
        let mut config = read(text).unwrap();
        config.resolve_paths(|_| folder.path());
        (folder, config)
    }

    #[test]
    fn only_the_data_sets_are_required() {
        let (_folder, config) = folders(&["a"], &["a"]);
        assert!(config.augment.is_empty() && config.eval_transforms.is_empty());
        assert_eq!(config.repeated_augmentation, 1);
        assert_eq!((config.workers, config.prefetch, config.on_error), (0, 0, OnError::Stop));
        assert_eq!(config.normalize, Normalization::Inception);
    }

    #[test]
    fn a_whole_configuration_is_read_and_written() {
        let text = r#"(
            train: Cifar10(files: ["data_batch_1.bin"]),
            val: Cifar10(files: ["test_batch.bin"]),
            augment: [PadCrop(padding: 4), HorizontalFlip(), RandomResizedCrop(scale: (0.5, 1.0))],
            eval_transforms: [Resize()],
            normalize: Custom(mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2]),
            workers: 2,
            prefetch: 8,
            on_error: Skip,
        )"#;
        let config = read(text).unwrap();
        assert_eq!((config.augment.len(), config.on_error), (3, OnError::Skip));
        assert_eq!(read(&vitral_config::to_ron(&config).unwrap()).unwrap(), config);
        assert!(read(&text.replace("prefetch", "prefech")).is_err());
        let train = Pipeline::own(Channels::Rgb, 32, &config.augment).unwrap();
        let eval = config.eval_pipeline(Channels::Rgb, 32).unwrap();
        let names = |pipeline: &Pipeline| -> Vec<_> {
            pipeline.stages().iter().map(|stage| stage.name().to_owned()).collect()
        };
        assert_eq!(names(&train), ["PadCrop", "HorizontalFlip", "RandomResizedCrop"]);
        assert_eq!(names(&eval), ["Resize"]);
    }

    #[test]
    fn validation_takes_the_classes_of_training() {
        let (_folder, config) = folders(&["cat", "dog", "emu"], &["cat", "emu"]);
        let sets = config.open().unwrap();
        assert_eq!(sets.val.class_names(), ["cat", "dog", "emu"]);
        assert_eq!([0, 1].map(|index| sets.val.label(index)), [0, 2]);
    }

    #[test]
    fn a_class_that_training_lacks_is_named() {
        let (_folder, config) = folders(&["cat", "dog"], &["cat", "fox"]);
        let error = config.open().err().unwrap().to_string();
        assert!(
            error.contains("lacks: fox") && error.contains("training data: cat, dog"),
            "{error}"
        );
    }

    #[test]
    fn class_lists_in_another_order_are_matched_by_name() {
        let (_folder, mut config) = folders(&["cat", "dog"], &["cat", "dog"]);
        if let SourceConfig::ImageFolder(folder) = &mut config.val {
            folder.classes = Some(vec!["dog".into(), "cat".into()]);
        }
        let sets = config.open().unwrap();
        assert_eq!(sets.val.class_names(), ["cat", "dog"]);
        for index in 0..2 {
            let folder = ["cat", "dog"][sets.val.label(index) as usize];
            assert!(sets.val.name(index).contains(folder), "{}", sets.val.name(index));
        }
    }

    #[test]
    fn data_sets_take_the_order_of_a_run_that_has_the_same_classes() {
        let (_folder, config) = folders(&["cat", "dog"], &["dog"]);
        let of = |names: &[&str]| ClassList {
            owner: "the run",
            names: names.iter().map(|&name| name.to_owned()).collect(),
            numbered: false,
        };
        let sets = config.open().unwrap().in_order_of(&of(&["dog", "cat"])).unwrap();
        assert_eq!([sets.train.label(0), sets.train.label(1), sets.val.label(0)], [1, 0, 0]);
        for (names, problem) in [
            (&["cat"][..], "lacks: dog"),
            (&["cat", "dog", "emu"], "the training data lacks classes of the run: emu"),
        ] {
            let error = config.open().unwrap().in_order_of(&of(names)).err().unwrap().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn a_class_of_validation_may_have_no_images() {
        let (folder, config) = folders(&["cat", "dog"], &["cat"]);
        fs::create_dir(folder.path().join("val/dog")).unwrap();
        assert_eq!(config.open().unwrap().val.len(), 1);
    }

    /// Help texts, ranges and the refusal of unknown fields all come from the schema.
    #[test]
    fn every_field_is_described_in_the_schema() {
        let schema = schemars::schema_for!(DataConfig);
        let root = schema.as_value();
        assert_eq!(root["additionalProperties"], false);
        let fields = root["properties"].as_object().unwrap();
        assert_eq!(fields.len(), 11);
        for (name, field) in fields {
            assert!(field["description"].is_string(), "{name} has no description: {field}");
        }
        assert_eq!(fields["prefetch"]["maximum"], 1024);
        for definition in ["Transform", "SourceConfig", "Normalization", "Decoder", "Sampling"] {
            let variants = root["$defs"][definition]["oneOf"].as_array().unwrap();
            for variant in variants {
                assert!(variant["description"].is_string(), "{variant}");
                let Some(outer) = variant["properties"].as_object() else {
                    continue;
                };
                // A plugin's use is a type of its own, with documentation of its own.
                for inner in outer.values().filter(|inner| inner.get("$ref").is_none()) {
                    // One value has no fields.
                    let has_fields = inner["type"] == "object";
                    assert_eq!(inner["additionalProperties"] == false, has_fields, "{inner}");
                    let fields = inner["properties"].as_object();
                    for (name, field) in fields.into_iter().flatten() {
                        assert!(field["description"].is_string(), "{name}: {field}");
                    }
                }
            }
        }
    }
}
