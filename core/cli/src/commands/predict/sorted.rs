//! Copies of images in a folder for each class.

use std::{
    collections::HashSet,
    fs,
    io::{self, Cursor},
    path::{Path, PathBuf},
};

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use vitral_data::{Channels, Image, ReadError, Source, Stored};
use vitral_files::{Access, NewFolder};

use super::file_names::{free, safe};
use crate::failure::Failure;

/// A folder of classes' folders that is being filled; it appears when it is whole.
pub struct Sorted {
    place: PathBuf,
    folder: NewFolder,
    /// The classes, and what the folder of each is called.
    classes: Vec<(String, String)>,
    /// Files that there are, in lower case, as some systems tell them apart.
    taken: HashSet<(usize, String)>,
    /// What was read last, for its memory.
    buffer: Vec<u8>,
}

impl Sorted {
    /// Begins a folder where nothing is yet.
    pub fn create(place: &Path, classes: &[String]) -> Result<Self, Failure> {
        vitral_files::check_new(place).map_err(|error| failed(place, error))?;
        let folder = NewFolder::create(place).map_err(|error| failed(place, error))?;
        let mut folders = HashSet::new();
        let folder_of = |class: &String| {
            let name = free(&safe(class), |name| folders.insert(name.to_lowercase()));
            (class.clone(), name)
        };
        let classes = classes.iter().map(folder_of).collect();
        Ok(Self { place: place.into(), folder, classes, taken: HashSet::new(), buffer: Vec::new() })
    }

    /// Copies an image into the folder of its class.
    pub fn add(&mut self, source: &dyn Source, index: usize, class: usize) -> Result<(), Failure> {
        let lost = |ReadError { name, reason }| Failure::Other(format!("{name}: {reason}"));
        let mut buffer = std::mem::take(&mut self.buffer);
        let stored = source.load(index, &mut buffer).map_err(lost)?;
        let name = safe(source.name(index).rsplit(['/', '\\']).next().unwrap_or_default());
        let (bytes, name) = match &stored {
            Stored::Encoded(bytes) => ((*bytes).to_vec(), named_as(&name, bytes)),
            Stored::Pixels(view) => (png(view.to_image()), format!("{name}.png")),
            Stored::Image(image) => (png(image.clone()), format!("{name}.png")),
        };
        let name = free(&name, |name| self.taken.insert((class, name.to_lowercase())));
        let folder = self.folder.path().join(&self.classes[class].1);
        let written = fs::create_dir_all(&folder)
            .and_then(|()| vitral_files::write_new(&folder.join(&name), &bytes, Access::Usual));
        self.buffer = buffer;
        written.map_err(|error| failed(&self.place, error))
    }

    /// Classes whose folders are called otherwise, in sentences.
    pub fn renamed(&self) -> Vec<String> {
        let renamed = self.classes.iter().filter(|(class, folder)| class != folder);
        renamed
            .map(|(class, folder)| format!("the class {class} is in the folder {folder}"))
            .collect()
    }

    /// Has the folder appear, and tells where.
    pub fn finish(self) -> Result<PathBuf, Failure> {
        self.folder.finish().map_err(|error| failed(&self.place, error))?;
        Ok(self.place)
    }
}

fn failed(place: &Path, error: io::Error) -> Failure {
    Failure::Other(format!("{}: {error}", place.display()))
}

/// A name with the extension that bytes of an image have, unless it has one of its format's.
fn named_as(name: &str, bytes: &[u8]) -> String {
    let Ok(format) = image::guess_format(bytes) else { return name.to_owned() };
    let own = Path::new(name).extension().and_then(ImageFormat::from_extension);
    match (own == Some(format), format.extensions_str().first()) {
        (false, Some(extension)) => format!("{name}.{extension}"),
        _ => name.to_owned(),
    }
}

fn png(image: Image) -> Vec<u8> {
    let (width, height, channels) = (image.width(), image.height(), image.channels());
    let pixels = image.into_pixels();
    let image = match channels {
        Channels::Grey => GrayImage::from_raw(width, height, pixels).map(DynamicImage::from),
        Channels::Rgb => RgbImage::from_raw(width, height, pixels).map(DynamicImage::from),
    };
    let mut bytes = Cursor::new(Vec::new());
    // An image has as many pixels as its sides say, and memory takes all that is written.
    if let Some(image) = image {
        let _ = image.write_to(&mut bytes, ImageFormat::Png);
    }
    bytes.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_the_extension_of_their_format() {
        let jpeg = b"\xff\xd8\xff\xe0";
        assert_eq!(named_as("a.jpeg", jpeg), "a.jpeg");
        assert_eq!(named_as("a.png", jpeg), "a.png.jpg");
        assert_eq!(named_as("set.parquet, row 3", jpeg), "set.parquet, row 3.jpg");
    }
}
