//! Image augmentations through their table: what comes back, and what goes wrong.

use std::ffi::c_void;

use vitral_sdk::abi::c::{self, List};
use vitral_sdk::abi::convert::{self, FromC, InC};
use vitral_sdk::prelude::*;
use vitral_sdk::{Description, LogLevel, Setting, native};

use crate::host::Recorder;

#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Invert,
    Halve,
    Noise,
    Refuse,
    Panic,
    Again,
}

#[derive(Parameters)]
struct Odd {
    /// What to do.
    act: Act,
}

impl Plugin for Odd {
    type Parameters = Self;
    const IDENTITY: Identity = identity!("odd", "Does one of several things");

    fn new(parameters: Self) -> Result<Self> {
        if parameters.act == Act::Again {
            bail!("{:?} was there before", parameters.act);
        }
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![Example::new("The other way round").set("act", "invert")]
    }
}

impl ImageAugmentation for Odd {
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()> {
        match self.act {
            Act::Invert => image.pixels_mut().iter_mut().for_each(|value| *value = 255 - *value),
            Act::Halve => {
                let (width, height) = (image.width() / 2, image.height());
                let row = |y| image.row(y)[..(width * image.channels()) as usize].to_vec();
                image.replace(width, height, (0..height).flat_map(row).collect());
            }
            Act::Noise => sample.rng().fill(image.pixels_mut()),
            Act::Refuse => {
                log::warn("about to refuse");
                bail!("{} channels are not enough", image.channels());
            }
            Act::Panic => panic!("out of {}", "luck"),
            Act::Again => {}
        }
        Ok(())
    }
}

/// Makes an instance; gives the status and it.
fn create(act: &str, recorder: &mut Recorder) -> (u32, *mut c_void) {
    let settings = [Setting::new("act", act)];
    let settings = InC::new(settings.as_slice());
    let mut instance = std::ptr::null_mut();
    let plugin = native::image_augmentation::<Odd>();
    let host = recorder.table();
    // SAFETY: everything that is passed lives until the call returns.
    let status = unsafe {
        plugin.create.unwrap()(&host, *settings.as_c(), &mut instance, std::ptr::null_mut())
    };
    (status, instance)
}

fn augment(act: &str, pixels: &mut [u8; 12]) -> (u32, Recorder) {
    let mut recorder = Recorder::new();
    let (status, instance) = create(act, &mut recorder);
    assert_eq!(status, c::OK);
    let plugin = native::image_augmentation::<Odd>();
    let image = c::Image { width: 2, height: 2, channels: 3, pixels: pixels.as_mut_ptr() };
    let sample = c::Sample { seed: 7, epoch: 0, size: 2 };
    let host = recorder.table();
    // SAFETY: everything that is passed lives until the calls return.
    let status = unsafe {
        let status = plugin.augment.unwrap()(instance, &host, &image, &sample);
        plugin.destroy.unwrap()(instance);
        status
    };
    (status, recorder)
}

#[test]
fn the_description_is_made_once_and_can_be_read() {
    let plugin = native::image_augmentation::<Odd>();
    assert_eq!(convert::kind(plugin.kind), Ok(vitral_sdk::Kind::ImageAugmentation));
    // SAFETY: a description is valid for ever.
    let (first, second) = unsafe { (plugin.describe.unwrap()(), plugin.describe.unwrap()()) };
    assert_eq!(first, second);
    // SAFETY: as above.
    let description = unsafe { Description::from_c(&*first) }.unwrap();
    assert_eq!(description, vitral_sdk::describe::<Odd>());
    assert_eq!((description.name.as_str(), description.version.as_str()), ("odd", "0.1.0"));
}

#[test]
fn functions_of_other_kinds_are_null() {
    let plugin = native::image_augmentation::<Odd>();
    assert!(plugin.trace_batch.is_none() && plugin.trace_attention.is_none());
    assert!(plugin.observe.is_none() && plugin.save.is_none() && plugin.restore.is_none());
}

#[test]
fn images_are_changed_in_place() {
    let mut pixels = [1; 12];
    let (status, recorder) = augment("invert", &mut pixels);
    assert_eq!((status, pixels, recorder.image), (c::OK, [254; 12], None));
}

#[test]
fn an_image_of_another_size_is_handed_to_the_host() {
    let mut pixels = std::array::from_fn(|index| index as u8);
    let (status, recorder) = augment("halve", &mut pixels);
    assert_eq!((status, recorder.image), (c::OK, Some((1, 2, 3, vec![0, 1, 2, 6, 7, 8]))));
}

#[test]
fn randomness_is_the_samples() {
    let [mut first, mut second] = [[0; 12]; 2];
    augment("noise", &mut first);
    augment("noise", &mut second);
    assert_eq!(first, second);
    assert_ne!(first, [0; 12]);
}

#[test]
fn errors_and_messages_reach_the_host() {
    let (status, recorder) = augment("refuse", &mut [0; 12]);
    assert_eq!(status, c::FAILED);
    assert_eq!(recorder.failure.as_deref(), Some("3 channels are not enough"));
    assert_eq!(recorder.logged, [(LogLevel::Warn, "about to refuse".to_owned())]);
}

#[test]
fn a_panic_is_told_with_its_place() {
    let (status, recorder) = augment("panic", &mut [0; 12]);
    assert_eq!(status, c::PANICKED);
    let failure = recorder.failure.unwrap();
    assert!(failure.starts_with("panicked at "), "{failure}");
    assert!(failure.contains("native.rs:") && failure.ends_with("out of luck"), "{failure}");
}

#[test]
fn what_cannot_be_made_is_told() {
    for (act, message) in [
        ("again", "Again was there before"),
        ("dance", "parameter `act` is \"dance\", but must be one of invert, halve, noise"),
    ] {
        let mut recorder = Recorder::new();
        let (status, instance) = create(act, &mut recorder);
        assert!(status == c::FAILED && instance.is_null());
        let failure = recorder.failure.unwrap();
        assert!(failure.contains(message), "{failure}");
    }
}

#[test]
fn an_image_that_the_host_refuses_is_an_error() {
    let mut recorder = Recorder::new();
    recorder.largest_image = 1;
    let (_, instance) = create("halve", &mut recorder);
    let plugin = native::image_augmentation::<Odd>();
    let mut pixels = [0; 12];
    let image = c::Image { width: 2, height: 2, channels: 3, pixels: pixels.as_mut_ptr() };
    let sample = c::Sample { seed: 7, epoch: 0, size: 2 };
    let host = recorder.table();
    // SAFETY: everything that is passed lives until the calls return.
    unsafe {
        assert_eq!(plugin.augment.unwrap()(instance, &host, &image, &sample), c::FAILED);
        plugin.destroy.unwrap()(instance);
    }
    assert_eq!(recorder.failure.as_deref(), Some("an image of 1x2 is too large"));
}

#[test]
fn a_host_of_another_version_or_with_nothing_to_give_is_refused() {
    let plugin = native::image_augmentation::<Odd>();
    let mut recorder = Recorder::new();
    let sample = c::Sample { seed: 7, epoch: 0, size: 2 };
    let (_, instance) = create("invert", &mut recorder);
    let newer = c::Host { major: c::MAJOR + 1, ..recorder.table() };
    let shorter = c::Host { struct_size: 8, ..recorder.table() };
    let host = recorder.table();
    let image = std::ptr::null();
    // SAFETY: everything that is passed lives until the calls return, or is null.
    unsafe {
        let augment = plugin.augment.unwrap();
        for host in [&raw const newer, &raw const shorter, std::ptr::null()] {
            assert_eq!(augment(instance, host, image, &sample), c::FAILED);
        }
        assert_eq!(augment(instance, &host, image, &sample), c::FAILED);
        assert_eq!(augment(std::ptr::null_mut(), &host, image, &sample), c::FAILED);
        assert_eq!(
            plugin.create.unwrap()(&host, List::EMPTY, std::ptr::null_mut(), std::ptr::null_mut()),
            c::FAILED
        );
        plugin.destroy.unwrap()(instance);
        plugin.destroy.unwrap()(std::ptr::null_mut());
    }
}
