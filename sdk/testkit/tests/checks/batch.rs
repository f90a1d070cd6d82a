use vitral_host::Plugin as Opened;
use vitral_sdk::native;
use vitral_sdk::prelude::*;
use vitral_testkit::{Report, arrays, check, check_batch_augmentation};

use crate::{assert_finds, plugin};

fn report<P: BatchAugmentation>() -> Report {
    check::batch_augmentation(&Opened::compiled_in(native::batch_augmentation::<P>()).unwrap())
}

#[derive(Default)]
struct Noise;

plugin!(Noise, "noise");

impl BatchAugmentation for Noise {
    fn trace(&self, batch: &Batch, images: Tensor, targets: Tensor) -> Result<(Tensor, Tensor)> {
        let shape = shape![B, batch.height, batch.width, batch.channels];
        let noise = random(shape, Distribution::Uniform);
        Ok((images + noise, targets))
    }
}

#[test]
fn a_good_one_passes() {
    check_batch_augmentation::<Noise>();
}

#[test]
fn what_comes_out_can_be_looked_at() {
    let tested = vitral_testkit::BatchAugmentation::of::<Noise>();
    let given = tested.noise(2);
    let [images, targets] = tested.run(&given, Some(1));
    assert_ne!(images, given[0]);
    assert_ne!(images, tested.run(&given, Some(2))[0]);
    arrays::assert_close(targets.values(), given[1].values(), 0.0);
}

#[test]
fn targets_that_are_no_distributions_are_found() {
    #[derive(Default)]
    struct Doubles;
    plugin!(Doubles, "doubles");
    impl BatchAugmentation for Doubles {
        fn trace(&self, _: &Batch, images: Tensor, targets: Tensor) -> Result<(Tensor, Tensor)> {
            Ok((images, targets * 2.0))
        }
    }
    assert_finds(&report::<Doubles>(), "adds up to 2");
}
