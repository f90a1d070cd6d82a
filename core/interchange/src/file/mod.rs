//! The containers that weights come in: NumPy archives and safetensors. Both are read as names with
//! `f32` tensors, whatever they mean, and nothing in a file is believed before it is checked.

mod npz;
mod safetensors;
mod shards;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

pub(crate) use npz::write as write_npz;
pub(crate) use safetensors::write as write_safetensors;

use crate::{Array, InterchangeError};

/// Tensors of a file, by the file's own names.
pub(crate) type Tensors = BTreeMap<String, Array>;

/// A file of weights, and what lies beside it.
pub(crate) struct WeightsFile {
    pub path: PathBuf,
    pub tensors: Tensors,
    /// What `config.json` says, of a model from the Hugging Face hub.
    pub config: Option<serde_json::Value>,
    /// What `preprocessor_config.json` says.
    pub preprocessor: Option<serde_json::Value>,
}

/// A JSON file of settings is small; anything larger is something else.
const LARGEST_JSON: u64 = 16 << 20;

impl WeightsFile {
    /// Reads a file, an index of several (`model.safetensors.index.json`), or the weights in a folder as the
    /// Hugging Face hub has them.
    pub(crate) fn read(path: &Path) -> Result<Self, InterchangeError> {
        let path = if path.is_dir() { in_folder(path)? } else { path.to_path_buf() };
        let problem = |problem| InterchangeError::Damaged { path: path.clone(), problem };
        let tensors = match shards::is_index(&path) {
            true => shards::read(&path)?,
            false => read_tensors(&path)?,
        };
        if tensors.is_empty() {
            return Err(problem("the file has no tensors".into()));
        }
        let beside = |name| read_json(&path.with_file_name(name));
        let (config, preprocessor) = match path.extension() {
            Some(extension) if extension == "npz" => (None, None),
            _ => (beside("config.json")?, beside("preprocessor_config.json")?),
        };
        Ok(Self { path, tensors, config, preprocessor })
    }
}

/// The tensors of one file.
fn read_tensors(path: &Path) -> Result<Tensors, InterchangeError> {
    let mut file = File::open(path).map_err(InterchangeError::io(path))?;
    let mut start = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(&mut file, 16), &mut start)
        .map_err(InterchangeError::io(path))?;
    io::Seek::rewind(&mut file).map_err(InterchangeError::io(path))?;
    let tensors = match Container::of(&start) {
        Container::Zip if path.extension().is_some_and(|e| e == "npz") => npz::read(file),
        Container::Zip | Container::Pickle => Err(PICKLE.into()),
        Container::Safetensors => safetensors::read(file),
        Container::Other => Err("this is neither a NumPy archive (.npz) nor safetensors".into()),
    };
    tensors.map_err(|problem| InterchangeError::Damaged { path: path.into(), problem })
}

const PICKLE: &str = "this is a PyTorch file, whose pickled content can run code when it is opened; \
    save the weights with `safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")`";

/// What a file's first bytes say.
enum Container {
    Zip,
    Safetensors,
    Pickle,
    Other,
}

impl Container {
    fn of(start: &[u8]) -> Self {
        if start.starts_with(b"PK") {
            return Self::Zip;
        }
        match start {
            [0x80, 2..=5, ..] => Self::Pickle,
            [_, _, _, _, _, _, _, _, b'{', ..] => Self::Safetensors,
            _ => Self::Other,
        }
    }
}

fn in_folder(folder: &Path) -> Result<PathBuf, InterchangeError> {
    for name in ["model.safetensors", shards::INDEX] {
        let path = folder.join(name);
        if path.is_file() {
            return Ok(path);
        }
    }
    let problem = format!("the folder has no model.safetensors, and no {}", shards::INDEX);
    Err(InterchangeError::Damaged { path: folder.into(), problem })
}

fn read_json(path: &Path) -> Result<Option<serde_json::Value>, InterchangeError> {
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(InterchangeError::io(path)(error)),
    };
    let damaged = |problem| InterchangeError::Damaged { path: path.into(), problem };
    if length > LARGEST_JSON {
        return Err(damaged(format!("{length} bytes are too many for a file of settings")));
    }
    let text = fs::read(path).map_err(InterchangeError::io(path))?;
    serde_json::from_slice(&text).map(Some).map_err(|error| damaged(error.to_string()))
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

/// Writes a file beside its place, flushes it to the disk, and moves it there: it is there whole or
/// not at all.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut io::BufWriter<File>) -> io::Result<()>,
) -> Result<(), InterchangeError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".writing");
    let temporary = path.with_file_name(name);
    let finish = || -> io::Result<()> {
        let mut file = io::BufWriter::new(File::create(&temporary)?);
        write(&mut file)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        fs::rename(&temporary, path)
    };
    finish().map_err(|source| {
        // What is half written is of no use; should it stay, the next attempt replaces it.
        let _ = fs::remove_file(&temporary);
        InterchangeError::Io { path: path.into(), source }
    })
}

#[cfg(test)]
mod tests;
