//! A cache, as it is and with its checksums put right, so that what lies behind them is reached.
#![no_main]

use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use twox_hash::XxHash3_64;
use vitral_data::{Cache, Source as _};
use vitral_fuzz::{file, read_all};

const ENTRY: usize = 32;

fuzz_target!(|data: &[u8]| {
    open(data);
    let mut bytes = data.to_vec();
    mend(&mut bytes);
    open(&bytes);
});

fn open(bytes: &[u8]) {
    let path = file("x.vcache", bytes);
    if let Ok(cache) = Cache::open(&path) {
        read_all(&cache);
        assert!(cache.raw_images() <= cache.len());
        let _ = cache.verify(|| {});
    }
}

/// Puts the checksums of the header, the index, the names and every sample right, as far as they have
/// a place.
fn mend(bytes: &mut [u8]) {
    if bytes.len() < 72 {
        return;
    }
    let number = |bytes: &[u8], at: usize| -> Option<u64> {
        Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
    };
    let fields = [16, 24, 32].map(|at| number(bytes, at));
    let [Some(samples), Some(index), Some(names)] = fields else { return };
    let start = usize::try_from(index).ok();
    let middle = usize::try_from(samples).ok().and_then(|n| n.checked_mul(ENTRY));
    let middle = start.zip(middle).and_then(|(start, length)| start.checked_add(length));
    let end = usize::try_from(names).ok().zip(middle).and_then(|(n, at)| at.checked_add(n));
    if let (Some(start), Some(middle), Some(end)) = (start, middle, end)
        && end <= bytes.len()
    {
        for entry in (start..middle).step_by(ENTRY) {
            let Some(offset) = number(bytes, entry).and_then(|n| usize::try_from(n).ok()) else {
                continue;
            };
            let length = number(bytes, entry + 8).map_or(0, |n| n as u32 as usize);
            let Some(end) = offset.checked_add(length).filter(|&end| end <= start) else {
                continue;
            };
            if offset <= end {
                put(bytes, entry + 24, offset..end);
            }
        }
        put(bytes, 40, start..middle);
        put(bytes, 48, middle..end);
    }
    put(bytes, 64, 0..64);
}

fn put(bytes: &mut [u8], at: usize, of: Range<usize>) {
    let sum = XxHash3_64::oneshot(&bytes[of]);
    bytes[at..at + 8].copy_from_slice(&sum.to_le_bytes());
}
