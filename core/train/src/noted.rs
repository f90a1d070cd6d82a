//! The images of an evaluation that tell most of a model: what it is sure of and wrong about, and what it
//! cannot decide.

use std::cmp::Ordering;

use crate::{
    evaluate::Answered,
    figures::{confidence, highest},
    loss::Loss,
};

/// An image of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotedImage {
    /// Its index in its source.
    pub sample: u32,
    /// Its class.
    pub class: usize,
    /// The class that it is taken for.
    pub predicted: usize,
    /// The probability of that.
    pub probability: f64,
    /// The class that is the next most probable, if there is another, and its probability.
    pub second: Option<(usize, f64)>,
}

impl NotedImage {
    /// How much more probable the first class is than the second.
    fn margin(&self) -> f64 {
        self.probability - self.second.map_or(0.0, |(_, probability)| probability)
    }
}

/// Images that tell most of a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Noted {
    /// Those that are taken for another class, the most probable mistake first.
    pub mistakes: Vec<NotedImage>,
    /// Those whose two most probable classes are nearest to each other, the nearest first.
    pub unsure: Vec<NotedImage>,
}

/// Those of the images until now.
pub(crate) struct NotedTally {
    loss: Loss,
    classes: usize,
    most: usize,
    found: Noted,
}

impl NotedTally {
    /// Of a model with so many classes, so many images of each kind at most.
    pub fn new(loss: Loss, classes: usize, most: usize) -> Self {
        Self { loss, classes, most, found: Noted::default() }
    }

    /// Adds a batch.
    pub fn add(&mut self, batch: &Answered<'_>) {
        if self.most == 0 {
            return;
        }
        let rows = batch.logits.chunks_exact(self.classes);
        for ((row, &label), &sample) in rows.zip(batch.labels).zip(batch.samples) {
            let predicted = highest(row);
            let others = (0..row.len()).filter(|&class| class != predicted);
            let second =
                others.reduce(|best, class| if row[class] > row[best] { class } else { best });
            let image = NotedImage {
                sample,
                class: label as usize,
                predicted,
                probability: probability(self.loss, row, predicted),
                second: second.map(|class| (class, probability(self.loss, row, class))),
            };
            let Noted { mistakes, unsure } = &mut self.found;
            if image.class != predicted {
                keep(mistakes, image, self.most, |one, other| {
                    other.probability.total_cmp(&one.probability)
                });
            }
            keep(unsure, image, self.most, |one, other| one.margin().total_cmp(&other.margin()));
        }
    }

    /// All that was noted.
    pub fn finish(self) -> Noted {
        self.found
    }
}

/// The probability of a class.
fn probability(loss: Loss, logits: &[f32], class: usize) -> f64 {
    confidence(loss, logits, logits[class])
}

/// Puts an image where it belongs among the first by an order; of equal ones, the one that came first.
fn keep(
    first: &mut Vec<NotedImage>,
    image: NotedImage,
    most: usize,
    order: impl Fn(&NotedImage, &NotedImage) -> Ordering,
) {
    let place = first.partition_point(|known| order(known, &image).is_le());
    if place < most {
        first.insert(place, image);
        first.truncate(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Pixels;

    fn noted(most: usize, loss: Loss) -> Noted {
        let logits =
            [[4.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.0, 3.0], [0.1, 0.0, 0.0]];
        let labels = [0, 0, 1, 1, 0];
        let mut tally = NotedTally::new(loss, 3, most);
        for (index, (row, label)) in logits.iter().zip(labels).enumerate() {
            let (labels, samples) = ([label], [10 + index as u32]);
            let pixels = &Pixels::default();
            tally.add(&Answered { logits: row, labels: &labels, samples: &samples, pixels });
        }
        tally.finish()
    }

    fn samples(images: &[NotedImage]) -> Vec<u32> {
        images.iter().map(|image| image.sample).collect()
    }

    #[test]
    fn sure_mistakes_and_narrow_decisions_come_first() {
        let found = noted(2, Loss::Softmax);
        assert_eq!(samples(&found.mistakes), [11, 13]);
        // Of equal ones, the first.
        assert_eq!(samples(&found.unsure), [12, 14]);
        let sure = found.mistakes[0];
        assert_eq!((sure.class, sure.predicted, sure.second.unwrap().0), (0, 1, 0));
        let exponential = 5.0_f64.exp();
        assert!((sure.probability - exponential / (exponential + 2.0)).abs() < 1e-9);
        assert!((sure.second.unwrap().1 - 1.0 / (exponential + 2.0)).abs() < 1e-9);
        assert_eq!(samples(&noted(9, Loss::Sigmoid).mistakes), [11, 13, 12]);
        assert_eq!(noted(0, Loss::Softmax), Noted::default());
    }
}
