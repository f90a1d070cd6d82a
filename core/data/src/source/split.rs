//! A part of the training images as the validation images.

use std::borrow::Cow;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use vitral_seed::Seed;

use super::config::SourceConfig;
use super::groups::Groups;
use super::image_folder::{ImageFolderConfig, parts_of};
use super::settings::{Purpose, Settings};
use super::stored::{Source, Stored};
use crate::error::{DataError, OnError, ReadError};
use crate::pixels::Image;
use crate::sampler::shuffle;

/// Settings of `Split`: the share of each class that is held back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64")]
pub struct SplitConfig {
    /// Above 0, and below 1.
    pub share: f64,
    /// The images that it is a part of, and which part, where that is known.
    pub(crate) of: Option<(Box<SourceConfig>, Side)>,
}

/// The parts of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// What is left to train with.
    Training,
    /// What is held back.
    Validation,
}

/// As the experiment has it.
#[derive(JsonSchema)]
#[schemars(inline)]
#[allow(dead_code)] // but for its schema
struct Share(#[schemars(range(min = 0.0001, max = 0.9))] f64);

impl JsonSchema for SplitConfig {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Share::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Share::json_schema(generator)
    }
}

impl From<f64> for SplitConfig {
    fn from(share: f64) -> Self {
        Self { share, of: None }
    }
}

impl From<SplitConfig> for f64 {
    fn from(split: SplitConfig) -> Self {
        split.share
    }
}

/// The share that is held back where a folder has no images for validation.
const USUAL_SHARE: f64 = 0.1;

/// What a folder of images stands for: those in its `train` and its `val` (or what else such folders are
/// called); where it has the one alone, or folders of classes, a tenth of them is held back.
///
/// # Errors
/// The folder cannot be read, or has images for validation alone.
pub fn parts_of_folder(path: &Path) -> Result<(SourceConfig, SourceConfig), DataError> {
    let folder =
        |path: PathBuf| SourceConfig::ImageFolder(ImageFolderConfig { path, classes: None });
    let held_back = SourceConfig::Split(SplitConfig::from(USUAL_SHARE));
    match parts_of(path)? {
        [Some(train), Some(val)] => Ok((folder(train), folder(val))),
        [Some(train), None] => Ok((folder(train), held_back)),
        [None, None] => Ok((folder(path.to_owned()), held_back)),
        [None, Some(val)] => {
            let name = val.file_name().unwrap_or_default().display();
            let problem = format!("holds `{name}`, but no folder `train` beside it");
            Err(DataError::malformed(path, problem))
        }
    }
}

impl SplitConfig {
    /// A part of some images.
    pub(crate) fn part(&self, of: &SourceConfig, side: Side) -> SourceConfig {
        let of = Some((Box::new(of.clone()), side));
        SourceConfig::Split(Self { share: self.share, of })
    }

    /// A part of images that are open. Of each class, the same share is held back, chosen by chance: always the
    /// same images, whatever the run's seed. At least one is, and one is left.
    pub(crate) fn of(&self, whole: Arc<dyn Source>, side: Side) -> Result<Part, DataError> {
        let mut of_class = vec![Vec::new(); whole.class_names().len()];
        for index in 0..whole.len() {
            // A loader takes as many as a u32 counts, and refuses others.
            of_class[whole.label(index) as usize].push(index as u32);
        }
        let mut samples = Vec::new();
        for (name, images) in whole.class_names().iter().zip(&mut of_class) {
            let held_back = match images.len() {
                0 | 1 => 0,
                count => ((count as f64 * self.share).round() as usize).clamp(1, count - 1),
            };
            shuffle(images, &mut Seed::new(0).named("split").named(name).rng());
            samples.extend(match side {
                Side::Training => &images[held_back..],
                Side::Validation => &images[..held_back],
            });
        }
        if samples.is_empty() {
            let problem = "every class has one image, of which none can be held back";
            return Err(DataError::setting("data.val", problem));
        }
        Ok(Part::of(whole, samples))
    }
}

impl Settings for SplitConfig {
    fn open(&self, _: Purpose, on_error: OnError) -> Result<Arc<dyn Source>, DataError> {
        let Some((of, side)) = &self.of else {
            let problem = "stands for a part of the images of `data.train`, and only in `data.val`";
            return Err(DataError::setting(format!("Split({})", self.share), problem));
        };
        Ok(Arc::new(self.of(of.open_with(on_error)?, *side)?))
    }

    fn is_numbered(&self) -> bool {
        self.of.as_ref().is_some_and(|(of, _)| of.is_numbered())
    }

    fn paths(&mut self) -> Vec<(String, &mut PathBuf)> {
        Vec::new()
    }

    fn of_path(_: &Path) -> Option<Self> {
        None
    }
}

/// Some images of a data set.
pub struct Part {
    whole: Arc<dyn Source>,
    /// Which, ascending.
    samples: Vec<u32>,
    groups: Option<Groups>,
}

impl Part {
    /// Those of a data set that are at these places in it, in their order there.
    pub fn of(whole: Arc<dyn Source>, mut samples: Vec<u32>) -> Self {
        samples.sort_unstable();
        let groups = whole.groups().map(|groups| groups.kept(&samples));
        Self { whole, samples, groups }
    }

    fn whole(&self, index: usize) -> usize {
        self.samples[index] as usize
    }
}

impl Source for Part {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn class_names(&self) -> &[String] {
        self.whole.class_names()
    }

    fn label(&self, index: usize) -> u32 {
        self.whole.label(self.whole(index))
    }

    fn read(&self, index: usize) -> Result<Image, ReadError> {
        self.whole.read(self.whole(index))
    }

    fn load<'a>(&'a self, index: usize, buffer: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        self.whole.load(self.whole(index), buffer)
    }

    fn name(&self, index: usize) -> String {
        self.whole.name(self.whole(index))
    }

    fn notes(&self) -> &[String] {
        self.whole.notes()
    }

    fn damaged(&self) -> &[String] {
        self.whole.damaged()
    }

    fn check_whole(&self) -> Result<(), DataError> {
        self.whole.check_whole()
    }

    fn groups(&self) -> Option<&Groups> {
        self.groups.as_ref()
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        self.whole.hash_index(hasher);
        self.samples.iter().for_each(|&sample| hasher.write_u32(sample));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::image_folder::ImageFolder;
    use super::*;

    fn folder(images: &[(&str, usize)]) -> (tempfile::TempDir, Arc<dyn Source>) {
        let folder = tempfile::tempdir().unwrap();
        for (class, count) in images {
            fs::create_dir(folder.path().join(class)).unwrap();
            for number in 0..*count {
                let path = folder.path().join(class).join(format!("{number:02}.png"));
                image::GrayImage::new(2, 2).save(path).unwrap();
            }
        }
        let source = ImageFolder::open(folder.path(), None).unwrap();
        (folder, Arc::new(source))
    }

    #[test]
    fn each_class_gives_its_share_once_and_always_the_same() {
        let (_folder, whole) = folder(&[("a", 20), ("b", 5), ("c", 1)]);
        let split = SplitConfig::from(0.2);
        let names = |side| -> Vec<String> {
            let part = split.of(whole.clone(), side).unwrap();
            (0..part.len()).map(|index| part.name(index)).collect()
        };
        let (train, val) = (names(Side::Training), names(Side::Validation));
        let mut all = [train.clone(), val.clone()].concat();
        all.sort();
        assert_eq!(all, (0..26).map(|index| whole.name(index)).collect::<Vec<_>>());
        assert_eq!((train.len(), val.len()), (21, 5));
        assert_eq!(val.iter().filter(|name| name.contains("/a/")).count(), 4);
        assert_eq!(val, names(Side::Validation));
        // By chance, and not the first.
        assert!(
            !val[..4].iter().all(|name| ["00", "01", "02", "03"].iter().any(|n| name.contains(n)))
        );
        let part = split.of(whole.clone(), Side::Validation).unwrap();
        assert_eq!((part.label(3), part.label(4)), (0, 1));
        assert_eq!(part.read(4).unwrap().width(), 2);
    }

    #[test]
    fn one_is_left_to_train_with_and_one_of_single_images_is_refused() {
        let (_folder, whole) = folder(&[("a", 2), ("b", 2)]);
        for share in [0.01, 0.9] {
            let split = SplitConfig::from(share);
            let count = |side| split.of(whole.clone(), side).unwrap().len();
            assert_eq!((count(Side::Training), count(Side::Validation)), (2, 2));
        }
        let (_folder, single) = folder(&[("a", 1), ("b", 1)]);
        assert!(SplitConfig::from(0.5).of(single, Side::Validation).is_err());
        let alone = SplitConfig::from(0.5).open(Purpose::Training, OnError::Stop).err().unwrap();
        assert!(alone.to_string().contains("only in `data.val`"), "{alone}");
    }

    #[test]
    fn a_folder_stands_for_what_is_in_it() {
        let found = |folders: &[&str]| {
            let root = tempfile::tempdir().unwrap();
            folders.iter().for_each(|name| fs::create_dir(root.path().join(name)).unwrap());
            let found = parts_of_folder(root.path()).map_err(|error| error.to_string())?;
            let name = |config| match config {
                SourceConfig::ImageFolder(folder) => {
                    folder.path.strip_prefix(root.path()).unwrap().display().to_string()
                }
                SourceConfig::Split(split) => split.share.to_string(),
                _ => unreachable!("a folder is none of the others"),
            };
            Ok::<_, String>([name(found.0), name(found.1)])
        };
        assert_eq!(found(&["val", "train", "test"]).unwrap(), ["train", "val"]);
        assert_eq!(found(&["Training", "test"]).unwrap(), ["Training", "test"]);
        assert_eq!(found(&["train", "notes"]).unwrap(), ["train", "0.1"]);
        assert_eq!(found(&["cat", "dog"]).unwrap(), ["", "0.1"]);
        assert!(found(&["val", "cat"]).unwrap_err().contains("no folder `train` beside it"));
    }

    #[test]
    fn groups_have_what_is_left_of_them() {
        let groups = Groups::of_sizes([4, 2, 3], 4).unwrap();
        let kept = groups.kept(&[1, 3, 6, 7, 8]);
        let ranges: Vec<_> = (0..kept.count()).map(|group| kept.samples(group)).collect();
        assert_eq!(ranges, [0..2, 2..5]);
        assert_eq!(kept.together(), groups.together());
    }
}
