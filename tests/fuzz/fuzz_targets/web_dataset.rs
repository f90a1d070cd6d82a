//! A tar shard, read image by image and in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitral_data::{Source as _, WebDataset};
use vitral_fuzz::{file, read_all};

fuzz_target!(|data: &[u8]| {
    let shards = [file("x.tar", data)];
    let open = |buffer| WebDataset::open(&shards, None, "label", buffer);
    let (single, pieces) = (open(None), open(Some(2)));
    assert_eq!(single.is_ok(), pieces.is_ok());
    let (Ok(single), Ok(pieces)) = (single, pieces) else { return };
    read_all(&single);
    read_all(&pieces);
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for index in 0..single.len().min(16) {
        assert_eq!(single.load(index, &mut one).ok(), pieces.load(index, &mut two).ok());
    }
});
