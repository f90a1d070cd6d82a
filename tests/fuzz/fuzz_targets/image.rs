//! A JPEG, PNG or WebP file: decoded as a whole, and on the way through a pipeline that wants a part.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use vitral_data::{
    Channels, Image, Loader, LoaderOptions, OnError, Pipeline, RandomResizedCrop, ReadError, Shard,
    Source, Stored, Transform,
};
use vitral_fuzz::decoded;
use vitral_seed::Seed;

fuzz_target!(|data: &[u8]| {
    let Some(image) = decoded(Stored::Encoded(data)) else { return };
    assert_eq!(image.pixels().len() % image.channels().count(), 0);
    let crop = Transform::RandomResizedCrop(RandomResizedCrop {
        scale: (0.08, 1.0),
        ratio: (0.75, 1.33),
        ..RandomResizedCrop::default()
    });
    for channels in [Channels::Grey, Channels::Rgb] {
        let pipeline =
            Pipeline::own(channels, 8, std::slice::from_ref(&crop)).expect("it is a good one");
        let source = Arc::new(One { bytes: data.to_vec(), classes: ["one".into()] });
        let options = LoaderOptions {
            batch: 1,
            workers: 1,
            prefetch: 1,
            on_error: OnError::Stop,
            seed: Seed::new(data.len() as u64),
            shard: Shard::default(),
            repeats: 1,
        };
        let loader = Loader::train(source, Arc::new(pipeline), options, 0..2);
        for batch in loader.expect("the source is not empty") {
            let batch = batch.expect("what can be decoded can be decoded in part");
            assert_eq!(batch.images.len(), 64 * channels.count());
        }
    }
});

/// A source of one image.
struct One {
    bytes: Vec<u8>,
    classes: [String; 1],
}

impl Source for One {
    fn len(&self) -> usize {
        1
    }

    fn class_names(&self) -> &[String] {
        &self.classes
    }

    fn label(&self, _: usize) -> u32 {
        0
    }

    fn read(&self, _: usize) -> Result<Image, ReadError> {
        let decoded = Stored::Encoded(&self.bytes).decode();
        decoded.map_err(|error| ReadError { name: "one".into(), reason: error.to_string() })
    }

    fn load<'a>(&'a self, _: usize, _: &'a mut Vec<u8>) -> Result<Stored<'a>, ReadError> {
        Ok(Stored::Encoded(&self.bytes))
    }

    fn name(&self, _: usize) -> String {
        "one".into()
    }

    fn hash_index(&self, _: &mut dyn std::hash::Hasher) {}
}
