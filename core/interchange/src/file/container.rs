//! What a file is, by its content: its name says nothing that is believed.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::Path,
};

use vitral_files::Kind;

use super::{
    archive::{self, Archive},
    contents::{Contents, Wanted},
    npz, safetensors, torch,
};
use crate::InterchangeError;

/// A file that tensors can be read from.
pub(super) enum Container {
    Npz(Archive),
    /// With the file's length.
    Torch(Archive, u64),
    Safetensors(File),
    /// JSON text, which should say which tensor is in which file.
    Index,
}

/// Why a file is not opened.
enum Unopened {
    Io(io::Error),
    /// It is something else, in words.
    Other(String),
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<String> for Unopened {
    fn from(problem: String) -> Self {
        Self::Other(problem)
    }
}

/// As much of a file as tells what it is.
const START: u64 = 512;

impl Container {
    /// Opens a file and finds out what it is.
    ///
    /// # Errors
    /// It cannot be opened, or tensors cannot be read from what it is.
    fn open(path: &Path) -> Result<Self, Unopened> {
        let (mut file, length) = vitral_files::open(path, Kind::WEIGHTS)?;
        let mut start = Vec::new();
        file.by_ref().take(START).read_to_end(&mut start)?;
        file.rewind()?;
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            return Ok(Self::of_archive(archive::open(file)?, length)?);
        }
        // Text has no zeros, and the length of a header always has some.
        let is_text = !start.iter().take(8).any(|&byte| byte == 0);
        match start.trim_ascii_start() {
            [b'{', ..] if is_text => Ok(Self::Index),
            _ if !is_text && start.get(8) == Some(&b'{') => Ok(Self::Safetensors(file)),
            text => Err(Unopened::Other(foreign(&start, text))),
        }
    }

    fn of_archive(archive: Archive, length: u64) -> Result<Self, String> {
        let names = archive::names(&archive)?;
        if torch::pickle_of(&names).is_some() {
            return Ok(Self::Torch(archive, length));
        }
        if names.is_empty() {
            return Err("the archive is empty".into());
        }
        if names.iter().any(|name| npz::is_array(name)) {
            return Ok(Self::Npz(archive));
        }
        let first: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
        Err(format!(
            "this ZIP archive has neither NumPy's arrays (.npy) nor PyTorch's weights (data.pkl), but {}",
            first.join(", ")
        ))
    }
}

/// Opens a file and finds out what it is.
pub(super) fn open(path: &Path) -> Result<Container, InterchangeError> {
    Container::open(path).map_err(|unopened| match unopened {
        Unopened::Io(error) => InterchangeError::io(path)(error),
        Unopened::Other(problem) => InterchangeError::Damaged { path: path.into(), problem },
    })
}

/// The tensors of one file.
pub(super) fn read_tensors(
    path: &Path,
    container: Container,
    wanted: Wanted<'_>,
) -> Result<Contents, InterchangeError> {
    let contents = match container {
        Container::Npz(archive) => npz::read(archive, wanted),
        Container::Torch(archive, length) => torch::read(archive, length, wanted),
        Container::Safetensors(file) => safetensors::read(file, wanted),
        Container::Index => Err("this is an index, and not a file of weights".into()),
    };
    contents.map_err(|problem| InterchangeError::Damaged { path: path.into(), problem })
}

/// What a file is that tensors are not read from, and what to do about it.
fn foreign(start: &[u8], text: &[u8]) -> String {
    // What `torch.save` wrote before PyTorch 1.6: the number that comes first, pickled.
    const OLD_TORCH: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let starts = |mark: &[u8]| start.starts_with(mark);
    if start.is_empty() {
        "the file is empty".to_owned()
    } else if starts(b"version https://git-lfs") {
        let size = String::from_utf8_lossy(start);
        let size = size.lines().find_map(|line| line.strip_prefix("size "));
        let of = size.map(|size| format!(" of {size} bytes")).unwrap_or_default();
        format!(
            "this is a pointer of Git LFS, and not the file{of} itself; fetch that with `git lfs pull`"
        )
    } else if text.first() == Some(&b'<') || text.starts_with(b"\xef\xbb\xbf<") {
        "this is a web page (HTML or XML), and not weights: the download brought an error or a login in their place".into()
    } else if let [0x80, 2..=5, rest @ ..] = start {
        match rest.starts_with(OLD_TORCH) {
            true => "this is PyTorch's old format, which is not read; any PyTorch since 1.6 writes the new one: `torch.save(torch.load(\"old.pth\", map_location=\"cpu\", weights_only=True), \"new.pth\")`".into(),
            false => format!("this is a pickle of Python's, and not a file of PyTorch's; {}", torch::SAVE),
        }
    } else if starts(b"\x93NUMPY") {
        "this is a single array (.npy); weights come in an archive of named ones (`np.savez`)"
            .into()
    } else if starts(b"\x89HDF") {
        "this is HDF5 (Keras's .h5), which is not read; known are NumPy's archives (.npz), safetensors and PyTorch's weights (.pth)".into()
    } else if starts(b"\x1f\x8b")
        || starts(b"\x28\xb5\x2f\xfd")
        || starts(b"\xfd7zXZ")
        || starts(b"BZh")
    {
        "this is a compressed file; unpack it first".into()
    } else if start.get(257..262) == Some(b"ustar") {
        "this is a tar archive; unpack it first".into()
    } else {
        "this is neither a NumPy archive (.npz) nor safetensors nor PyTorch's weights (.pth)".into()
    }
}
