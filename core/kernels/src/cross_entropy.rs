//! Softmax and cross-entropy with soft targets in one pass, forward and backward.

use pulp::{Simd, WithSimd};

use crate::{
    rows::{self, Shared},
    simd::{dispatch, each_vector, exp, load, store},
};

/// The loss of each row, `-sum(target * log_softmax(logits))`, from logits and targets
/// `[rows, classes]`. `logsumexp`, `[rows]`, is what backward needs.
pub fn forward(
    logits: &[f32],
    targets: &[f32],
    classes: usize,
    losses: &mut [f32],
    logsumexp: &mut [f32],
) {
    assert_eq!((logits.len(), targets.len()), (losses.len() * classes, logits.len()));
    let (losses, sums) = (Shared::new(losses), Shared::new(logsumexp));
    rows::for_each(logits.len() / classes.max(1), |row| {
        let part = row * classes..(row + 1) * classes;
        let found = dispatch(Row { logits: &logits[part.clone()], targets: &targets[part] });
        // SAFETY: each row has a loss and a sum of its own.
        unsafe { (*losses.at(row), *sums.at(row)) = found };
    });
}

/// The gradient of the logits, `(softmax(logits) * sum(targets) - targets) * gradient`, where
/// `gradient`, `[rows]`, is that of each row's loss.
pub fn backward(
    logits: &[f32],
    targets: &[f32],
    classes: usize,
    logsumexp: &[f32],
    gradient: &[f32],
    out: &mut [f32],
) {
    assert_eq!(
        (logits.len(), targets.len(), out.len()),
        (gradient.len() * classes, out.len(), logits.len())
    );
    let out = Shared::new(out);
    rows::for_each(gradient.len(), |row| {
        let part = row * classes..(row + 1) * classes;
        dispatch(RowBackward {
            logits: &logits[part.clone()],
            targets: &targets[part.clone()],
            logsumexp: logsumexp[row],
            gradient: gradient[row],
            // SAFETY: each row has a gradient of its own.
            out: unsafe { out.slice(part.start, classes) },
        });
    });
}

struct Row<'a> {
    logits: &'a [f32],
    targets: &'a [f32],
}

impl WithSimd for Row<'_> {
    /// The loss and the logarithm of the sum.
    type Output = (f32, f32);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f32, f32) {
        let (logits, targets) = (self.logits.as_ptr(), self.targets.as_ptr());
        let classes = self.logits.len();
        let largest = self.logits.iter().fold(f32::MIN, |largest, &logit| largest.max(logit));
        let shift = simd.splat_f32s(largest);
        let mut sum = simd.splat_f32s(0.0);
        let (mut target, mut product) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
        let mut rest = 0.0;
        each_vector!(S, classes, |at, count| {
            // SAFETY: rows are `classes` long.
            unsafe {
                let shifted = simd.sub_f32s(load(simd, logits.add(at), count), shift);
                let targets = load(simd, targets.add(at), count);
                target = simd.add_f32s(target, targets);
                // Targets that do not exist are zero.
                product = simd.mul_add_e_f32s(targets, shifted, product);
                if count == S::F32_LANES {
                    sum = simd.add_f32s(sum, exp(simd, shifted));
                } else {
                    rest = (at..classes).map(|at| (*logits.add(at) - largest).exp()).sum();
                }
            }
        });
        let log = (simd.reduce_sum_f32s(sum) + rest).ln();
        let loss = log * simd.reduce_sum_f32s(target) - simd.reduce_sum_f32s(product);
        (loss, log + largest)
    }
}

struct RowBackward<'a> {
    logits: &'a [f32],
    targets: &'a [f32],
    logsumexp: f32,
    gradient: f32,
    out: &'a mut [f32],
}

impl WithSimd for RowBackward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let total = simd.splat_f32s(self.targets.iter().sum());
        let shift = simd.splat_f32s(self.logsumexp);
        let gradient = simd.splat_f32s(self.gradient);
        let classes = self.logits.len();
        each_vector!(S, classes, |at, count| {
            // SAFETY: rows are `classes` long.
            unsafe {
                let logits = load(simd, self.logits.as_ptr().add(at), count);
                let targets = load(simd, self.targets.as_ptr().add(at), count);
                let share = exp(simd, simd.sub_f32s(logits, shift));
                let off = simd.sub_f32s(simd.mul_f32s(share, total), targets);
                store(simd, self.out.as_mut_ptr().add(at), count, simd.mul_f32s(off, gradient));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, differences, on_each_instruction_set, values, wide};

    fn exact(logits: &[f64], targets: &[f64], classes: usize) -> Vec<f64> {
        let rows = logits.chunks(classes).zip(targets.chunks(classes));
        rows.map(|(logits, targets)| {
            let log = logits.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            logits.iter().zip(targets).map(|(logit, target)| target * (log - logit)).sum()
        })
        .collect()
    }

    #[test]
    fn a_logit_that_is_not_a_number_makes_the_loss_none() {
        on_each_instruction_set(|set| {
            let mut logits = vec![0.5; 37];
            logits[20] = f32::NAN;
            let (mut loss, mut sum) = ([0.0], [0.0]);
            forward(&logits, &[0.1; 37], 37, &mut loss, &mut sum);
            assert!(loss[0].is_nan(), "{set:?}: {loss:?}");
        });
    }

    #[test]
    fn losses_and_gradients_are_exact() {
        on_each_instruction_set(|set| {
            for (rows, classes) in [(1, 1), (3, 5), (2, 16), (4, 37)] {
                let logits: Vec<f32> =
                    values(rows * classes, 1).into_iter().map(|v| v * 8.0).collect();
                let targets: Vec<f32> =
                    values(rows * classes, 2).into_iter().map(f32::abs).collect();
                let gradient = values(rows, 3);
                let (mut losses, mut sums) = (vec![0.0; rows], vec![0.0; rows]);
                forward(&logits, &targets, classes, &mut losses, &mut sums);
                let name = format!("{set:?} {rows}x{classes}");
                let (wide_logits, wide_targets) = (wide(&logits), wide(&targets));
                assert_close(&name, &losses, &exact(&wide_logits, &wide_targets, classes), 1e-6);
                let mut out = vec![0.0; logits.len()];
                backward(&logits, &targets, classes, &sums, &gradient, &mut out);
                let expected = differences(&wide_logits, |logits| {
                    let losses = exact(logits, &wide_targets, classes);
                    losses.iter().zip(&gradient).map(|(loss, g)| loss * f64::from(*g)).sum()
                });
                assert_close(&format!("{name} gradient"), &out, &expected, 1e-5);
            }
        });
    }
}
