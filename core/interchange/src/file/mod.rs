//! The containers that weights come in: NumPy archives, safetensors and PyTorch's files. All are read as
//! names with `f32` tensors, whatever they mean, and nothing in a file is believed before it is checked.

mod archive;
mod container;
mod contents;
mod element;
mod json;
mod npz;
mod quiet;
mod safetensors;
mod shards;
mod torch;
mod values;

use std::{
    collections::BTreeSet,
    io,
    path::{Path, PathBuf},
};

use vitral_files::NewFile;

pub(crate) use contents::{Contents, Tensors, Wanted};
pub(crate) use element::ELEMENTS;
pub(crate) use npz::write as write_npz;
pub(crate) use safetensors::write as write_safetensors;

use self::container::{Container, open, read_tensors};
use crate::{InterchangeError, output::Output};

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
            true => json::read(&path.with_file_name(name)),
            false => Ok(None),
        };
        let (config, preprocessor) = (beside("config.json")?, beside("preprocessor_config.json")?);
        Ok(Self { path, contents, config, preprocessor })
    }
}

fn in_folder(folder: &Path) -> Result<PathBuf, InterchangeError> {
    let names = ["model.safetensors", shards::INDEX, "pytorch_model.bin", shards::TORCH_INDEX];
    let there = names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file());
    there.ok_or_else(|| {
        let problem = format!("the folder has none of {}", names.join(", "));
        InterchangeError::Damaged { path: folder.into(), problem }
    })
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
