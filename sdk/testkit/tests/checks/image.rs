use vitral_host::Plugin as Opened;
use vitral_sdk::native;
use vitral_sdk::prelude::*;
use vitral_testkit::{Report, check, check_image_augmentation, pictures};

use crate::{assert_finds, plugin};

fn report<P: ImageAugmentation>() -> Report {
    let plugin = Opened::compiled_in(native::image_augmentation::<P>()).unwrap();
    check::image_augmentation(&plugin, &P::cases())
}

#[derive(Default)]
struct Invert;

plugin!(Invert, "invert");

impl ImageAugmentation for Invert {
    fn augment(&mut self, image: &mut Image<'_>, sample: &Sample) -> Result<()> {
        if sample.rng().random::<bool>() {
            image.pixels_mut().iter_mut().for_each(|value| *value = !*value);
        }
        Ok(())
    }

    fn cases() -> Vec<ImageCase> {
        let picture = |value| Picture::new(2, 1, 1, [value; 2]);
        let seed = |seed| Sample { seed, epoch: 0, size: 2 };
        vec![
            ImageCase::new("Inverted", picture(1), picture(254)).sample(seed(0)),
            ImageCase::new("As it is", picture(1), picture(1)).sample(seed(7)),
        ]
    }
}

#[test]
fn a_good_one_passes() {
    check_image_augmentation::<Invert>();
}

#[test]
fn a_case_that_does_not_come_out_is_found() {
    let plugin = Opened::compiled_in(native::image_augmentation::<Invert>()).unwrap();
    let [input, output] = [1, 2].map(|value| Picture::new(1, 2, 3, [value; 6]));
    let wrong = ImageCase::new("Twice", input, output);
    let wrong = wrong.sample(Sample { seed: 7, epoch: 0, size: 1 });
    let report = check::image_augmentation(&plugin, &[wrong]);
    let place = "case \"Twice\": channel 0 of the pixel at (0, 0) is 1, but must be 2";
    assert_eq!(report.problems(), [place]);
}

#[test]
fn results_that_depend_on_what_came_before_are_found() {
    #[derive(Default)]
    struct Counts(u8);
    plugin!(Counts, "counts");
    impl ImageAugmentation for Counts {
        fn augment(&mut self, image: &mut Image<'_>, _: &Sample) -> Result<()> {
            self.0 = self.0.wrapping_add(1);
            image.pixels_mut()[0] = self.0;
            Ok(())
        }
    }
    assert_finds(&report::<Counts>(), "not the same when done again");
}

#[test]
fn small_images_that_make_it_panic_are_found() {
    #[derive(Default)]
    struct Second;
    plugin!(Second, "second");
    impl ImageAugmentation for Second {
        fn augment(&mut self, image: &mut Image<'_>, _: &Sample) -> Result<()> {
            image.row_mut(1)[0] = 0;
            Ok(())
        }
    }
    assert_finds(&report::<Second>(), "panicked");
    assert!(report::<Second>().problems()[0].contains("noise 1x1x1"));
}

#[test]
fn another_size_is_fine() {
    #[derive(Default)]
    struct Halves;
    plugin!(Halves, "halves");
    impl ImageAugmentation for Halves {
        fn augment(&mut self, image: &mut Image<'_>, _: &Sample) -> Result<()> {
            let height = image.height().div_ceil(2);
            let rows: Vec<_> = (0..height).flat_map(|y| image.row(2 * y).to_vec()).collect();
            image.replace(image.width(), height, rows);
            Ok(())
        }
    }
    check_image_augmentation::<Halves>();
    let halved =
        vitral_testkit::ImageAugmentation::of::<Halves>().augment(&pictures::ramp(2, 4, 3));
    assert_eq!((halved.width, halved.height, halved.channels), (2, 2, 3));
}
