//! What users of `token-mix` rely on.

use vitral_host::Batch;
use vitral_testkit::{BatchAugmentation, arrays, check_batch_augmentation};
use vitral_token_mix::TokenMix;

/// Side of the images of these tests, and of their cells.
const SIDE: usize = 28;
const CELL: usize = 4;

fn tested() -> BatchAugmentation {
    let side = SIDE as u32;
    let batch = Batch { height: side, width: side, channels: 1, classes: 2 };
    BatchAugmentation::of::<TokenMix>().batch(batch).set("grid", (SIDE / CELL) as i64)
}

/// For each of these images, of which the first half is black and the others white, the pixels that come
/// from the partner, and what share of the targets does.
fn taken(tested: &BatchAugmentation, images: usize, seed: u64) -> Vec<(Vec<bool>, f64)> {
    let pixels = SIDE * SIDE;
    let is_white = |image: usize| f64::from(u8::from(image >= images / 2));
    let values = (0..images * pixels).map(|at| is_white(at / pixels)).collect();
    let targets = (0..images).flat_map(|image| [1.0 - is_white(image), is_white(image)]).collect();
    let given =
        [arrays::array(&[images, SIDE, SIDE, 1], values), arrays::array(&[images, 2], targets)];
    let [mixed, targets] = tested.run(&given, Some(seed));
    (0..images)
        .map(|image| {
            let found = mixed.values()[image * pixels..][..pixels].iter();
            let others = 1 - is_white(image) as usize;
            (
                found.map(|&value| value != is_white(image)).collect(),
                targets.values()[2 * image + others],
            )
        })
        .collect()
}

/// The cells of a mask of pixels, each of which must be taken as a whole.
fn cells(pixels: &[bool]) -> Vec<bool> {
    let grid = SIDE / CELL;
    let cell = |at: usize| {
        let first = at / grid * CELL * SIDE + at % grid * CELL;
        let mut all = (0..CELL * CELL).map(|i| pixels[first + i / CELL * SIDE + i % CELL]);
        let one = all.next().unwrap();
        assert!(all.all(|pixel| pixel == one), "a cell is divided");
        one
    };
    (0..grid * grid).map(cell).collect()
}

fn count(of: &[bool]) -> usize {
    of.iter().filter(|&&is| is).count()
}

#[test]
fn documented_configurations_work() {
    check_batch_augmentation::<TokenMix>();
}

#[test]
fn whole_patches_are_taken_and_targets_have_their_share() {
    for mask in ["block", "random"] {
        let tested = tested().set("mask", mask);
        for seed in 0..30 {
            for (pixels, share) in taken(&tested, 2, seed) {
                let all = cells(&pixels);
                let found = count(&all) as f64 / all.len() as f64;
                assert!((found - share).abs() < 1e-6, "{mask}, seed {seed}: {found} and {share}");
            }
        }
    }
}

#[test]
fn the_share_is_reached_and_never_exceeded() {
    // 49 cells, of which floor(0.5 * 49) may be taken.
    let counts = |tested: &BatchAugmentation| -> Vec<usize> {
        (0..60).map(|seed| count(&cells(&taken(tested, 2, seed)[0].0))).collect()
    };
    let blocks = counts(&tested());
    assert!(blocks.iter().all(|&cells| cells <= 24), "{blocks:?}");
    assert!(blocks.iter().filter(|&&cells| cells >= 22).count() >= 50, "{blocks:?}");
    let single = counts(&tested().set("mask", "random"));
    assert!(single.iter().all(|&cells| cells == 24), "{single:?}");
}

#[test]
fn blocks_are_rectangles_and_random_cells_are_not() {
    let neighbours = |mask: &str| -> f64 {
        let tested = tested().set("mask", mask);
        let grid = SIDE / CELL;
        let alike = (0..40).map(|seed| {
            let all = cells(&taken(&tested, 2, seed)[0].0);
            (0..all.len() - 1).filter(|at| at % grid + 1 < grid && all[*at] == all[at + 1]).count()
        });
        alike.sum::<usize>() as f64 / (40 * grid * (grid - 1)) as f64
    };
    let (block, random) = (neighbours("block"), neighbours("random"));
    assert!(block > 0.65 && (random - 0.5).abs() < 0.07, "{block}, {random}");
    // One try is one rectangle.
    let tested = tested().set("tries", 1);
    for seed in 0..30 {
        let all = cells(&taken(&tested, 2, seed)[0].0);
        let grid = SIDE / CELL;
        let rows = (0..grid).filter(|row| count(&all[row * grid..][..grid]) > 0).count();
        let columns =
            (0..grid).filter(|column| (0..grid).any(|row| all[row * grid + column])).count();
        assert_eq!(rows * columns, count(&all), "seed {seed}");
    }
}

#[test]
fn elements_have_draws_of_their_own() {
    let whole = taken(&tested(), 4, 1);
    assert!(whole.iter().all(|image| image == &whole[0]));
    let each = taken(&tested().set("mode", "element"), 4, 1);
    assert!(each.iter().any(|(pixels, _)| pixels != &each[0].0));
}

#[test]
fn probability_0_is_the_identity_and_halves_are_halves() {
    let is_mixed = |tested: &BatchAugmentation, seed| taken(tested, 2, seed)[0].1 > 0.0;
    let never = tested().set("probability", 0.0);
    assert!((0..20).all(|seed| !is_mixed(&never, seed)));
    let half = tested().set("probability", 0.5);
    let mixed = (0..200).filter(|&seed| is_mixed(&half, seed)).count();
    assert!((70..130).contains(&mixed), "{mixed}");
}
