//! What users of `three-augment` rely on.

use vitral_testkit::check_image_augmentation;
use vitral_three_augment::ThreeAugment;

#[test]
fn documented_configurations_work() {
    check_image_augmentation::<ThreeAugment>();
}

#[test]
fn each_of_the_three_comes_about_as_often() {
    use vitral_sdk::Picture;
    use vitral_testkit::ImageAugmentation;

    // A red pixel becomes grey, cyan-ish, or stays.
    let red = Picture::new(1, 1, 3, [200, 20, 20]);
    let mut counts = [0; 3];
    for seed in 0..300 {
        let tested = ImageAugmentation::of::<ThreeAugment>().set("color_jitter", 0.0).seed(seed);
        let pixels = tested.augment(&red).pixels;
        let which = match pixels[..] {
            [a, b, c] if a == b && b == c => 0,
            [55, 20, 20] => 1,
            _ => 2,
        };
        counts[which] += 1;
    }
    assert!(counts.iter().all(|&count| (70..130).contains(&count)), "{counts:?}");
}
