//! The containers that weights come in: NumPy archives, safetensors and PyTorch's files. All are read as
//! names with `f32` tensors, whatever they mean, and nothing in a file is believed before it is checked.

mod archive;
mod container;
mod element;
mod npz;
mod quiet;
mod safetensors;
mod shards;
mod torch;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use vitral_files::{Kind, NewFile};

use self::container::{Container, Unopened};
pub(crate) use element::ELEMENTS;
pub(crate) use npz::write as write_npz;
pub(crate) use safetensors::write as write_safetensors;

use crate::{Array, InterchangeError, output::Output};

/// Tensors of a file, by the file's own names.
pub(crate) type Tensors = BTreeMap<String, Array>;

/// Which tensors are to be read, by name; the others take no memory.
pub(crate) type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// What a file has.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// What was wanted.
    pub tensors: Tensors,
    /// What was wanted, but is of integers or truth values, and of which type in the file's words: no
    /// weights are.
    pub integers: BTreeMap<String, String>,
    /// What was not wanted.
    pub unread: BTreeSet<String>,
}

impl Contents {
    /// Whether there is a tensor of that name, of whatever type, wanted or not.
    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
            || self.integers.contains_key(name)
            || self.unread.contains(name)
    }

    /// All names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.tensors.keys().chain(self.integers.keys()).chain(&self.unread)
    }

    fn extend(&mut self, other: Self) {
        self.tensors.extend(other.tensors);
        self.integers.extend(other.integers);
        self.unread.extend(other.unread);
    }
}

/// A file of weights, and what lies beside it.
pub(crate) struct WeightsFile {
    pub path: PathBuf,
    pub contents: Contents,
    /// What `config.json` says, of a model from the Hugging Face hub.
    pub config: Option<serde_json::Value>,
    /// What `preprocessor_config.json` says.
    pub preprocessor: Option<serde_json::Value>,
}

impl WeightsFile {
    /// The names of all tensors in a file, an index of several (`model.safetensors.index.json`), or the
    /// weights in a folder as the Hugging Face hub has them.
    pub(crate) fn names(path: &Path) -> Result<BTreeSet<String>, InterchangeError> {
        Ok(Self::read(path, &|_| false)?.contents.unread)
    }

    /// Reads those tensors that are wanted.
    pub(crate) fn read(path: &Path, wanted: Wanted<'_>) -> Result<Self, InterchangeError> {
        let path = if path.is_dir() { in_folder(path)? } else { path.to_path_buf() };
        let problem = |problem| InterchangeError::Damaged { path: path.clone(), problem };
        let (contents, has_settings) = match open(&path)? {
            Container::Index => (shards::read(&path, wanted)?, true),
            container => {
                let has_settings = !matches!(container, Container::Npz(_));
                (read_tensors(&path, container, wanted)?, has_settings)
            }
        };
        if contents.tensors.is_empty() && contents.unread.is_empty() {
            return Err(problem(match contents.integers.first_key_value() {
                Some((name, kind)) => format!(
                    "the file has only tensors of integers (`{name}` is {kind}); {}",
                    ELEMENTS
                ),
                None => "the file has no tensors".into(),
            }));
        }
        let beside = |name| match has_settings {
            true => read_json(&path.with_file_name(name)),
            false => Ok(None),
        };
        let (config, preprocessor) = (beside("config.json")?, beside("preprocessor_config.json")?);
        Ok(Self { path, contents, config, preprocessor })
    }
}

/// Opens a file and finds out what it is.
fn open(path: &Path) -> Result<Container, InterchangeError> {
    Container::open(path).map_err(|unopened| match unopened {
        Unopened::Io(error) => InterchangeError::io(path)(error),
        Unopened::Other(problem) => InterchangeError::Damaged { path: path.into(), problem },
    })
}

/// The tensors of one file.
fn read_tensors(
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

fn in_folder(folder: &Path) -> Result<PathBuf, InterchangeError> {
    let names = ["model.safetensors", shards::INDEX, "pytorch_model.bin", shards::TORCH_INDEX];
    let there = names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file());
    there.ok_or_else(|| {
        let problem = format!("the folder has none of {}", names.join(", "));
        InterchangeError::Damaged { path: folder.into(), problem }
    })
}

fn read_json(path: &Path) -> Result<Option<serde_json::Value>, InterchangeError> {
    let text = match vitral_files::read(path, Kind::SETTINGS) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(InterchangeError::io(path))?,
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let problem = error.to_string();
        InterchangeError::Damaged { path: path.into(), problem }
    })
}

/// Room for so many values, or that there is none, in words.
fn room(name: &str, values: usize) -> Result<Vec<f32>, String> {
    let mut room = Vec::new();
    room.try_reserve_exact(values)
        .map_err(|_| format!("`{name}` has {values} values, which do not fit into memory"))?;
    Ok(room)
}

/// Weights that are not numbers would make every result so.
fn check_finite(name: &str, values: &[f32]) -> Result<(), String> {
    let count = values.iter().filter(|value| !value.is_finite()).count();
    if count > 0 {
        return Err(format!("{count} of the {} values of `{name}` are not finite", values.len()));
    }
    Ok(())
}

/// Writes a new file, which is there whole or not at all.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut NewFile) -> io::Result<()>,
) -> Result<(), InterchangeError> {
    let mut file = Output::create(path)?;
    write(file.file()).map_err(InterchangeError::io(path))?;
    file.finish().map(drop)
}

#[cfg(test)]
mod tests;
