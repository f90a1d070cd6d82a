//! What an evaluation tells beyond its loss: which classes are taken for which, how precise each is, and
//! how far probabilities can be believed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{evaluate::rank_of, loss::Loss};

/// Ranges of confidence by which calibration is told (Guo et al. 2017).
pub const BINS: usize = 15;

/// Figures of a model on a set of images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// For each `k` that was asked for, the share of images whose class is among the `k` highest logits.
    pub top_k: BTreeMap<usize, f64>,
    /// Mean of the classes' recall, over those that have images.
    pub balanced_accuracy: f64,
    /// Mean of the classes' F1, over those that have images or are predicted.
    pub macro_f1: f64,
    /// Mean of the classes' F1, each weighted by its images.
    pub weighted_f1: f64,
    /// Mean distance of confidence and accuracy over ranges of confidence, weighted by their images: the
    /// expected calibration error.
    pub calibration_error: f64,
    /// These ranges.
    pub calibration: Vec<Bin>,
    /// Each class.
    pub classes: Vec<ClassFigures>,
    /// How often each class is taken for each, without the pairs that do not occur.
    pub confusion: Vec<Taken>,
}

/// A class of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassFigures {
    /// Its name.
    pub name: String,
    /// Its images.
    pub images: u64,
    /// Its images that were recognised.
    pub correct: u64,
    /// Images that were taken for it.
    pub predicted: u64,
    /// Share of those that are of it; none where there are none.
    pub precision: Option<f64>,
    /// Share of its images that were recognised; none where it has none.
    pub recall: Option<f64>,
    /// Harmonic mean of both; none where it neither has images nor is predicted.
    pub f1: Option<f64>,
}

/// Images whose predicted class has a probability within a range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// Above this.
    pub from: f64,
    /// Up to this.
    pub to: f64,
    /// How many.
    pub images: u64,
    /// Their mean probability; none of no images.
    pub confidence: Option<f64>,
    /// The share of them that is right; none of no images.
    pub accuracy: Option<f64>,
}

/// Images of a class that were taken for one, itself or another, as positions in the list of classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// What they are.
    pub class: usize,
    /// What they were taken for.
    pub predicted: usize,
    /// How many.
    pub images: u64,
}

/// The sums behind [`Figures`], batch by batch.
pub(crate) struct FiguresTally {
    loss: Loss,
    classes: usize,
    /// How many images have their class at each rank, up to the last that is asked for.
    ranks: Vec<u64>,
    top_k: Vec<usize>,
    confusion: BTreeMap<(usize, usize), u64>,
    bins: [BinTally; BINS],
}

#[derive(Clone, Copy, Default)]
struct BinTally {
    images: u64,
    correct: u64,
    confidence: f64,
}

impl FiguresTally {
    pub fn new(loss: Loss, classes: usize, top_k: &[usize]) -> Self {
        let last = top_k.iter().copied().max().unwrap_or(0).min(classes);
        Self {
            loss,
            classes,
            ranks: vec![0; last],
            top_k: top_k.to_vec(),
            confusion: BTreeMap::new(),
            bins: [BinTally::default(); BINS],
        }
    }

    pub fn add(&mut self, logits: &[f32], labels: &[u32]) {
        for (row, &label) in logits.chunks_exact(self.classes).zip(labels) {
            let label = label as usize;
            if let Some(images) = self.ranks.get_mut(rank_of(row, label)) {
                *images += 1;
            }
            let predicted = highest(row);
            *self.confusion.entry((label, predicted)).or_default() += 1;
            let confidence = confidence(self.loss, row, row[predicted]);
            let bin = &mut self.bins[bin_of(confidence)];
            bin.images += 1;
            bin.correct += u64::from(predicted == label);
            bin.confidence += confidence;
        }
    }

    pub fn finish(self, names: &[String]) -> Figures {
        let images = self.confusion.values().sum::<u64>();
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let hits = |k: usize| self.ranks.iter().take(k).sum();
        let top_k = self.top_k.iter();
        let top_k = top_k.map(|&k| (k, share(hits(k), images).unwrap_or(0.0))).collect();
        let classes = self.classes(names);
        let f1 = classes.iter().filter_map(|class| Some((class.f1?, class.images)));
        let weighted: f64 = f1.clone().map(|(f1, images)| f1 * images as f64).sum();
        let bins: Vec<Bin> = self.bins.iter().enumerate().map(bin).collect();
        let gap = |bin: &Bin| {
            bin.images as f64 * (bin.accuracy.unwrap_or(0.0) - bin.confidence.unwrap_or(0.0)).abs()
        };
        let whole = images.max(1) as f64;
        Figures {
            top_k,
            balanced_accuracy: mean(classes.iter().filter_map(|class| class.recall)),
            macro_f1: mean(f1.map(|(f1, _)| f1)),
            weighted_f1: weighted / whole,
            calibration_error: bins.iter().map(gap).sum::<f64>() / whole,
            calibration: bins,
            classes,
            confusion: self
                .confusion
                .iter()
                .map(|(&(class, predicted), &images)| Taken { class, predicted, images })
                .collect(),
        }
    }

    /// Those that have a name, and others as far as some of them is predicted.
    fn classes(&self, names: &[String]) -> Vec<ClassFigures> {
        let last = self.confusion.keys().map(|&(class, predicted)| class.max(predicted) + 1).max();
        let mut counts = vec![(0, 0, 0); names.len().max(last.unwrap_or(0))];
        for (&(class, predicted), &images) in &self.confusion {
            counts[class].0 += images;
            counts[predicted].2 += images;
            if class == predicted {
                counts[class].1 += images;
            }
        }
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let class =
            |(index, (images, correct, predicted)): (usize, (u64, u64, u64))| ClassFigures {
                name: names.get(index).cloned().unwrap_or_else(|| index.to_string()),
                images,
                correct,
                predicted,
                precision: share(correct, predicted),
                recall: share(correct, images),
                f1: share(2 * correct, images + predicted),
            };
        counts.into_iter().enumerate().map(class).collect()
    }
}

/// The class of the highest logit, of equal ones the first.
pub(crate) fn highest(logits: &[f32]) -> usize {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    best
}

/// The probability of a class with this one of the logits.
pub(crate) fn confidence(loss: Loss, logits: &[f32], own: f32) -> f64 {
    match loss {
        Loss::Softmax => {
            let sum: f64 = logits.iter().map(|logit| f64::from(logit - own).exp()).sum();
            1.0 / sum
        }
        Loss::Sigmoid | Loss::SigmoidMean => 1.0 / (1.0 + f64::from(-own).exp()),
    }
}

/// The range that a confidence is in, each of which has its upper end.
fn bin_of(confidence: f64) -> usize {
    // Of no number, any: an evaluation with one is refused.
    ((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1
}

fn bin((index, tally): (usize, &BinTally)) -> Bin {
    let images = tally.images as f64;
    let mean = |sum: f64| (tally.images > 0).then(|| sum / images);
    Bin {
        from: index as f64 / BINS as f64,
        to: (index + 1) as f64 / BINS as f64,
        images: tally.images,
        confidence: mean(tally.confidence),
        accuracy: mean(tally.correct as f64),
    }
}

/// 0 of no values.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u64), |(sum, count), value| (sum + value, count + 1));
    sum / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight images of five classes, of which one has no image and one is never predicted.
    const LOGITS: [[f32; 5]; 8] = [
        [2.0, 1.0, 0.0, -1.0, 0.5],
        [0.1, 0.2, 0.0, -3.0, 0.05],
        [0.0, 3.0, 1.0, -1.0, 0.5],
        [1.5, 1.4, 1.3, 0.0, -2.0],
        [-1.0, 0.0, 4.0, 1.0, 3.9],
        [0.0, 0.0, 0.0, 0.0, 9.0],
        [0.3, 0.1, 2.5, 0.0, 0.2],
        [5.0, 0.0, -0.1, -0.2, 0.1],
    ];
    const LABELS: [u32; 8] = [0, 0, 1, 2, 2, 4, 2, 1];

    fn figures(loss: Loss) -> Figures {
        let mut tally = FiguresTally::new(loss, 5, &[2, 3, 9]);
        for (rows, labels) in LOGITS.chunks(3).zip(LABELS.chunks(3)) {
            tally.add(&rows.concat(), labels);
        }
        let names = ["a", "b", "c", "d"].map(str::to_owned);
        tally.finish(&names)
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    /// What scikit-learn 1.7 says of the same: `f1_score`, `balanced_accuracy_score`,
    /// `precision_recall_fscore_support`, `confusion_matrix` and `top_k_accuracy_score`.
    #[test]
    fn figures_are_those_of_scikit_learn() {
        let found = figures(Loss::Softmax);
        close(found.macro_f1, 0.675);
        close(found.weighted_f1, 0.65);
        close(found.balanced_accuracy, 2.0 / 3.0);
        assert_eq!(found.top_k, BTreeMap::from([(2, 0.75), (3, 1.0), (9, 1.0)]));
        let of = |figure: fn(&ClassFigures) -> Option<f64>| -> Vec<Option<f64>> {
            found.classes.iter().map(figure).collect()
        };
        let third = Some(1.0 / 3.0);
        assert_eq!(of(|class| class.precision), [third, Some(0.5), Some(1.0), None, Some(1.0)]);
        assert_eq!(
            of(|class| class.recall),
            [Some(0.5), Some(0.5), Some(2.0 / 3.0), None, Some(1.0)]
        );
        assert_eq!(of(|class| class.f1), [Some(0.4), Some(0.5), Some(0.8), None, Some(1.0)]);
        let matrix: Vec<_> = found
            .confusion
            .iter()
            .map(|taken| (taken.class, taken.predicted, taken.images))
            .collect();
        assert_eq!(
            matrix,
            [(0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1), (2, 0, 1), (2, 2, 2), (4, 4, 1)]
        );
        // The model has a class that nobody named.
        assert_eq!(found.classes[4].name, "4");
    }

    /// The same in NumPy, by the definition of Guo et al. 2017.
    #[test]
    fn calibration_errors_are_those_of_their_definition() {
        let near = |loss, expected: f64| {
            let found = figures(loss);
            assert!((found.calibration_error - expected).abs() < 1e-6, "{found:?}");
            assert_eq!(found.calibration.iter().map(|bin| bin.images).sum::<u64>(), 8);
        };
        near(Loss::Softmax, 0.377_184_486_091_691_1);
        near(Loss::Sigmoid, 0.311_280_155_955_901_3);
        assert_eq!([0.0, 1.0 / 15.0, 0.0667, 0.5, 1.0].map(bin_of), [0, 0, 1, 7, 14]);
    }

    #[test]
    fn no_images_have_figures_that_are_numbers() {
        let found = FiguresTally::new(Loss::Softmax, 2, &[1]).finish(&[]);
        let all = [found.macro_f1, found.weighted_f1, found.calibration_error, found.top_k[&1]];
        assert_eq!(all, [0.0; 4]);
    }
}
