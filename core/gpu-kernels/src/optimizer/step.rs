//! A step of an optimizer.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::{client::Client, prelude::*};

use super::{buffers, grid, length, new_for};
use crate::{
    memory::{at_once, input},
    reduce::UNITS,
};

/// How a gradient becomes an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Loshchilov and Hutter 2019. Averages: of the gradient, of its square.
    AdamW,
    /// Stochastic gradient descent without momentum.
    Sgd,
    /// The same with momentum, which is its average.
    Momentum {
        /// Whether it looks ahead along the momentum.
        nesterov: bool,
    },
    /// The sign of an interpolated momentum (Chen et al. 2023), which is its average.
    Lion,
}

impl Rule {
    /// How many averages it keeps of a parameter.
    pub const fn averages(self) -> usize {
        match self {
            Self::AdamW => 2,
            Self::Momentum { .. } | Self::Lion => 1,
            Self::Sgd => 0,
        }
    }
}

/// What an update goes by, the same for all parameters.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// How gradients become updates.
    pub rule: Rule,
    /// What stays of the averages, and for [`Rule::Momentum`] of the momentum, which is the first.
    pub betas: [f64; 2],
    /// What each average is multiplied with to count as one of all its weights.
    pub corrections: [f64; 2],
    /// Added to the root of the squared gradient's average.
    pub eps: f64,
    /// What stays of the weights' moving average.
    pub ema_decay: f64,
}

/// What an update of one parameter goes by.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

/// One parameter, flat, in `f32`.
pub(crate) struct Parameter {
    pub(crate) value: CubeTensor,
    pub(crate) gradient: CubeTensor,
    /// As many as the rule keeps.
    pub(crate) averages: Vec<CubeTensor>,
    /// The moving average of the values, if one is kept.
    pub(crate) ema: Option<CubeTensor>,
    pub(crate) pace: Pace,
}

/// One step of each parameter. Averages change in place; `factors` are what is left of a value where decay is
/// apart from the gradient, and the decay where it is a part of it.
#[cube(launch_unchecked)]
fn update(
    values: Sequence<Box<[f32]>>,
    gradients: Sequence<Box<[f32]>>,
    mut moved: Sequence<Box<[f32]>>,
    mut firsts: Sequence<Box<[f32]>>,
    mut seconds: Sequence<Box<[f32]>>,
    mut averages: Sequence<Box<[f32]>>,
    clip: &[f32],
    lengths: Sequence<usize>,
    rates: Sequence<f32>,
    factors: Sequence<f32>,
    old1: f32,
    new1: f32,
    old2: f32,
    new2: f32,
    correction1: f32,
    correction2: f32,
    eps: f32,
    kept: f32,
    taken: f32,
    #[comptime] rule: Rule,
    #[comptime] clipped: bool,
    #[comptime] averaged: bool,
    #[comptime] count: usize,
) {
    let stride = CUBE_COUNT_X as usize * UNITS;
    #[unroll]
    for tensor in 0..count {
        if CUBE_POS_Y as usize == tensor {
            let length = *lengths.index(tensor);
            let rate = *rates.index(tensor);
            let factor = *factors.index(tensor);
            let mut at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
            while at < length {
                let value = values.index(tensor)[at];
                let mut gradient = gradients.index(tensor)[at];
                if comptime!(clipped) {
                    gradient *= clip[0];
                }
                let mut new = value;
                if comptime!(rule == Rule::AdamW) {
                    let first = firsts.index(tensor)[at] * old1 + gradient * new1;
                    let second = seconds.index(tensor)[at] * old2 + gradient * gradient * new2;
                    firsts.index_mut(tensor)[at] = first;
                    seconds.index_mut(tensor)[at] = second;
                    let root = (second * correction2).sqrt() + eps;
                    new = value * factor - first * correction1 / root * rate;
                }
                if comptime!(rule == Rule::Sgd) {
                    new = value - (gradient + value * factor) * rate;
                }
                if comptime!(matches!(rule, Rule::Momentum { .. })) {
                    let decayed = gradient + value * factor;
                    // The first momentum is zero, so that it becomes the first gradient.
                    let momentum = firsts.index(tensor)[at] * old1 + decayed;
                    firsts.index_mut(tensor)[at] = momentum;
                    if comptime!(rule == Rule::Momentum { nesterov: true }) {
                        new = value - (decayed + momentum * old1) * rate;
                    } else {
                        new = value - momentum * rate;
                    }
                }
                if comptime!(rule == Rule::Lion) {
                    let first = firsts.index(tensor)[at];
                    let mix = first * old1 + gradient * new1;
                    firsts.index_mut(tensor)[at] = first * old2 + gradient * new2;
                    new = value * factor;
                    if mix > 0.0 {
                        new -= rate;
                    }
                    if mix < 0.0 {
                        new += rate;
                    }
                }
                moved.index_mut(tensor)[at] = new;
                if comptime!(averaged) {
                    let average = averages.index(tensor)[at];
                    averages.index_mut(tensor)[at] = average * kept + new * taken;
                }
                at += stride;
            }
        }
    }
}

/// The parameters after a step, with new values in the place of the old ones; gradients count `clip` times, if it
/// is given.
pub(crate) fn stepped(
    mut parameters: Vec<Parameter>,
    clip: Option<CubeTensor>,
    step: Step,
) -> Vec<Parameter> {
    let Some(first) = parameters.first() else { return parameters };
    let client = first.value.client.clone();
    let averaged = first.ema.is_some();
    let of_each = 3 + step.rule.averages() + usize::from(averaged);
    for part in parameters.chunks_mut(at_once(&client, of_each)) {
        step_part(&client, part, clip.as_ref(), step, averaged);
    }
    parameters
}

fn step_part(
    client: &Client,
    part: &mut [Parameter],
    clip: Option<&CubeTensor>,
    step: Step,
    averaged: bool,
) {
    let Step { rule, betas: [beta1, beta2], corrections, eps, ema_decay } = step;
    for Parameter { value, gradient, averages, ema, .. } in part.iter_mut() {
        for tensor in [value, gradient] {
            *tensor = into_contiguous(tensor.clone());
        }
        averages.iter_mut().chain(ema).for_each(own);
    }
    for of in part.iter() {
        assert_eq!((of.averages.len(), of.ema.is_some()), (rule.averages(), averaged));
        let mut others = of.averages.iter().chain(&of.ema).chain([&of.gradient]);
        assert!(others.all(|other| length(other) == length(&of.value)), "of one length");
    }
    let values: Vec<CubeTensor> = part.iter().map(|of| of.value.clone()).collect();
    let moved = new_for(&values);
    let lengths: Vec<usize> = moved.iter().map(length).collect();
    let rates = part.iter().map(|of| of.pace.learning_rate as f32).collect();
    let factors = part.iter().map(|Parameter { pace, .. }| match rule {
        Rule::AdamW | Rule::Lion => (1.0 - pace.learning_rate * pace.weight_decay) as f32,
        Rule::Sgd | Rule::Momentum { .. } => pace.weight_decay as f32,
    });
    let slot = |slot: usize| {
        let there = part.iter().filter_map(|of| of.averages.get(slot));
        there.collect::<Vec<_>>()
    };
    let (_, cubes) = grid(&lengths);
    // SAFETY: a cube reads and writes the buffers of one parameter below their length, which is the same for all;
    // what it writes are new buffers and such as nobody else has; `clip` has one value, or is not read.
    unsafe {
        update::launch_unchecked(
            client,
            cubes,
            CubeDim::new_1d(UNITS as u32),
            buffers(&values),
            buffers(part.iter().map(|of| &of.gradient)),
            buffers(&moved),
            buffers(slot(0)),
            buffers(slot(1)),
            buffers(part.iter().filter_map(|of| of.ema.as_ref())),
            input(clip.unwrap_or(&part[0].gradient)),
            lengths.into_iter().collect(),
            rates,
            factors.collect(),
            beta1 as f32,
            (1.0 - beta1) as f32,
            beta2 as f32,
            (1.0 - beta2) as f32,
            corrections[0] as f32,
            corrections[1] as f32,
            eps as f32,
            ema_decay as f32,
            (1.0 - ema_decay) as f32,
            rule,
            clip.is_some(),
            averaged,
            part.len(),
        );
    }
    for (of, moved) in part.iter_mut().zip(moved) {
        of.value = moved;
    }
}

/// Makes a tensor one that may change in place: a copy, if others have its memory, too.
fn own(tensor: &mut CubeTensor) {
    if !tensor.is_contiguous() {
        *tensor = into_contiguous(tensor.clone());
    } else if !tensor.can_mut() {
        *tensor = tensor.copy();
    }
}
