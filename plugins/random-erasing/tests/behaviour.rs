//! What users of `random-erasing` rely on.

use vitral_random_erasing::RandomErasing;
use vitral_testkit::check_image_augmentation;

#[test]
fn documented_configurations_work() {
    check_image_augmentation::<RandomErasing>();
}

#[test]
fn erased_areas_lie_in_their_range() {
    use vitral_sdk::Picture;
    use vitral_testkit::ImageAugmentation;

    let white = Picture::new(64, 48, 3, vec![255; 64 * 48 * 3]);
    let mut changed = 0;
    for seed in 0..200 {
        let tested = ImageAugmentation::of::<RandomErasing>().set("probability", 1.0).seed(seed);
        let erased = tested.augment(&white).pixels.iter().filter(|&&value| value == 0).count();
        let share = erased as f64 / (64.0 * 48.0 * 3.0);
        assert!(share < 0.36, "{share}");
        changed += usize::from(share > 0.015);
    }
    assert!(changed > 190, "{changed}");
}
