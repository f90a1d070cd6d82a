//! A file of weights: a NumPy archive or safetensors.
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

use array::Array;
use error::InterchangeError;
use file::WeightsFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let name = if data.starts_with(b"PK") { "x.npz" } else { "x.safetensors" };
    let path = vitral_fuzz::file(name, data);
    let weights = match WeightsFile::read(&path) {
        Ok(weights) => weights,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for (name, Array { shape, values }) in &weights.tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        assert!(values.iter().all(|value| value.is_finite()), "{name}");
    }
    // Written and read again, the tensors are the same.
    let (mut npz, mut safetensors) = (std::io::Cursor::new(Vec::new()), Vec::new());
    file::write_safetensors(&weights.tensors, &mut safetensors).expect("memory takes bytes");
    again("y.safetensors", &safetensors, &weights);
    if file::write_npz(&weights.tensors, &mut npz).is_ok() {
        again("y.npz", npz.get_ref(), &weights);
    }
});

fn again(name: &str, bytes: &[u8], weights: &WeightsFile) {
    let read = WeightsFile::read(&vitral_fuzz::file(name, bytes));
    let read = read.unwrap_or_else(|error| panic!("{error}"));
    // NumPy archives are sorted and named by their files, safetensors by their header.
    assert!(read.tensors == weights.tensors, "{name}");
}
