//! A part of the training images as the validation images.

use std::borrow::Cow;
use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use vitral_seed::Seed;

use super::groups::Groups;
use super::settings::{Purpose, Settings};
use super::stored::{Source, Stored};
use crate::error::{DataError, OnError, ReadError};
use crate::pixels::Image;
use crate::sampler::shuffle;

/// Settings of `Split`: the share of each class that is held back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "f64", into = "f64", bound = "Whole: Clone")]
pub struct SplitConfig<Whole> {
    /// Above 0, and below 1.
    pub share: f64,
    /// The images that it is a part of, and which part, where that is known.
    pub(crate) of: Option<(Box<Whole>, Side)>,
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

impl<Whole> JsonSchema for SplitConfig<Whole> {
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

impl<Whole> From<f64> for SplitConfig<Whole> {
    fn from(share: f64) -> Self {
        Self { share, of: None }
    }
}

impl<Whole> From<SplitConfig<Whole>> for f64 {
    fn from(split: SplitConfig<Whole>) -> Self {
        split.share
    }
}

impl<Whole> SplitConfig<Whole> {
    /// A part of some images.
    pub(crate) fn part(&self, of: Whole, side: Side) -> Self {
        Self { share: self.share, of: Some((Box::new(of), side)) }
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
            let problem = "every class has only one image, so none can be held back";
            return Err(DataError::setting("data.val", problem));
        }
        Ok(Part::of(whole, samples))
    }
}

impl<Whole: Settings> Settings for SplitConfig<Whole> {
    fn open(&self, _: Purpose, on_error: OnError) -> Result<Arc<dyn Source>, DataError> {
        let Some((of, side)) = &self.of else {
            let problem = "stands for a part of the images of `data.train`, so it only works in \
                           `data.val`";
            return Err(DataError::setting(format!("Split({})", self.share), problem));
        };
        Ok(Arc::new(self.of(of.open(Purpose::Training, on_error)?, *side)?))
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

    fn keep_groups(&self, shuffled: usize) {
        self.whole.keep_groups(shuffled);
    }

    fn hash_index(&self, hasher: &mut dyn Hasher) {
        self.whole.hash_index(hasher);
        self.samples.iter().for_each(|&sample| hasher.write_u32(sample));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::image_folder::{ImageFolder, ImageFolderConfig};
    use super::*;

    type Split = SplitConfig<ImageFolderConfig>;

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
        let split = Split::from(0.2);
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
            let split = Split::from(share);
            let count = |side| split.of(whole.clone(), side).unwrap().len();
            assert_eq!((count(Side::Training), count(Side::Validation)), (2, 2));
        }
        let (_folder, single) = folder(&[("a", 1), ("b", 1)]);
        assert!(Split::from(0.5).of(single, Side::Validation).is_err());
        let alone = Split::from(0.5).open(Purpose::Training, OnError::Stop).err().unwrap();
        assert!(alone.to_string().contains("only works in `data.val`"), "{alone}");
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
