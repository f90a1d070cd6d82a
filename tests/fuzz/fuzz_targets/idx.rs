//! A pair of IDX files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitral_data::{Idx, Source as _};
use vitral_fuzz::{file, read_all, two};

fuzz_target!(|data: &[u8]| {
    let Some((labels, images)) = two(data) else { return };
    let (images, labels) = (file("images", images), file("labels", labels));
    if let Ok(source) = Idx::open(&images, &labels, None) {
        read_all(&source);
    }
    let names = ["cat", "dog"].map(String::from);
    if let Ok(source) = Idx::open(&images, &labels, Some(&names)) {
        assert_eq!(source.class_names(), names);
    }
});
