//! What is done to all parameters of a model: sums of gradients, their norm, and a step of an optimizer. A launch takes
//! as many of them as a device binds at once, each on cubes of its own.

use burn::tensor::DType;
use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::{client::Client, prelude::*};

use crate::{
    memory::{at_once, input, new_beside, new_together, output},
    reduce::{UNITS, cube_sum},
};

/// Adds up squares: of a cube's share of its tensor, one sum.
#[cube(launch_unchecked)]
fn sum_squares(
    tensors: Sequence<Box<[f32]>>,
    sums: &mut [f32],
    lengths: Sequence<usize>,
    first: usize,
    #[comptime] count: usize,
) {
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let stride = CUBE_COUNT_X as usize * UNITS;
    let mut sum = f32::new(0.0);
    #[unroll]
    for tensor in 0..count {
        if CUBE_POS_Y as usize == tensor {
            let values = tensors.index(tensor);
            let length = *lengths.index(tensor);
            let mut at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
            while at < length {
                sum += values[at] * values[at];
                at += stride;
            }
        }
    }
    let sum = cube_sum(sum, &mut memory);
    if UNIT_POS == 0 {
        sums[first + CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize] = sum;
    }
}

/// The sum of all of `count` values, by one cube.
#[cube(launch_unchecked)]
fn sum_all(values: &[f32], out: &mut [f32], count: usize) {
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let mut sum = f32::new(0.0);
    let mut at = UNIT_POS as usize;
    while at < count {
        sum += values[at];
        at += UNITS;
    }
    let sum = cube_sum(sum, &mut memory);
    if UNIT_POS == 0 {
        out[0] = sum;
    }
}

/// Multiplies each tensor, and adds another to it: in place, or from sources.
#[cube(launch_unchecked)]
fn combine(
    sources: Sequence<Box<[f32]>>,
    mut tensors: Sequence<Box<[f32]>>,
    others: Sequence<Box<[f32]>>,
    lengths: Sequence<usize>,
    factor: f32,
    #[comptime] in_place: bool,
    #[comptime] added: bool,
    #[comptime] count: usize,
) {
    let stride = CUBE_COUNT_X as usize * UNITS;
    #[unroll]
    for tensor in 0..count {
        if CUBE_POS_Y as usize == tensor {
            let length = *lengths.index(tensor);
            let mut at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
            while at < length {
                let mut value = factor;
                if comptime!(in_place) {
                    value *= tensors.index(tensor)[at];
                } else {
                    value *= sources.index(tensor)[at];
                }
                if comptime!(added) {
                    value += others.index(tensor)[at];
                }
                tensors.index_mut(tensor)[at] = value;
                at += stride;
            }
        }
    }
}

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

/// The most cubes for a tensor; more values than units come in turns.
const MOST_CUBES: usize = 1024;

/// Values that a unit takes before there are more cubes.
const OF_UNIT: usize = 4;

/// Cubes for each of some tensors, and rows of them.
fn grid(lengths: &[usize]) -> (usize, CubeCount) {
    let longest = lengths.iter().copied().max().unwrap_or_default();
    let of_each = longest.div_ceil(UNITS * OF_UNIT).clamp(1, MOST_CUBES);
    (of_each, CubeCount::new_2d(of_each as u32, lengths.len() as u32))
}

fn length(tensor: &CubeTensor) -> usize {
    tensor.meta.shape().num_elements()
}

fn buffers<'a>(tensors: impl IntoIterator<Item = &'a CubeTensor>) -> SequenceArg<Box<[f32]>> {
    tensors.into_iter().map(output).collect()
}

/// The sum of the squares of all values of all of these, `[1]`, which are `f32`. It does not depend on the order in
/// which cubes run.
pub(crate) fn squared_norm(tensors: Vec<CubeTensor>) -> CubeTensor {
    let tensors: Vec<CubeTensor> = tensors.into_iter().map(into_contiguous).collect();
    let client = tensors[0].client.clone();
    let parts: Vec<&[CubeTensor]> = tensors.chunks(at_once(&client, 1)).collect();
    let lengths = |part: &[CubeTensor]| part.iter().map(length).collect::<Vec<usize>>();
    let count = parts.iter().map(|part| grid(&lengths(part)).0 * part.len()).sum();
    let sums = new_beside(&tensors[0], [count], DType::F32);
    let mut first = 0;
    for part in parts {
        let lengths = lengths(part);
        let (of_each, cubes) = grid(&lengths);
        // SAFETY: a cube reads a tensor of `part` below its length, and writes the sum of its own number, of which
        // each part has as many as cubes, `count` together.
        unsafe {
            sum_squares::launch_unchecked(
                &client,
                cubes,
                CubeDim::new_1d(UNITS as u32),
                buffers(part),
                output(&sums),
                lengths.into_iter().collect(),
                first,
                part.len(),
            );
        }
        first += of_each * part.len();
    }
    let out = new_beside(&sums, [1], DType::F32);
    // SAFETY: units read `count` values; one writes one.
    unsafe {
        sum_all::launch_unchecked(
            &client,
            CubeCount::new_1d(1),
            CubeDim::new_1d(UNITS as u32),
            input(&sums),
            output(&out),
            count,
        );
    }
    out
}

/// Tensors times a factor, to which others are added, if there are any: one of each length. Large ones change in place.
pub(crate) fn combined(
    tensors: Vec<CubeTensor>,
    factor: f64,
    others: Vec<CubeTensor>,
) -> Vec<CubeTensor> {
    let others: Vec<CubeTensor> = others.into_iter().map(into_contiguous).collect();
    let is_sum = !others.is_empty();
    assert!(!is_sum || others.len() == tensors.len(), "one for each");
    assert!(
        tensors.iter().zip(&others).all(|(one, other)| length(one) == length(other)),
        "of one length"
    );
    let client = tensors[0].client.clone();
    let mut others = others.into_iter();
    let operands = tensors.into_iter().map(|tensor| (tensor, others.next()));
    let (small, large): (Vec<_>, Vec<_>) =
        operands.enumerate().partition(|(_, (tensor, _))| is_small(tensor));
    let mut done = Vec::with_capacity(small.len() + large.len());
    for (all, in_place) in [(small, false), (large, true)] {
        let (places, mut all): (Vec<usize>, Vec<_>) = all.into_iter().unzip();
        let most = at_once(&client, 1 + usize::from(is_sum) + usize::from(!in_place));
        for part in all.chunks_mut(most) {
            combine_part(&client, part, factor as f32, in_place);
        }
        done.extend(places.into_iter().zip(all.into_iter().map(|(tensor, _)| tensor)));
    }
    done.sort_by_key(|&(place, _)| place);
    done.into_iter().map(|(_, tensor)| tensor).collect()
}

fn combine_part(
    client: &Client,
    part: &mut [(CubeTensor, Option<CubeTensor>)],
    factor: f32,
    in_place: bool,
) {
    let sources: Vec<CubeTensor> = match in_place {
        true => Vec::new(),
        false => part.iter().map(|(tensor, _)| into_contiguous(tensor.clone())).collect(),
    };
    if in_place {
        part.iter_mut().for_each(|(tensor, _)| own(tensor));
    } else {
        let shapes = sources.iter().map(|source| source.meta.shape().clone());
        let new = new_together(&sources[0], shapes, DType::F32);
        part.iter_mut().zip(new).for_each(|((tensor, _), new)| *tensor = new);
    }
    let lengths: Vec<usize> = part.iter().map(|(tensor, _)| length(tensor)).collect();
    let (_, cubes) = grid(&lengths);
    let is_sum = part[0].1.is_some();
    // SAFETY: a cube reads and writes a tensor of `part`, whose memory nobody else has, below its length, which is that
    // of its source and of the other, too.
    unsafe {
        combine::launch_unchecked(
            client,
            cubes,
            CubeDim::new_1d(UNITS as u32),
            buffers(&sources),
            buffers(part.iter().map(|(tensor, _)| tensor)),
            buffers(part.iter().filter_map(|(_, other)| other.as_ref())),
            lengths.into_iter().collect(),
            factor,
            in_place,
            is_sum,
            part.len(),
        );
    }
}

/// Writes tensors over others, which are as long and lie row by row, whoever else has their memory.
pub(crate) fn write(tensors: Vec<CubeTensor>, over: &[CubeTensor]) {
    assert!(
        tensors.len() == over.len()
            && tensors.iter().zip(over).all(|(one, other)| length(one) == length(other)),
        "as many, of one length"
    );
    let sources: Vec<CubeTensor> = tensors.into_iter().map(into_contiguous).collect();
    let client = sources[0].client.clone();
    let most = at_once(&client, 2);
    for (sources, over) in sources.chunks(most).zip(over.chunks(most)) {
        let lengths: Vec<usize> = over.iter().map(length).collect();
        let (_, cubes) = grid(&lengths);
        // SAFETY: a cube reads one of `sources` and writes what it is for, below the length of both.
        unsafe {
            combine::launch_unchecked(
                &client,
                cubes,
                CubeDim::new_1d(UNITS as u32),
                buffers(sources),
                buffers(over),
                SequenceArg::new(),
                lengths.into_iter().collect(),
                1.0,
                false,
                false,
                over.len(),
            );
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
    let moved = moved(part);
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
            buffers(part.iter().map(|of| &of.value)),
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

/// Tensors of more values have memory of their own.
const SMALL: usize = 16_384;

fn is_small(tensor: &CubeTensor) -> bool {
    length(tensor) <= SMALL
}

/// Where the new values of parameters go.
fn moved(part: &[Parameter]) -> Vec<CubeTensor> {
    let values = || part.iter().map(|of| &of.value);
    let shape = |value: &CubeTensor| value.meta.shape().clone();
    let small = values().filter(|value| is_small(value)).map(shape);
    let mut together = new_together(&part[0].value, small, DType::F32).into_iter();
    let of = |value: &CubeTensor| match is_small(value) {
        true => together.next().unwrap_or_else(|| unreachable!("there is one for each")),
        false => new_beside(value, shape(value), DType::F32),
    };
    values().map(of).collect()
}

/// Makes a tensor one that may change in place: a copy, if others have its memory, too.
fn own(tensor: &mut CubeTensor) {
    if !tensor.is_contiguous() {
        *tensor = into_contiguous(tensor.clone());
    } else if !tensor.can_mut() {
        *tensor = tensor.copy();
    }
}
