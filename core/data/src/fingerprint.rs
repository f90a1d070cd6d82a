//! What tells a data set from another one, or from itself as it was, without reading its images.

use std::hash::Hasher as _;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

use crate::config::Datasets;
use crate::source::Source;

/// What a data set was when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many images there are.
    pub images: usize,
    /// A hash of their classes, image by image.
    pub labels: u64,
    /// A hash of the [index](Source::hash_index).
    pub index: u64,
}

/// The same of the data sets of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// Of the images to train with.
    pub train: Fingerprint,
    /// Of the images to validate with.
    pub val: Fingerprint,
}

impl Datasets {
    /// What tells whether these are the same images later on.
    pub fn fingerprints(&self) -> Fingerprints {
        Fingerprints { train: Fingerprint::of(&*self.train), val: Fingerprint::of(&*self.val) }
    }
}

impl Fingerprint {
    /// That of a data set.
    pub fn of(source: &dyn Source) -> Self {
        let (mut labels, mut index) = (XxHash3_64::new(), XxHash3_64::new());
        (0..source.len()).for_each(|image| labels.write(&source.label(image).to_le_bytes()));
        source.hash_index(&mut index);
        Self { images: source.len(), labels: labels.finish(), index: index.finish() }
    }

    /// What is different of the same data set now, as the rest of a sentence about it.
    pub fn difference(&self, now: &Self) -> Option<String> {
        if now.images != self.images {
            return Some(format!("has {} images, but had {} before", now.images, self.images));
        }
        let images = now.images;
        match (now.labels != self.labels, now.index != self.index) {
            (false, false) => None,
            (true, false) => Some(format!("still has {images} images, but their classes differ")),
            (_, true) => Some(format!(
                "still has {images} images, but not the same ones: their names, sizes, places or \
                 order differ, or what is in memory of them{}",
                if now.labels == self.labels { "" } else { ", and so do their classes" }
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::*;
    use crate::source::{Cifar, Idx, ImageFolder};

    fn folder_of(files: &[&str]) -> TempDir {
        let folder = TempDir::new().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"not read").unwrap();
        }
        folder
    }

    fn of_folder(files: &[&str]) -> Fingerprint {
        Fingerprint::of(&ImageFolder::open(folder_of(files).path(), None).unwrap())
    }

    #[test]
    fn a_data_set_is_the_same_wherever_it_is() {
        let files = ["cat/1.png", "cat/2.png", "dog/1.png"];
        assert_eq!(of_folder(&files), of_folder(&files));
    }

    #[test]
    fn what_is_different_is_told() {
        let before = of_folder(&["cat/1.png", "cat/2.png", "dog/1.png"]);
        let told = |files: &[&str]| before.difference(&of_folder(files)).unwrap();
        let more = told(&["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]);
        assert_eq!(more, "has 4 images, but had 3 before");
        let renamed = told(&["cat/1.png", "cat/3.png", "dog/1.png"]);
        assert!(
            renamed.contains("still has 3 images, but not the same")
                && !renamed.contains("classes")
        );
        let moved = told(&["cat/1.png", "dog/2.png", "dog/1.png"]);
        assert!(moved.contains("and so do their classes"), "{moved}");
        let grown = folder_of(&["cat/1.png", "cat/2.png", "dog/1.png"]);
        fs::write(grown.path().join("cat/2.png"), b"not read, either").unwrap();
        let grown = Fingerprint::of(&ImageFolder::open(grown.path(), None).unwrap());
        let told = before.difference(&grown).unwrap();
        assert!(told.contains("names, sizes") && !told.contains("classes"), "{told}");
        let relabelled = Fingerprint { labels: 0, ..before };
        let told = before.difference(&relabelled).unwrap();
        assert_eq!(told, "still has 3 images, but their classes differ");
        assert_eq!(before.difference(&before), None);
    }

    /// What is in memory in any case counts to the last bit.
    #[test]
    fn one_bit_of_a_held_image_is_noticed() {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let idx = |bit: u8| {
            fs::write(path("images"), [0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, bit])
                .unwrap();
            fs::write(path("labels"), [0, 0, 8, 1, 0, 0, 0, 1, 0]).unwrap();
            Fingerprint::of(&Idx::open(&path("images"), &path("labels"), None).unwrap())
        };
        assert_eq!(idx(0), idx(0));
        assert_ne!(idx(0).index, idx(1).index);
        let cifar = |bit: u8| {
            fs::write(path("batch.bin"), [&[3][..], &[0; 3071], &[bit]].concat()).unwrap();
            Fingerprint::of(&Cifar::open_10(&[Path::new(&path("batch.bin")).into()]).unwrap())
        };
        assert_eq!(cifar(0), cifar(0));
        assert_ne!(cifar(0).index, cifar(1).index);
    }
}
