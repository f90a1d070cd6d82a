//! The JSON files beside weights.

use std::{io, path::Path};

use vitral_files::Kind;

use crate::InterchangeError;

/// What a file says, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<serde_json::Value>, InterchangeError> {
    let text = match vitral_files::read(path, Kind::SETTINGS) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.map_err(InterchangeError::io(path))?,
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let problem = error.to_string();
        InterchangeError::Damaged { path: path.into(), problem }
    })
}
