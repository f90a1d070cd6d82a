//! What users of `mixup-cutmix` rely on.

use vitral_mixup_cutmix::MixupCutmix;
use vitral_testkit::{BatchAugmentation, arrays, check_batch_augmentation};

/// Images whose every value is 1 in the first and 0 in the second, so that a result tells what share
/// of the first it has.
fn share_of_first(tested: &BatchAugmentation, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let [images, targets] = tested.noise(2);
    let pixels = images.values().len() / 2;
    let classes = targets.values().len() / 2;
    let mut values = vec![1.0; pixels];
    values.extend(vec![0.0; pixels]);
    let images = arrays::array(images.shape(), values);
    let targets = one_hot(2, classes);
    let [images, targets] = tested.run(&[images, targets], Some(seed));
    (images.values()[..pixels].to_vec(), targets.values()[..classes].to_vec())
}

/// Row by row, the class of the row's number.
fn one_hot(rows: usize, classes: usize) -> vitral_program::Array {
    let values = (0..rows * classes).map(|at| f64::from(u8::from(at / classes == at % classes)));
    arrays::array(&[rows, classes], values.collect())
}

#[test]
fn documented_configurations_work() {
    check_batch_augmentation::<MixupCutmix>();
}

#[test]
fn mixup_blends_images_as_it_blends_targets() {
    let tested = BatchAugmentation::of::<MixupCutmix>().set("cutmix_alpha", 0.0);
    for seed in 0..20 {
        let (pixels, targets) = share_of_first(&tested, seed);
        assert!(pixels.iter().all(|pixel| (pixel - targets[0]).abs() < 1e-9), "seed {seed}");
        assert!((targets.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn cutmix_pastes_a_rectangle_whose_area_the_targets_have() {
    let tested = BatchAugmentation::of::<MixupCutmix>().set("mixup_alpha", 0.0);
    let mut shares = Vec::new();
    for seed in 0..60 {
        let (pixels, targets) = share_of_first(&tested, seed);
        assert!(pixels.iter().all(|&pixel| pixel == 0.0 || pixel == 1.0));
        let share = pixels.iter().sum::<f64>() / pixels.len() as f64;
        assert!((share - targets[0]).abs() < 1e-9, "seed {seed}: {share} and {}", targets[0]);
        shares.push(share);
    }
    assert!(shares.iter().any(|&share| share < 0.5) && shares.iter().any(|&share| share > 0.8));
}

#[test]
fn mixups_shares_are_those_of_its_beta_distribution() {
    let tested =
        BatchAugmentation::of::<MixupCutmix>().set("cutmix_alpha", 0.0).set("mixup_alpha", 2.0);
    let shares: Vec<f64> = (0..400).map(|seed| share_of_first(&tested, seed).1[0]).collect();
    let mean = shares.iter().sum::<f64>() / 400.0;
    let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 400.0;
    // Beta(2, 2): mean 1/2, variance 1/20.
    assert!((mean - 0.5).abs() < 0.04 && (variance - 0.05).abs() < 0.01, "{mean}, {variance}");
}

#[test]
fn elements_have_draws_of_their_own() {
    let tested =
        BatchAugmentation::of::<MixupCutmix>().set("cutmix_alpha", 0.0).set("mode", "element");
    let [images, targets] = tested.noise(4);
    let classes = targets.values().len() / 4;
    let [_, mixed] = tested.run(&[images, one_hot(4, classes)], Some(1));
    let own: Vec<f64> = (0..4).map(|row| mixed.values()[row * classes + row]).collect();
    assert!(own.windows(2).any(|pair| (pair[0] - pair[1]).abs() > 1e-3), "{own:?}");
}

#[test]
fn probability_0_is_the_identity_and_halves_are_halves() {
    let never = BatchAugmentation::of::<MixupCutmix>().set("probability", 0.0);
    let given = never.noise(3);
    assert_eq!(never.run(&given, Some(5))[0].values(), given[0].values());
    let half =
        BatchAugmentation::of::<MixupCutmix>().set("probability", 0.5).set("cutmix_alpha", 0.0);
    let changed = (0..200).filter(|&seed| share_of_first(&half, seed).1[0] < 1.0).count();
    assert!((70..130).contains(&changed), "{changed}");
}

#[test]
fn an_alpha_that_is_none_is_refused() {
    let error = BatchAugmentation::of::<MixupCutmix>().set("mixup_alpha", 0.001).error();
    assert!(error.contains("mixup_alpha is 0.001"), "{error}");
}
