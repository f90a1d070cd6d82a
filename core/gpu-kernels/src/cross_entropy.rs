//! Softmax and cross-entropy with soft targets, a cube for each row.

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::{
    memory::{input, new_beside, output},
    reduce::{UNITS, cube_max, cube_number, cube_sum, cubes},
};

/// With `t` the targets, whose sum need not be 1: `loss = sum(t) * logsumexp - sum(t * logits)`.
#[cube(launch_unchecked)]
fn losses(
    logits: &[f32],
    targets: &[f32],
    out: &mut [f32],
    logsumexp: &mut [f32],
    rows: usize,
    classes: usize,
) {
    let row = cube_number();
    if row >= rows {
        terminate!();
    }
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let (first, unit) = (row * classes, UNIT_POS as usize);
    let mut largest = f32::new(-3.0e38);
    let mut at = unit;
    while at < classes {
        largest = max(largest, logits[first + at]);
        at += UNITS;
    }
    let largest = cube_max(largest, &mut memory);
    let mut sum = f32::new(0.0);
    let mut weight = f32::new(0.0);
    let mut weighted = f32::new(0.0);
    let mut at = unit;
    while at < classes {
        let (logit, target) = (logits[first + at], targets[first + at]);
        sum += (logit - largest).exp();
        weight += target;
        weighted += target * (logit - largest);
        at += UNITS;
    }
    let sum = cube_sum(sum, &mut memory);
    let weight = cube_sum(weight, &mut memory);
    let weighted = cube_sum(weighted, &mut memory);
    if unit == 0 {
        logsumexp[row] = largest + sum.ln();
        out[row] = weight * sum.ln() - weighted;
    }
}

/// `(sum(t) * softmax - t)`, times the gradient of the row's loss.
#[cube(launch_unchecked)]
fn gradients(
    logits: &[f32],
    targets: &[f32],
    logsumexp: &[f32],
    gradient: &[f32],
    out: &mut [f32],
    rows: usize,
    classes: usize,
) {
    let row = cube_number();
    if row >= rows {
        terminate!();
    }
    let mut memory = Shared::<[f32]>::new_slice(UNITS);
    let (first, unit) = (row * classes, UNIT_POS as usize);
    let mut weight = f32::new(0.0);
    let mut at = unit;
    while at < classes {
        weight += targets[first + at];
        at += UNITS;
    }
    let weight = cube_sum(weight, &mut memory);
    let (sum, factor) = (logsumexp[row], gradient[row]);
    let mut at = unit;
    while at < classes {
        let softmax = (logits[first + at] - sum).exp();
        out[first + at] = (weight * softmax - targets[first + at]) * factor;
        at += UNITS;
    }
}

pub(crate) fn forward(logits: CubeTensor, targets: CubeTensor) -> (CubeTensor, CubeTensor) {
    let [rows, classes] = logits.meta.shape().dims();
    let [out, logsumexp] = [(); 2].map(|()| new_beside(&logits, [rows, 1], DType::F32));
    // SAFETY: a cube reads its row of `classes` values and writes its number of `rows`.
    unsafe {
        losses::launch_unchecked(
            &logits.client,
            cubes(&logits.client, rows),
            CubeDim::new_1d(UNITS as u32),
            input(&logits),
            input(&targets),
            output(&out),
            output(&logsumexp),
            rows,
            classes,
        );
    }
    (out, logsumexp)
}

pub(crate) fn backward(
    logits: CubeTensor,
    targets: CubeTensor,
    logsumexp: CubeTensor,
    gradient: CubeTensor,
) -> CubeTensor {
    let [rows, classes] = logits.meta.shape().dims();
    let out = new_beside(&logits, [rows, classes], DType::F32);
    // SAFETY: a cube reads and writes its row of `classes` values, and reads its number of `rows`.
    unsafe {
        gradients::launch_unchecked(
            &logits.client,
            cubes(&logits.client, rows),
            CubeDim::new_1d(UNITS as u32),
            input(&logits),
            input(&targets),
            input(&logsumexp),
            input(&gradient),
            output(&out),
            rows,
            classes,
        );
    }
    out
}
