//! A run that goes on in a folder of its own from a checkpoint of another, which stays as it is.

use std::{fs, io, path::Path};

use vitral_files::{Access, Existing, Kind, NewFolder};

use super::{CheckpointError, io_error, manager, plugins};
use crate::metrics_file::METRICS;

/// Files of a run beside its checkpoints, with what they may be; that of the experiment first, which
/// marks a run.
const FILES: [(&str, Kind); 3] = [
    (super::CONFIG, Kind::CONFIGURATION),
    (plugins::LOCK, Kind::CONFIGURATION),
    (METRICS, Kind::METRICS),
];

/// Gives a new run what it needs to go on from a checkpoint: that one, the `best` one of a step, and what
/// was reported.
///
/// # Errors
/// Something cannot be copied, or is there already.
pub(crate) fn begin(
    checkpoint: &Path,
    best: Option<u64>,
    run: &Path,
) -> Result<(), CheckpointError> {
    let origin = super::run_of(checkpoint).map_err(|source| io_error(checkpoint, source))?;
    vitral_files::check_place(run).map_err(|source| io_error(run, source))?;
    let checkpoints = run.join(manager::FOLDER);
    fs::create_dir_all(&checkpoints).map_err(|source| io_error(&checkpoints, source))?;
    for (name, kind) in FILES {
        copy(&origin.join(name), &run.join(name), kind)?;
    }
    let best = best.map(|step| origin.join(manager::FOLDER).join(manager::name_of(step)));
    // Without the best one, as where it was removed, nothing but its name is missed.
    for path in best.iter().filter(|path| path.is_dir()) {
        copy_folder(path, &checkpoints)?;
    }
    copy_folder(checkpoint, &checkpoints)
}

/// Copies a checkpoint among those of another run, unless it is there.
fn copy_folder(checkpoint: &Path, checkpoints: &Path) -> Result<(), CheckpointError> {
    let place = checkpoints.join(checkpoint.file_name().unwrap_or_default());
    if place.symlink_metadata().is_ok() {
        return Ok(());
    }
    let folder = NewFolder::create(&place).map_err(|source| io_error(&place, source))?;
    // Of what kind each file is, and whether it is whole, was asked when the checkpoint was read.
    vitral_files::copy_folder(checkpoint, folder.path(), Kind::TENSORS)
        .map_err(|error| io_error(&error.path, error.source))?;
    folder.finish().map(drop).map_err(|source| io_error(&place, source))
}

/// Copies a file, if it is there.
fn copy(from: &Path, to: &Path, kind: Kind) -> Result<(), CheckpointError> {
    match vitral_files::read(from, kind) {
        Ok(content) => vitral_files::write(to, &content, Existing::Replace, Access::Usual)
            .map_err(|source| io_error(to, source)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(io_error(from, source)),
    }
}
