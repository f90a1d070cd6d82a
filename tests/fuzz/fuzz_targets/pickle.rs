//! The pickle of a PyTorch file, in an archive that is right, so that no checksum hides it.
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

use std::io::{Cursor, Write};

use array::Array;
use error::InterchangeError;
use file::WeightsFile;
use libfuzzer_sys::fuzz_target;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The length of each storage, in bytes: those of the seeds, and some for what becomes of them.
const STORAGES: [usize; 4] = [96, 16, 4, 0];

fuzz_target!(|data: &[u8]| {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut put = |name: &str, content: &[u8]| {
        archive.start_file(name, options).expect("memory takes entries");
        archive.write_all(content).expect("memory takes bytes");
    };
    put("x/data.pkl", data);
    for (index, length) in STORAGES.into_iter().enumerate() {
        put(&format!("x/data/{index}"), &vec![1; length]);
    }
    let archive = archive.finish().expect("memory takes bytes").into_inner();
    let weights = match WeightsFile::read(&vitral_fuzz::file("x", &archive), &|_| true) {
        Ok(weights) => weights.contents,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    for (name, Array { shape, values }) in &weights.tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        assert!(values.iter().all(|value| value.is_finite()), "{name}");
    }
});
