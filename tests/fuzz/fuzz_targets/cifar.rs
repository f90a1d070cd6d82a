//! A file of CIFAR-10 or CIFAR-100 (the first byte says which), and a list of class names before it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitral_data::Cifar;
use vitral_fuzz::{file, read_all, two};

fuzz_target!(|data: &[u8]| {
    let Some((&variant, data)) = data.split_first() else { return };
    let Some((names, records)) = two(data) else { return };
    let files = [file("cifar.bin", records)];
    let list = match variant % 3 {
        0 => "batches.meta.txt",
        1 => "fine_label_names.txt",
        _ => "coarse_label_names.txt",
    };
    let list = files[0].with_file_name(list);
    match names {
        [] => drop(std::fs::remove_file(&list)),
        names => std::fs::write(&list, names).expect("the temporary folder takes files"),
    }
    let opened = match variant % 3 {
        0 => Cifar::open_10(&files),
        1 => Cifar::open_100(&files, false),
        _ => Cifar::open_100(&files, true),
    };
    if let Ok(source) = opened {
        read_all(&source);
    }
});
