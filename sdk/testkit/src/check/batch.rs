//! What any batch augmentation must do.

use vitral_host::{Batch, Plugin};
use vitral_program::{Array, Program};

use super::{Case, configurations, program};
use crate::arrays::{finite, parameters, try_run};
use crate::batch::{BatchAugmentation, noise};
use crate::opened::Opened;
use crate::report::Report;

/// How far a target's values may be from being a distribution.
const TOLERANCE: f64 = 1e-6;

/// Training seeds that are tried: an augmentation may do different things by chance.
const SEEDS: u64 = 8;

/// Traces a batch augmentation for batches of several shapes, and runs its programs on the
/// reference: tracing again gives the same, images are finite, targets are distributions, and a seed
/// gives the same each time.
pub fn batch_augmentation(plugin: &Plugin) -> Report {
    let mut report = Report::new(plugin);
    for configuration in configurations(plugin) {
        let tested = BatchAugmentation::with(Opened::with(plugin, &configuration.settings));
        for Case { input: batch, unusual } in batches() {
            let tested = tested.clone().batch(batch);
            let outcome = program(unusual, || tested.try_program())
                .and_then(|program| program.map_or(Ok(()), |program| runs(&program, &batch)));
            let Batch { height, width, channels, classes } = batch;
            let place = format!("images {height}x{width}x{channels}, {classes} classes");
            report.note(&format!("{}, {place}", configuration.title), outcome);
        }
    }
    report
}

fn batches() -> Vec<Case<Batch>> {
    let case = |height, width, channels, classes, unusual| Case {
        input: Batch { height, width, channels, classes },
        unusual,
    };
    vec![
        case(8, 8, 3, 4, false),
        case(28, 28, 1, 10, false),
        case(7, 5, 3, 2, true),
        case(1, 1, 3, 1, true),
    ]
}

fn runs(program: &Program, batch: &Batch) -> Result<(), String> {
    let parameters = parameters(program, 1);
    for images in [1, 2, 5] {
        let inputs = noise(batch, images);
        let run = |seed| try_run(program, &inputs, &parameters, seed);
        for seed in std::iter::once(None).chain((0..SEEDS).map(Some)) {
            let place = |problem| match seed {
                Some(seed) => format!("{images} images, seed {seed}: {problem}"),
                None => format!("{images} images, evaluation: {problem}"),
            };
            let outputs = run(seed).map_err(place)?;
            if outputs != run(seed).map_err(place)? {
                return Err(place("a different result with the same seed".into()));
            }
            finite("images", &outputs[0]).map_err(place)?;
            distributions(&outputs[1], batch.classes as usize).map_err(place)?;
        }
    }
    Ok(())
}

fn distributions(targets: &Array, classes: usize) -> Result<(), String> {
    for (row, target) in targets.values().chunks(classes).enumerate() {
        let sum: f64 = target.iter().sum();
        let is_one = (sum - 1.0).abs() <= TOLERANCE;
        if !is_one || target.iter().any(|&share| share < -TOLERANCE) {
            return Err(format!("target {row} is not a distribution: {target:?} adds up to {sum}"));
        }
    }
    Ok(())
}
