//! Pictures of where a model looks, in a folder.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
};

use image::{ImageFormat, RgbImage};
use vitral_files::{Access, NewFolder};
use vitral_train::AttendedImage;

use super::file_names::{free, safe};
use crate::{failure::Failure, picture};

/// A folder of pictures that is being filled; it appears when it is whole.
pub struct AttentionFolder {
    place: PathBuf,
    folder: NewFolder,
    /// Names that there are, in lower case, as some systems tell them apart.
    taken: HashSet<String>,
}

impl AttentionFolder {
    /// Begins a folder where nothing is yet.
    pub fn create(place: &Path) -> Result<Self, Failure> {
        let failed = |error| failed(place, error);
        vitral_files::check_new(place).map_err(failed)?;
        let folder = NewFolder::create(place).map_err(failed)?;
        Ok(Self { place: place.into(), folder, taken: HashSet::new() })
    }

    /// Draws the attention to an image of this name.
    pub fn add(&mut self, name: &str, attended: &AttendedImage) -> Result<(), Failure> {
        let name = safe(name.rsplit(['/', '\\']).next().unwrap_or_default());
        let stem = free(without_extension(&name), |name| self.taken.insert(name.to_lowercase()));
        self.write(&format!("{stem}.rollout.png"), &picture::rollout(attended))?;
        self.write(&format!("{stem}.heads.png"), &picture::heads(attended))
    }

    fn write(&self, name: &str, picture: &RgbImage) -> Result<(), Failure> {
        let bytes = picture::png(picture);
        let written = self.folder.write_new(name, &bytes, Access::Usual);
        written.map_err(|error| failed(&self.place, error))
    }

    /// Has the folder appear, and tells where.
    pub fn finish(self) -> Result<PathBuf, Failure> {
        self.folder.finish().map_err(|error| failed(&self.place, error))?;
        Ok(self.place)
    }
}

/// A name without what says that it is an image. That of an image in a shard has more behind a point.
fn without_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if ImageFormat::from_extension(extension).is_some() => stem,
        _ => name,
    }
}

fn failed(place: &Path, error: io::Error) -> Failure {
    Failure::Other(format!("{}: {error}", place.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_the_extensions_of_images_alone() {
        let found = ["a.b.jpg", "a.PNG", "val.vcache, image 3", "-"].map(without_extension);
        assert_eq!(found, ["a.b", "a", "val.vcache, image 3", "-"]);
    }
}
