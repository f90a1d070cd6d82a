//! An index of weights in several files, and two files beside it.
#![no_main]
#![allow(dead_code)]

#[path = "../../../core/interchange/src/array.rs"]
mod array;
#[path = "../../../core/interchange/src/error.rs"]
mod error;
#[path = "../../../core/interchange/src/file/mod.rs"]
mod file;
#[path = "../../../core/interchange/src/output.rs"]
mod output;

use std::{fs, path::Path};

use array::Array;
use error::InterchangeError;
use file::WeightsFile;
use libfuzzer_sys::fuzz_target;
use vitral_fuzz::two;

fuzz_target!(|data: &[u8]| {
    let Some((index, files)) = two(data) else { return };
    let Some((first, second)) = two(files) else { return };
    let folder = std::env::temp_dir().join(format!("vitral-fuzz-{}-folder", std::process::id()));
    fs::create_dir_all(&folder).expect("the temporary folder takes folders");
    let write = |name: &str, bytes| {
        let path = folder.join(name);
        fs::write(&path, bytes).expect("the temporary folder takes files");
        path
    };
    let files = [write("1.safetensors", first), write("2.safetensors", second)];
    let index = write("model.safetensors.index.json", index);
    let read = |path: &Path| WeightsFile::read(path, &|_| true);
    let weights = match read(&folder) {
        Ok(weights) => weights,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert_eq!(weights.path, index);
    let weights = weights.contents;
    // Every tensor comes from exactly one of the files that it names, as that file has it.
    let files = files.map(|file| read(&file).ok().map(|file| file.contents));
    for (name, Array { shape, values }) in &weights.tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        let found = files.iter().flatten().filter_map(|file| file.tensors.get(name));
        assert!(found.clone().next().is_some(), "`{name}` is in no file");
        assert!(found.clone().any(|array| array.values == *values), "{name}");
    }
    for file in files.iter().flatten() {
        let named = file.names().filter(|name| weights.names().any(|other| other == *name)).count();
        assert!(named == 0 || named == file.names().count(), "a file is used in part");
    }
});
