//! What a rank's micro-batches come to, as far as the order of the sum over all ranks allows.

use burn::tensor::Tensor;
use vitral_distributed::{Summand, TreeSum};

use super::{
    batch_gradients::{Figures, PartGradients},
    exchange::Exchanging,
    within_memory::wait_for,
};
use crate::{
    Error,
    flat::append,
    gradients::{add, add_one},
};

/// A rank's part of a step.
pub(crate) struct OwnSum {
    pub(super) gradients: OwnGradients,
    pub(super) figures: TreeSum<Figures>,
}

/// Its gradients.
pub(super) enum OwnGradients {
    /// Those of each parameter.
    Here(Vec<TreeSum<Gradient>>),
    /// On their way to the other ranks.
    Exchanging(Exchanging),
}

/// The gradient of one parameter.
pub(crate) struct Gradient(pub(crate) Tensor<1>);

impl Summand for Gradient {
    fn add(&mut self, other: Self) {
        add_one(&mut self.0, other.0);
    }
}

impl Summand for Figures {
    fn add(&mut self, other: Self) {
        self.loss = self.loss.clone() + other.loss;
        self.correct = self.correct.clone() + other.correct;
    }
}

impl Summand for PartGradients {
    fn add(&mut self, other: Self) {
        add(&mut self.gradients, other.gradients);
        self.figures.add(other.figures);
    }
}

/// Sums of each parameter and of the figures, of a step of so many parts, to which these were added.
pub(super) fn sums(
    parameters: usize,
    parts: usize,
    own: impl Iterator<Item = (usize, PartGradients)>,
) -> (Vec<TreeSum<Gradient>>, TreeSum<Figures>) {
    let mut gradients: Vec<_> = (0..parameters).map(|_| TreeSum::new(parts)).collect();
    let mut figures = TreeSum::new(parts);
    for (number, part) in own {
        let of_part = part.gradients.into_iter().map(Gradient);
        gradients.iter_mut().zip(of_part).for_each(|(sum, own)| sum.add(number, own));
        figures.add(number, part.figures);
    }
    (gradients, figures)
}

/// Sums of so many values in all, those of some parameters one behind the other.
pub(super) fn joined(sums: &[TreeSum<Gradient>], values: usize) -> Result<TreeSum, Error> {
    let Some((first, others)) = sums.split_first() else { return Ok(TreeSum::new(0)) };
    let with = |all: &mut Vec<f32>, gradient: &Gradient| append(&gradient.0, all);
    let mut all = first.try_map(|gradient| {
        let mut all = Vec::with_capacity(values);
        with(&mut all, gradient).map(|()| all)
    })?;
    others.iter().try_for_each(|sum| all.try_join(sum, with))?;
    Ok(all)
}

/// The same, where the values stay on their device.
pub(super) fn joined_on_device(sums: &[TreeSum<Gradient>]) -> Result<TreeSum<Gradient>, Error> {
    let Some((first, others)) = sums.split_first() else { return Ok(TreeSum::new(0)) };
    let mut all = first.try_map(|gradient| Ok::<_, Error>(vec![gradient.0.clone()]))?;
    others.iter().try_for_each(|sum| all.try_join(sum, keep))?;
    all.try_map(|gradients| Ok(Gradient(Tensor::cat(gradients.clone(), 0))))
}

/// Waits until a GPU has computed them.
pub(super) fn wait_for_sums(
    gradients: &[TreeSum<Gradient>],
    figures: &TreeSum<Figures>,
) -> Result<(), Error> {
    let mut all = figures.try_map(|_| Ok::<_, Error>(Vec::new()))?;
    gradients.iter().try_for_each(|sum| all.try_join(sum, keep))?;
    all.try_join(figures, |gradients, figures| wait_for(gradients, &figures.loss))
}

fn keep(all: &mut Vec<Tensor<1>>, gradient: &Gradient) -> Result<(), Error> {
    all.push(gradient.0.clone());
    Ok(())
}
