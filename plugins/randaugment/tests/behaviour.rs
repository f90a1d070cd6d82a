//! What users of `randaugment` rely on.

use vitral_randaugment::RandAugment;
use vitral_testkit::check_image_augmentation;

#[test]
fn documented_configurations_work() {
    check_image_augmentation::<RandAugment>();
}
