//! A file of weights: a NumPy archive, safetensors or PyTorch's.
//!
//! `vitral-interchange` needs Burn, whose build takes many minutes, but its readers do not: they are
//! compiled here by themselves.
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

use array::Array;
use error::InterchangeError;
use file::WeightsFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A file is known by its content.
    let read =
        |name: &str, bytes: &[u8]| WeightsFile::read(&vitral_fuzz::file(name, bytes), &|_| true);
    let weights = match read("x", data) {
        Ok(weights) => weights.contents,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for (name, Array { shape, values }) in &weights.tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        assert!(values.iter().all(|value| value.is_finite()), "{name}");
    }
    // What is not wanted has the same names.
    let path = vitral_fuzz::file("x", data);
    let names = WeightsFile::names(&path).unwrap_or_else(|error| panic!("{error}"));
    let all: std::collections::BTreeSet<_> = weights.names().cloned().collect();
    assert_eq!(names, all);
    if weights.tensors.is_empty() {
        return;
    }
    // Written and read again, the tensors are the same.
    let (mut npz, mut safetensors) = (std::io::Cursor::new(Vec::new()), Vec::new());
    file::write_safetensors(&weights.tensors, &mut safetensors).expect("memory takes bytes");
    let again = |name: &str, bytes: &[u8]| {
        let read = read(name, bytes).unwrap_or_else(|error| panic!("{error}"));
        // NumPy archives are sorted and named by their files, safetensors by their header.
        assert!(read.contents.tensors == weights.tensors, "{name}");
    };
    again("y", &safetensors);
    if file::write_npz(&weights.tensors, &mut npz).is_ok() {
        again("z", npz.get_ref());
    }
});
