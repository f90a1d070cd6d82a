//! What any image augmentation must do.

use vitral_host::{Plugin, Sample};
use vitral_sdk::{ImageCase, Picture};

use super::{Case, configurations};
use crate::image::{ImageAugmentation, augment};
use crate::opened::{Failure, Opened};
use crate::pictures::{flat, noise, ramp};
use crate::report::Report;

/// Seeds that are tried with each picture: an augmentation may do different things by chance.
const SEEDS: u64 = 6;

/// Augments pictures of several sizes, in grey and in colour: the same seed gives the same bytes,
/// whatever an instance has done before, and channels stay. Then each case must come out as it says.
pub fn image_augmentation(plugin: &Plugin, cases: &[ImageCase]) -> Report {
    let mut report = Report::new(plugin);
    for configuration in configurations(plugin) {
        let sample = Sample { seed: 0, epoch: 0, size: 32 };
        let tested = ImageAugmentation::with(Opened::with(plugin, &configuration.settings), sample);
        let place = &configuration.title;
        let started = tested.start().map_err(|failure| failure.to_string());
        let Some(mut busy) = report.note(place, started) else { continue };
        for Case { input: (name, picture), unusual } in pictures() {
            for sample in samples() {
                let place = format!("{place}, {}, seed {:#x}", name, sample.seed);
                let outcome = once(&tested, &mut *busy, &picture, &sample, unusual);
                report.note(&place, outcome);
            }
        }
    }
    for case in cases {
        report.note(&format!("case {:?}", case.title), comes_out(plugin, case));
    }
    report
}

fn pictures() -> Vec<Case<(String, Picture)>> {
    let mut pictures = Vec::new();
    for channels in [1, 3] {
        let mut add = |name: &str, picture: Picture, unusual| {
            let Picture { width, height, channels, .. } = picture;
            let name = format!("{name} {width}x{height}x{channels}");
            pictures.push(Case { input: (name, picture), unusual });
        };
        add("ramp", ramp(32, 32, channels), false);
        add("noise", noise(33, 17, channels, 1), false);
        add("ramp", ramp(500, 375, channels), false);
        add("black", flat(16, 16, channels, 0), false);
        add("white", flat(16, 16, channels, 255), false);
        add("grey", flat(16, 16, channels, 128), false);
        add("noise", noise(1, 1, channels, 2), true);
        add("noise", noise(1, 9, channels, 3), true);
        add("noise", noise(13, 1, channels, 4), true);
        add("noise", noise(2, 3, channels, 5), true);
    }
    pictures
}

fn samples() -> impl Iterator<Item = Sample> {
    (0..SEEDS).map(|index| Sample {
        seed: index.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        epoch: index as u32,
        size: 32,
    })
}

/// Augments a picture with an instance that has done others, with the same again, and with a new
/// one.
fn once(
    tested: &ImageAugmentation,
    busy: &mut dyn vitral_host::ImageAugmentation,
    picture: &Picture,
    sample: &Sample,
    unusual: bool,
) -> Result<(), String> {
    let text = |failure: Failure| failure.to_string();
    let found = match augment(busy, picture, sample) {
        Err(failure) if unusual && failure.is_refusal() => return Ok(()),
        found => found.map_err(text)?,
    };
    if found.channels != picture.channels {
        return Err(format!("{} channels became {}", picture.channels, found.channels));
    }
    same(&found, &augment(busy, picture, sample).map_err(text)?)
        .map_err(|problem| format!("not the same when done again: {problem}"))?;
    let new = tested.clone().sample(*sample).try_augment(picture).map_err(text)?;
    same(&found, &new).map_err(|problem| format!("not the same by a new instance: {problem}"))
}

/// Whether a case's image becomes what it says.
fn comes_out(plugin: &Plugin, case: &ImageCase) -> Result<(), String> {
    let tested = ImageAugmentation::with(Opened::with(plugin, &case.settings), case.sample);
    let found = tested.try_augment(&case.input).map_err(|failure| failure.to_string())?;
    same(&found, &case.output)
}

/// How a picture differs from another, if it does.
fn same(found: &Picture, expected: &Picture) -> Result<(), String> {
    let shape = |picture: &Picture| (picture.width, picture.height, picture.channels);
    let ((width, height, channels), wanted) = (shape(found), shape(expected));
    if (width, height, channels) != wanted {
        let (w, h, c) = wanted;
        return Err(format!("{width}x{height}x{channels}, but must be {w}x{h}x{c}"));
    }
    let differs = |(a, b): (&u8, &u8)| a != b;
    let Some(at) = found.pixels.iter().zip(&expected.pixels).position(differs) else {
        return Ok(());
    };
    let pixel = at / channels as usize;
    let (x, y, channel) = (pixel % width as usize, pixel / width as usize, at % channels as usize);
    let (is, must) = (found.pixels[at], expected.pixels[at]);
    Err(format!("channel {channel} of the pixel at ({x}, {y}) is {is}, but must be {must}"))
}
