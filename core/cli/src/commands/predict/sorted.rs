//! Copies of images in a folder for each class.

use std::{
    collections::HashSet,
    fs,
    io::{self, Cursor},
    path::{Path, PathBuf},
};

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use vitral_config::is_deceptive;
use vitral_data::{Channels, Image, ReadError, Source, Stored};
use vitral_files::{Access, NewFolder};

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

/// A name that leads nowhere else and that every system takes, whoever has chosen it.
fn safe(name: &str) -> String {
    let mut safe: String = name
        .chars()
        .map(|character| match character {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
            character if character.is_control() || is_deceptive(character) => '_',
            character => character,
        })
        .collect();
    if safe.is_empty() || safe.starts_with('.') {
        safe.insert(0, '_');
    }
    while safe.ends_with(['.', ' ']) {
        safe.pop();
    }
    safe
}

/// The first of a name and the same with numbers that is still free.
fn free(name: &str, mut take: impl FnMut(&str) -> bool) -> String {
    if take(name) {
        return name.to_owned();
    }
    let path = Path::new(name);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|found| format!(".{}", found.to_string_lossy()));
    let extension = extension.unwrap_or_default();
    let mut numbered = (2_u64..).map(|number| format!("{stem}-{number}{extension}"));
    // Of endless numbers, one is free.
    numbered.find(|name| take(name)).unwrap_or_default()
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
    fn names_that_others_have_chosen_lead_nowhere_else() {
        for (name, expected) in [
            ("cat", "cat"),
            ("../../etc", "_.._.._etc"),
            ("..", "_"),
            ("", "_"),
            (".hidden", "_.hidden"),
            ("a/b\\c:d", "a_b_c_d"),
            ("T-shirt/top", "T-shirt_top"),
            ("x\u{202e}y\n", "x_y_"),
            ("end. ", "end"),
        ] {
            assert_eq!(safe(name), expected, "{name:?}");
        }
    }

    #[test]
    fn names_that_are_taken_get_numbers() {
        let mut taken = HashSet::new();
        let mut of = |name: &str| free(name, |name| taken.insert(name.to_lowercase()));
        assert_eq!(
            ["a.jpg", "A.jpg", "a.jpg", "a"].map(&mut of),
            ["a.jpg", "A-2.jpg", "a-3.jpg", "a"]
        );
    }

    #[test]
    fn copies_have_the_extension_of_their_format() {
        let jpeg = b"\xff\xd8\xff\xe0";
        assert_eq!(named_as("a.jpeg", jpeg), "a.jpeg");
        assert_eq!(named_as("a.png", jpeg), "a.png.jpg");
        assert_eq!(named_as("set.parquet, row 3", jpeg), "set.parquet, row 3.jpg");
    }
}
