//! Whole files against libjpeg-turbo, parts against wholes, and damaged files.

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        (include_bytes!(concat!("fixtures/", $name)).as_slice(), $name)
    };
}

type Fixture = (&'static [u8], &'static str);

const GREY: Fixture = fixture!("grey.jpg");
const HALVED: Fixture = fixture!("420.jpg");
const ALL: [Fixture; 8] = [
    fixture!("444.jpg"),
    fixture!("422.jpg"),
    fixture!("440.jpg"),
    HALVED,
    fixture!("restart.jpg"),
    fixture!("progressive.jpg"),
    fixture!("progressive-restart.jpg"),
    GREY,
];

fn pixels(bytes: &[u8], window: Window, scale: Scale, grey: bool) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    Pixels::default().read(Jpeg::open(bytes)?, window, scale, grey, &mut out)?;
    Ok(out)
}

fn whole(bytes: &[u8], scale: Scale, grey: bool) -> Vec<u8> {
    let jpeg = Jpeg::open(bytes).unwrap();
    let (width, height) = (jpeg.frame().width, jpeg.frame().height);
    let [width, height] = [width, height].map(|side| side.div_ceil(scale.divisor()));
    pixels(bytes, Window { left: 0, top: 0, width, height }, scale, grey).unwrap()
}

/// The largest difference to a PNG file, and the mean one.
fn difference(found: &[u8], (png, name): Fixture, grey: bool) -> (u8, f64) {
    let image = image::load_from_memory(png).unwrap();
    let expected = if grey { image.into_luma8().into_raw() } else { image.into_rgb8().into_raw() };
    assert_eq!(found.len(), expected.len(), "{name}");
    let differences: Vec<_> = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).collect();
    let mean = differences.iter().map(|&d| f64::from(d)).sum::<f64>() / found.len() as f64;
    (differences.into_iter().max().unwrap(), mean)
}

/// libjpeg-turbo rounds within its transform, so that one value in 40 differs by a level, brightness and
/// colours at times together.
#[test]
fn files_are_as_libjpeg_turbo_decodes_them() {
    let references = [
        fixture!("444.png"),
        fixture!("422.png"),
        fixture!("440.png"),
        fixture!("420.png"),
        fixture!("420.png"),
        fixture!("420.png"),
        fixture!("422.png"),
        fixture!("grey.png"),
    ];
    for ((bytes, name), reference) in ALL.into_iter().zip(references) {
        let (most, mean) = difference(&whole(bytes, Scale::Full, false), reference, false);
        println!("{name}: at most {most}, mean {mean:.4}");
        assert!(most <= 3 && mean < 0.05, "{name}: at most {most}, mean {mean}");
    }
    let (most, mean) = difference(&whole(GREY.0, Scale::Full, true), fixture!("grey.png"), true);
    assert!(most <= 1 && mean < 0.05, "at most {most}, mean {mean}");
}

#[test]
fn smaller_images_are_as_libjpeg_turbo_makes_them() {
    let cases = [
        (Scale::Half, fixture!("420-2.png")),
        (Scale::Quarter, fixture!("420-4.png")),
        (Scale::Eighth, fixture!("420-8.png")),
    ];
    for (scale, reference) in cases {
        let (most, mean) = difference(&whole(HALVED.0, scale, false), reference, false);
        println!("{scale:?}: at most {most}, mean {mean:.4}");
        assert!(most <= 2 && mean < 0.1, "{scale:?}: at most {most}, mean {mean}");
    }
}

#[test]
fn parts_are_those_of_the_whole_image() {
    for (bytes, name) in ALL {
        for scale in [Scale::Full, Scale::Half, Scale::Quarter, Scale::Eighth] {
            for grey in [false, true] {
                let whole = whole(bytes, scale, grey);
                let values = if grey { 1 } else { 3 };
                let [width, height] = [61_u32, 43].map(|side| side.div_ceil(scale.divisor()));
                for (left, top, right, bottom) in [
                    (0, 0, 1, 1),
                    (width / 2, height / 3, width, height / 3 + 1),
                    (width / 3, 0, width / 2 + 1, height),
                    (width - 1, height - 1, width, height),
                    (width / 4 + 1, height / 2, width - 1, height - 1),
                ] {
                    if right <= left || bottom <= top {
                        continue;
                    }
                    let window = Window { left, top, width: right - left, height: bottom - top };
                    let found = pixels(bytes, window, scale, grey).unwrap();
                    let row = |y: u32| {
                        &whole[((y * width + left) * values) as usize..]
                            [..((right - left) * values) as usize]
                    };
                    let expected: Vec<u8> = (top..bottom).flat_map(row).copied().collect();
                    assert_eq!(found, expected, "{name}: {window:?} at {scale:?}, grey {grey}");
                }
            }
        }
    }
}

/// Only one that reads every scan knows the coefficients of `progressive.jpg`, which are those of
/// `420.jpg`.
#[test]
fn progressive_files_have_the_coefficients_of_others() {
    #[derive(Default, PartialEq, Debug)]
    struct Kept(std::collections::BTreeMap<(usize, u32, u32), [i16; 64]>);
    impl Sink for Kept {
        fn block(&mut self, component: usize, column: u32, row: u32, block: &Block) {
            assert!(
                block.values.iter().enumerate().all(|(at, &value)| {
                    value == 0 || ZIGZAG[..=block.last].contains(&(at as u8))
                })
            );
            assert!(self.0.insert((component, row, column), block.values).is_none());
        }
    }
    let read = |name: &str, limits: &[usize]| {
        let (bytes, _) = ALL.into_iter().find(|all| all.1 == name).unwrap();
        let mut kept = Kept::default();
        let part = Part { left: 1, top: 1, width: 2, height: 1 };
        Jpeg::open(bytes).unwrap().read(part, limits, &mut kept).unwrap();
        kept
    };
    let all = read("420.jpg", &[63; 3]);
    assert_eq!(all.0.len(), 12);
    assert_eq!(read("progressive.jpg", &[63; 3]), all);
    assert_eq!(read("restart.jpg", &[63; 3]), all);
    assert_eq!(read("progressive-restart.jpg", &[63; 3]), read("422.jpg", &[63; 3]));
    // Of the first component alone, the first coefficients alone.
    let few = read("420.jpg", &[last_below(2, 2)]);
    assert_eq!(few.0.len(), 8);
    for (place, values) in few.0 {
        for at in [0, 1, 8, 9] {
            assert_eq!(values[at], all.0[&place][at]);
        }
    }
}

#[test]
fn the_last_wanted_coefficient_follows_from_the_frequencies() {
    assert_eq!([last_below(1, 1), last_below(2, 1), last_below(1, 2)], [0, 1, 2]);
    assert_eq!([last_below(2, 2), last_below(4, 4), last_below(8, 8)], [4, 24, 63]);
    // ITU-T T.81, figure A.6.
    let first: Vec<_> = ZIGZAG[..10].iter().map(|place| (place / 8, place % 8)).collect();
    let expected = [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (2, 0), (3, 0), (2, 1), (1, 2), (0, 3)];
    assert_eq!(first, expected);
    assert_eq!(
        ZIGZAG[60..64].iter().map(|p| (p / 8, p % 8)).collect::<Vec<_>>(),
        [(7, 5), (7, 6), (6, 7), (7, 7)].to_vec()
    );
}

#[test]
fn files_of_other_kinds_are_left_to_others() {
    let colours = Jpeg::open(fixture!("rgb.jpg").0).err();
    assert!(matches!(colours, Some(Error::Unsupported(_))), "{colours:?}");
    let mut arithmetic = HALVED.0.to_vec();
    let frame = arithmetic.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    arithmetic[frame + 1] = 0xc9;
    assert!(matches!(Jpeg::open(&arithmetic).err(), Some(Error::Unsupported(_))));
    arithmetic[frame + 1] = 0xc0;
    arithmetic[frame + 4] = 12;
    assert!(matches!(Jpeg::open(&arithmetic).err(), Some(Error::Unsupported(_))));
    assert!(matches!(Jpeg::open(b"GIF89a").err(), Some(Error::Damaged(_))));
}

#[test]
fn files_that_are_cut_short_are_refused() {
    for (bytes, name) in ALL {
        for end in (0..bytes.len() - 3).step_by(7) {
            let window = Window { left: 0, top: 0, width: 61, height: 43 };
            let result = pixels(&bytes[..end], window, Scale::Full, false);
            assert!(matches!(result, Err(Error::Damaged(_))), "{name} cut to {end} bytes");
        }
    }
}

/// Whatever is done to a file, there are pixels or an error.
#[test]
fn altered_files_do_no_harm() {
    let mut state = 1_u32;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let (mut whole, mut refused) = (0, 0);
    for round in 0..4000 {
        let mut bytes = ALL[round % ALL.len()].0.to_vec();
        // Headers first, where a change does most; then anywhere.
        let reach = if round % 16 < 8 { 330.min(bytes.len()) } else { bytes.len() };
        for _ in 0..=random(4) {
            let at = random(reach);
            bytes[at] = if random(3) == 0 { bytes[at] ^ 1 << random(8) } else { random(256) as u8 };
        }
        let Ok(jpeg) = Jpeg::open(&bytes) else {
            refused += 1;
            continue;
        };
        let frame = jpeg.frame();
        if frame.width > 4000 || frame.height > 4000 {
            continue;
        }
        let (left, top) = (frame.width / 3, frame.height / 4);
        let window = Window { left, top, width: frame.width - left, height: frame.height - top };
        match pixels(&bytes, window, Scale::Full, round % 3 == 0) {
            Ok(_) => whole += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(whole > 300 && refused > 300, "{whole} whole, {refused} refused");
}
