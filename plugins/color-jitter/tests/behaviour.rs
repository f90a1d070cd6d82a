//! What users of `color-jitter` rely on.

use vitral_color_jitter::ColorJitter;
use vitral_testkit::check_image_augmentation;

#[test]
fn documented_configurations_work() {
    check_image_augmentation::<ColorJitter>();
}

#[test]
fn factors_lie_in_their_range() {
    use vitral_sdk::Picture;
    use vitral_testkit::ImageAugmentation;

    let grey = Picture::new(1, 1, 1, [100]);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let tested = ImageAugmentation::of::<ColorJitter>()
            .set("contrast", 0.0)
            .set("brightness", 0.25)
            .seed(seed);
        let value = tested.augment(&grey).pixels[0];
        assert!((74..=125).contains(&value), "{value}");
        seen.insert(value);
    }
    assert!(seen.len() > 40, "only {} values", seen.len());
}
