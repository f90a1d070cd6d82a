//! The gradients of a batch, computed in micro-batches.

use std::ops::Range;

use burn::tensor::{Gradients, Tensor};
use tracing::span::EnteredSpan;
use vitral_model::{Mode, ViT, parameters};
use vitral_seed::Seed;

use super::Learner;
use crate::gradients::{Accumulator, freeze, global_norm};

/// A part of computing gradients, for whoever takes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Images to the loss, augmentations of batches included.
    Forward,
    /// The loss to the gradients.
    Backward,
}

/// The gradients of a whole batch, flat, in the order of [`parameters::infos`].
pub struct BatchGradients {
    /// One vector per parameter.
    pub gradients: Vec<Tensor<1>>,
    /// Mean loss of the batch, `[1]`.
    pub loss: Tensor<1>,
    /// Images whose class got the highest logit, `[1]`.
    pub correct: Tensor<1>,
    /// Their global norm, `[1]`, where it is known already: where the loss was scaled, so that they may have
    /// overflowed, and where ranks have parts of them.
    pub(super) norm: Option<Tensor<1>>,
}

/// The images of a step that are at hand: all of them or, where several ranks share it, this one's.
pub(super) struct AtHand {
    pub(super) images: Tensor<4>,
    /// `[batch, classes]`; with as many columns of a teacher's logits behind them where a file has these. Nothing is
    /// mixed or augmented then.
    pub(super) targets: Tensor<2>,
    /// How many the step has.
    pub(super) batch: usize,
    /// Whether they have been augmented already, the whole batch at once.
    pub(super) is_augmented_whole: bool,
}

/// Which images a micro-batch has.
pub(super) struct Cut {
    /// Its number in the step, where the experiment says how many there are.
    pub(super) number: usize,
    /// The place of its first image in the whole batch, where it is cut freely.
    pub(super) place: usize,
    /// Which of the images at hand they are.
    pub(super) range: Range<usize>,
}

/// What goes into the model.
pub(super) struct Input {
    pub(super) images: Tensor<4>,
    /// As [`AtHand::targets`].
    pub(super) targets: Tensor<2>,
    pub(super) mode: Mode,
    /// What its mean loss counts in that of the step.
    pub(super) share: f64,
}

/// What a micro-batch adds to its step.
#[derive(Clone)]
pub(super) struct PartGradients {
    pub(super) gradients: Vec<Tensor<1>>,
    pub(super) figures: Figures,
}

/// What is told of a micro-batch, or of several.
#[derive(Clone)]
pub(super) struct Figures {
    /// Its share of the mean loss, `[1]`.
    pub(super) loss: Tensor<1>,
    /// Its images whose class got the highest logit, `[1]`.
    pub(super) correct: Tensor<1>,
}

impl Learner {
    /// The gradients of a batch, computed in `accum_steps` micro-batches and equal to those of the
    /// whole, up to rounding. Noise and mixing belong to each micro-batch; with `batch: Auto(...)` to
    /// the whole batch, so that it does not matter how it is cut.
    ///
    /// Where a GPU [repeats](Learner::launches) them, they lie where those of the last call lay: read them, or copy
    /// them, before the next one.
    pub fn gradients(
        &mut self,
        step: u64,
        images: Tensor<4>,
        targets: Tensor<2>,
    ) -> BatchGradients {
        self.gradients_watched(step, images, targets, &mut |_| {})
    }

    /// The same; `ended` is called at the end of both stages of every micro-batch, and of those that a GPU repeats
    /// only at the end of the second one. A device may still be computing then.
    pub fn gradients_watched(
        &mut self,
        step: u64,
        images: Tensor<4>,
        targets: Tensor<2>,
        ended: &mut dyn FnMut(Stage),
    ) -> BatchGradients {
        let batch = images.dims()[0];
        let size = self.micro_batch.unwrap_or_else(|| batch.div_ceil(self.config.accum_steps));
        let parts = (0..batch).step_by(size).map(|start| start..batch.min(start + size));
        self.gradients_of(step, parts.collect(), images, targets, ended)
    }

    /// The gradients of these parts of a batch; all together they are usually the whole.
    pub(super) fn gradients_of(
        &mut self,
        step: u64,
        parts: Vec<Range<usize>>,
        mut images: Tensor<4>,
        mut targets: Tensor<2>,
        ended: &mut dyn FnMut(Stage),
    ) -> BatchGradients {
        let batch = images.dims()[0];
        // A program may look at any image of its batch, and draws for all of them.
        let is_augmented_whole = self.micro_batch.is_some() && !self.batch_programs.is_empty();
        if is_augmented_whole {
            let seed = self.step_seed(step).indexed(0);
            (images, targets) = self.augment(0..batch, images, targets, seed);
        }
        let at_hand = AtHand { images, targets, batch, is_augmented_whole };
        let mut accumulator = Accumulator::default();
        let mut losses = Vec::new();
        let mut hits = Vec::new();
        let several = parts.len() > 1;
        for (number, range) in parts.into_iter().enumerate() {
            let cut = Cut { number, place: range.start, range };
            let part = self.part_or_repeated(step, cut, &at_hand, several, ended);
            accumulator.add(part.gradients);
            ended(Stage::Backward);
            losses.push(part.figures.loss);
            hits.push(part.figures.correct);
        }
        let (loss, correct) = (Tensor::cat(losses, 0).sum(), Tensor::cat(hits, 0).sum());
        let gradients = self.unscaled(accumulator.finish());
        let norm = self.scaler.is_some().then(|| global_norm(&gradients));
        BatchGradients { gradients, norm, loss, correct }
    }

    /// Where a step's randomness comes from.
    fn step_seed(&self, step: u64) -> Seed {
        self.seed.named("step").indexed(step)
    }

    /// Forward and backward of one micro-batch.
    pub(super) fn part(
        &self,
        step: u64,
        cut: Cut,
        at_hand: &AtHand,
        ended: &mut dyn FnMut(Stage),
    ) -> PartGradients {
        let (mut gradients, figures) = self.backward(&self.model, step, cut, at_hand, ended);
        PartGradients { gradients: parameters::gradients(&self.model, &mut gradients), figures }
    }

    /// The same by this learner's model, which may hand its gradients over.
    pub(super) fn backward(
        &self,
        model: &ViT,
        step: u64,
        cut: Cut,
        at_hand: &AtHand,
        ended: &mut dyn FnMut(Stage),
    ) -> (Gradients, Figures) {
        let forward = tracing::trace_span!("forward").entered();
        let input = self.input(step, cut, at_hand);
        self.fail_for_test(step, input.images.dims()[0]);
        self.backward_of(model, input, forward, ended)
    }

    /// The images and targets of a micro-batch, mixed and augmented.
    pub(super) fn input(
        &self,
        step: u64,
        Cut { number, place, range }: Cut,
        at_hand: &AtHand,
    ) -> Input {
        let AtHand { images, targets, batch, is_augmented_whole } = at_hand;
        let (start, count) = (range.start, range.len());
        let step_seed = self.step_seed(step);
        let is_cut_freely = self.micro_batch.is_some();
        let (mode, seed) = if is_cut_freely {
            let seed = step_seed.indexed(0);
            (Mode::TrainPart { seed, first: place }, seed)
        } else {
            let seed = step_seed.indexed(number as u64);
            (Mode::Train(seed), seed)
        };
        let (images, targets) = (images.clone(), targets.clone());
        let (images, targets) = if *is_augmented_whole {
            (images.narrow(0, start, count), targets.narrow(0, start, count))
        } else if is_cut_freely {
            self.config.mix.apply_to(range, place, images, targets, seed)
        } else {
            let images = images.narrow(0, start, count);
            self.augment(0..count, images, targets.narrow(0, start, count), seed)
        };
        // Weighted by its share of the batch, so that sums over micro-batches are means.
        Input { images, targets, mode, share: count as f64 / *batch as f64 }
    }

    /// Forward, whose span has begun, and backward of what goes into the model.
    pub(super) fn backward_of(
        &self,
        model: &ViT,
        Input { images, targets, mode, share }: Input,
        forward: EnteredSpan,
        ended: &mut dyn FnMut(Stage),
    ) -> (Gradients, Figures) {
        let (targets, read) = self.parted(targets);
        let (logits, loss) = self.learned(model, images, targets.clone(), read, mode);
        let correct = count_hits(logits.without_autodiff(), targets);
        let loss = loss * share;
        drop(forward);
        ended(Stage::Forward);
        let _backward = tracing::trace_span!("backward").entered();
        let gradients = match &self.scaler {
            Some(scaler) => scaler.scale(loss.clone()).backward(),
            None => loss.backward(),
        };
        (gradients, Figures { loss: loss.without_autodiff(), correct })
    }

    /// Gradients as they count: none of what is frozen, and of the loss as it was before it was scaled.
    pub(super) fn unscaled(&self, mut gradients: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        freeze(&mut gradients, &self.groups);
        match &self.scaler {
            Some(scaler) => scaler.unscale(gradients),
            None => gradients,
        }
    }

    /// The targets, and the teacher's logits beside them where a file has these.
    fn parted(&self, targets: Tensor<2>) -> (Tensor<2>, Option<Tensor<2>>) {
        if self.teacher_logits().is_none() {
            return (targets, None);
        }
        let classes = targets.dims()[1] / 2;
        let read = targets.clone().narrow(1, classes, classes);
        (targets.narrow(1, 0, classes), Some(read))
    }

    /// Logits of normalised images, and their mean loss: by the targets, and by the teacher's answers if
    /// there is one, which may have been `read`.
    fn learned(
        &self,
        model: &ViT,
        images: Tensor<4>,
        targets: Tensor<2>,
        read: Option<Tensor<2>>,
        mode: Mode,
    ) -> (Tensor<2>, Tensor<1>) {
        let weights = self.class_weights.as_ref().map(|weights| weights.of(targets.clone()));
        let loss = |logits, targets| match weights {
            Some(weights) => self.config.loss.weighted(logits, targets, weights.autodiff()),
            None => self.config.loss.forward(logits, targets),
        };
        let targets = match self.config.target_threshold {
            Some(threshold) => targets.greater_elem(threshold).float(),
            None => targets,
        };
        let targets = targets.autodiff();
        let Some(teacher) = &self.teacher else {
            let logits = model.forward(images.autodiff(), mode);
            return (logits.clone(), loss(logits, targets));
        };
        let (logits, distilled) = model.forward_heads(images.clone().autodiff(), mode);
        let answer = match &distilled {
            Some(distilled) => (logits.clone() + distilled.clone()) * 0.5,
            None => logits.clone(),
        };
        let taught = teacher.loss(images, read, distilled.unwrap_or_else(|| logits.clone()));
        let labelled = loss(logits, targets);
        let weight = teacher.weight();
        (answer, labelled * (1.0 - weight) + taught * weight)
    }

    /// Mixes some images of a batch and has the plugins' programs change them.
    fn augment(
        &self,
        part: Range<usize>,
        images: Tensor<4>,
        targets: Tensor<2>,
        seed: Seed,
    ) -> (Tensor<4>, Tensor<2>) {
        let place = part.start;
        let (mut images, mut targets) =
            self.config.mix.apply_to(part, place, images, targets, seed);
        for (index, program) in self.batch_programs.iter().enumerate() {
            let seed = seed.named("batch_augment").indexed(index as u64);
            (images, targets) = program.run(images, targets, seed);
        }
        (images, targets)
    }
}

/// How many images of a batch got their (largest) target's class, `[1]`.
fn count_hits(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    logits.argmax(1).equal(targets.argmax(1)).float().sum()
}
