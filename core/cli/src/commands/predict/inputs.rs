//! Which images are classified: what the command line, lists and standard input name.

use std::{
    borrow::Cow,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use image::ImageFormat;
use vitral_data::{ImageFiles, OnError, Source, SourceConfig};
use vitral_files::Kind;

use crate::{
    commands::data::{is_experiment, source},
    experiment::Loaded,
    failure::Failure,
};

/// A list of paths, or an image on standard input.
const LIST: Kind = Kind::new("a list of images", 1 << 30);
/// What standard input is called.
const STANDARD_INPUT: &str = "-";

/// Images that are classified one after the other.
pub struct Input {
    pub source: Arc<dyn Source>,
    /// The same where they are files of their own.
    pub files: Option<Arc<ImageFiles>>,
}

/// Opens all that is named, in its order.
///
/// # Errors
/// A list, a folder or a data set cannot be read, or there is no image.
pub fn open(images: &[PathBuf], lists: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    let mut inputs = Inputs::default();
    for path in images {
        if path == Path::new(STANDARD_INPUT) {
            inputs.add_standard_input()?;
        } else if let Some(list) = list_of(path) {
            inputs.add_list(&read(&list)?, &list.display().to_string())?;
        } else {
            inputs.add(path)?;
        }
    }
    for list in lists {
        inputs.add_list(&read(list)?, &list.display().to_string())?;
    }
    inputs.close();
    match inputs.whole.is_empty() {
        false => Ok(inputs.whole),
        true => Err(Failure::Other("there is no image to classify: the lists are empty".into())),
    }
}

/// The list that `@FILE` stands for, unless that is the name of a file itself.
fn list_of(path: &Path) -> Option<PathBuf> {
    let text = path.as_os_str().as_encoded_bytes().strip_prefix(b"@")?;
    path.symlink_metadata().is_err().then(|| path_of(text).into_owned())
}

fn read(list: &Path) -> Result<Vec<u8>, Failure> {
    vitral_files::read(list, LIST)
        .map_err(|error| Failure::Other(format!("{}: {error}", list.display())))
}

/// Images until now; files that follow each other are one.
#[derive(Default)]
struct Inputs {
    whole: Vec<Input>,
    files: ImageFiles,
}

impl Inputs {
    fn add(&mut self, path: &Path) -> Result<(), Failure> {
        match data_set(path)? {
            Some(config) => {
                self.close();
                let source = config.open_with(OnError::Skip)?;
                self.whole.push(Input { source, files: None });
            }
            None => self.files.add(path)?,
        }
        Ok(())
    }

    /// Adds what a list names: a path on each line, or between zeros, as `find -print0` writes it.
    fn add_list(&mut self, list: &[u8], name: &str) -> Result<(), Failure> {
        let end = if list.contains(&0) { 0 } else { b'\n' };
        for line in list.split(|&byte| byte == end) {
            let line = if end == b'\n' { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
            if !line.is_empty() {
                self.add(&path_of(line)).map_err(|failure| match failure {
                    Failure::Other(problem) => Failure::Other(format!("{name}: {problem}")),
                    failure => failure,
                })?;
            }
        }
        Ok(())
    }

    fn add_standard_input(&mut self) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        let failed = |problem: String| Failure::Other(format!("standard input: {problem}"));
        let read = std::io::stdin().lock().take(LIST.most() + 1).read_to_end(&mut bytes);
        read.map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > LIST.most() {
            return Err(failed(format!("{LIST} has at most {} bytes", LIST.most())));
        }
        match is_image(&bytes) {
            true => self.files.add_bytes(STANDARD_INPUT.into(), bytes),
            false => self.add_list(&bytes, "standard input")?,
        }
        Ok(())
    }

    fn close(&mut self) {
        let files = Arc::new(std::mem::take(&mut self.files));
        if !files.is_empty() {
            self.whole.push(Input { source: files.clone(), files: Some(files) });
        }
    }
}

/// The data set that a path stands for, if it is neither images, nor a folder of them.
fn data_set(path: &Path) -> Result<Option<SourceConfig>, Failure> {
    if path.is_dir() {
        return Ok(None);
    }
    if is_experiment(path) {
        return Ok(Some(Loaded::read(path, &[])?.experiment.data.validation()));
    }
    let is_written_out = path.to_str().is_some_and(|text| text.ends_with(')'));
    match SourceConfig::of_path(path) {
        None if is_written_out && path.symlink_metadata().is_err() => source(path).map(Some),
        found => Ok(found),
    }
}

fn is_image(bytes: &[u8]) -> bool {
    let format = image::guess_format(bytes);
    matches!(format, Ok(ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP))
}

/// A path as its bytes, which need not be Unicode where the system does not ask for it.
fn path_of(bytes: &[u8]) -> Cow<'_, Path> {
    #[cfg(unix)]
    {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        Cow::Borrowed(Path::new(OsStr::from_bytes(bytes)))
    }
    #[cfg(not(unix))]
    {
        Cow::Owned(PathBuf::from(String::from_utf8_lossy(bytes).into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[u8]) -> Vec<String> {
        let mut inputs = Inputs::default();
        inputs.add_list(list, "list").unwrap();
        (0..inputs.files.len()).map(|index| inputs.files.name(index)).collect()
    }

    #[test]
    fn lists_have_a_path_on_each_line_or_between_zeros() {
        assert_eq!(names(b"a.png\r\n\nodd name.jpg\n"), ["a.png", "odd name.jpg"]);
        assert_eq!(names(b"a\nb.png\0c.png\0"), ["a\nb.png", "c.png"]);
        assert!(names(b"").is_empty());
    }

    #[test]
    fn an_image_is_told_from_a_list() {
        assert!(is_image(b"\xff\xd8\xff\xe0") && is_image(b"\x89PNG\r\n\x1a\n"));
        assert!(!is_image(b"BMW/1.png\n") && !is_image(b""));
    }
}
