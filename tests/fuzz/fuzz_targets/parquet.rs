//! A Parquet file with images: columns as the Hugging Face metadata says, and columns by name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitral_data::Parquet;
use vitral_fuzz::{allow_caught_panics, file, read_all};

fuzz_target!(init: allow_caught_panics(), |data: &[u8]| {
    let files = [file("x.parquet", data)];
    if let Ok(source) = Parquet::open(&files, None, None, None, None) {
        read_all(&source);
    }
    if let Ok(source) = Parquet::open(&files, None, Some("picture"), Some("kind"), Some(1)) {
        read_all(&source);
    }
});
