//! One optimizer step over all parameters in one pass over memory: clipping, decoupled weight decay,
//! the update and the weights' moving average.

use pulp::{Simd, WithSimd};

use crate::{
    rows::{self, Shared},
    simd::{dispatch, each_vector, load, store},
};

/// Values that a task takes at once, and of which [`squared_norm`] adds up one sum after the other.
pub const PIECE: usize = 16 * 1024;

/// The rule that turns a gradient into an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Loshchilov and Hutter 2019, in PyTorch's order of operations. Averages: of the gradient, of
    /// its square.
    AdamW {
        /// Decay of the gradient's average.
        beta1: f64,
        /// Decay of the squared gradient's average.
        beta2: f64,
        /// Added to the root of the squared gradient's average.
        eps: f64,
    },
    /// Stochastic gradient descent as PyTorch's, weight decay added to the gradient. Averages: the
    /// momentum, if it is not zero.
    Sgd {
        /// Share of the last update that goes on.
        momentum: f64,
        /// Looks ahead along the momentum.
        nesterov: bool,
    },
    /// The sign of an interpolated momentum (Chen et al. 2023). Averages: the momentum.
    Lion {
        /// Weight of the momentum in the update.
        beta1: f64,
        /// Decay of the momentum.
        beta2: f64,
    },
}

/// What an update goes by, the same for all parameters.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// How gradients become updates.
    pub rule: Rule,
    /// Updates made, this one included.
    pub update: u64,
    /// Multiplies each gradient: what clipping leaves of it.
    pub gradient_scale: f32,
    /// Decay of the weights' moving average.
    pub ema_decay: f64,
}

/// One parameter, flat.
#[derive(Debug)]
pub struct Parameter<'a> {
    /// Its values.
    pub value: &'a [f32],
    /// Their gradients. The new values take their place: nothing wants them any more, and no memory
    /// need be fetched to be written.
    pub gradient: &'a mut [f32],
    /// The averages that the rule keeps; those that it does not are empty.
    pub averages: [&'a mut [f32]; 2],
    /// The moving average of the values; empty if none is kept.
    pub ema: &'a mut [f32],
    /// Learning rate.
    pub learning_rate: f64,
    /// Weight decay.
    pub weight_decay: f64,
}

impl Step {
    /// Moves all parameters by one step.
    pub fn run(&self, parameters: &mut [Parameter<'_>]) {
        struct Memory {
            averages: [(Shared, bool); 2],
            ema: (Shared, bool),
            gradient: Shared,
        }
        let mut memories = Vec::with_capacity(parameters.len());
        for parameter in parameters.iter_mut() {
            assert_eq!(parameter.value.len(), parameter.gradient.len());
            let [first, second] = &mut parameter.averages;
            let optional = |memory: &mut [f32]| {
                assert!(memory.is_empty() || memory.len() == parameter.value.len());
                (Shared::new(memory), !memory.is_empty())
            };
            memories.push(Memory {
                averages: [optional(first), optional(second)],
                ema: optional(parameter.ema),
                gradient: Shared::new(parameter.gradient),
            });
        }
        let parameters = &*parameters;
        let pieces: Vec<(usize, usize)> = parameters
            .iter()
            .enumerate()
            .flat_map(|(index, parameter)| {
                (0..parameter.value.len()).step_by(PIECE).map(move |start| (index, start))
            })
            .collect();
        rows::for_each(pieces.len(), |task| {
            let (index, start) = pieces[task];
            let (parameter, memory) = (&parameters[index], &memories[index]);
            let len = PIECE.min(parameter.value.len() - start);
            // SAFETY: each piece of each parameter is one task's.
            let part = |(memory, there): (Shared, bool)| unsafe {
                if there { memory.slice(start, len) } else { &mut [] }
            };
            dispatch(Piece {
                step: *self,
                learning_rate: parameter.learning_rate,
                weight_decay: parameter.weight_decay,
                value: &parameter.value[start..start + len],
                gradient: part((memory.gradient, true)),
                averages: memory.averages.map(part),
                ema: part(memory.ema),
            });
        });
    }
}

struct Piece<'a> {
    step: Step,
    learning_rate: f64,
    weight_decay: f64,
    value: &'a [f32],
    gradient: &'a mut [f32],
    averages: [&'a mut [f32]; 2],
    ema: &'a mut [f32],
}

impl WithSimd for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Step { rule, update, gradient_scale, ema_decay } = self.step;
        let number = |value: f64| simd.splat_f32s(value as f32);
        let scale = simd.splat_f32s(gradient_scale);
        let (rate, minus_rate) = (number(self.learning_rate), number(-self.learning_rate));
        let shrink = number(1.0 - self.learning_rate * self.weight_decay);
        let decay = number(self.weight_decay);
        let (keep, take) = (number(ema_decay), number(1.0 - ema_decay));
        let [first, second] = self.averages.map(|memory| memory.as_mut_ptr());
        let has_ema = !self.ema.is_empty();
        let ema = self.ema.as_mut_ptr();
        let (values, gradients) = (self.value.as_ptr(), self.gradient.as_mut_ptr());
        macro_rules! each {
            (|$value:ident, $gradient:ident, $at:ident, $count:ident| $new:block) => {
                each_vector!(S, self.value.len(), |$at, $count| {
                    // SAFETY: all parts are as long as the piece.
                    unsafe {
                        let $value = load(simd, values.add($at), $count);
                        let $gradient =
                            simd.mul_f32s(load(simd, gradients.add($at), $count), scale);
                        let new = $new;
                        store(simd, gradients.add($at), $count, new);
                        if has_ema {
                            let old = load(simd, ema.add($at), $count);
                            let sum = simd.mul_add_e_f32s(old, keep, simd.mul_f32s(new, take));
                            store(simd, ema.add($at), $count, sum);
                        }
                    }
                })
            };
        }
        match rule {
            Rule::AdamW { beta1, beta2, eps } => {
                let correction = |beta: f64| number(1.0 / (1.0 - beta.powf(update as f64)));
                let (correct1, correct2) = (correction(beta1), correction(beta2));
                let (old1, new1) = (number(beta1), number(1.0 - beta1));
                let (old2, new2) = (number(beta2), number(1.0 - beta2));
                let eps = number(eps);
                each!(|value, gradient, at, count| {
                    let average = load(simd, first.add(at), count);
                    let average = simd.mul_add_e_f32s(average, old1, simd.mul_f32s(gradient, new1));
                    let square = load(simd, second.add(at), count);
                    let squared = simd.mul_f32s(gradient, gradient);
                    let square = simd.mul_add_e_f32s(square, old2, simd.mul_f32s(squared, new2));
                    store(simd, first.add(at), count, average);
                    store(simd, second.add(at), count, square);
                    let root = simd.sqrt_f32s(simd.mul_f32s(square, correct2));
                    let direction =
                        simd.div_f32s(simd.mul_f32s(average, correct1), simd.add_f32s(root, eps));
                    simd.mul_add_e_f32s(direction, minus_rate, simd.mul_f32s(value, shrink))
                });
            }
            Rule::Sgd { momentum, nesterov } => {
                let share = number(momentum);
                each!(|value, gradient, at, count| {
                    let gradient = simd.mul_add_e_f32s(value, decay, gradient);
                    let direction = if momentum == 0.0 {
                        gradient
                    } else {
                        // The first buffer is zero, so that it becomes the first gradient.
                        let buffer =
                            simd.mul_add_e_f32s(load(simd, first.add(at), count), share, gradient);
                        store(simd, first.add(at), count, buffer);
                        if nesterov { simd.mul_add_e_f32s(buffer, share, gradient) } else { buffer }
                    };
                    simd.mul_add_e_f32s(direction, minus_rate, value)
                });
            }
            Rule::Lion { beta1, beta2 } => {
                let (old1, new1) = (number(beta1), number(1.0 - beta1));
                let (old2, new2) = (number(beta2), number(1.0 - beta2));
                let zero = simd.splat_f32s(0.0);
                each!(|value, gradient, at, count| {
                    let average = load(simd, first.add(at), count);
                    let mix = simd.mul_add_e_f32s(average, old1, simd.mul_f32s(gradient, new1));
                    let average = simd.mul_add_e_f32s(average, old2, simd.mul_f32s(gradient, new2));
                    store(simd, first.add(at), count, average);
                    let kept = simd.mul_f32s(value, shrink);
                    let up = simd.select_f32s(simd.less_than_f32s(mix, zero), rate, zero);
                    let down = simd.select_f32s(simd.less_than_f32s(zero, mix), rate, zero);
                    simd.add_f32s(kept, simd.sub_f32s(up, down))
                });
            }
        }
    }
}

/// The sum of squares of all values, the same with any number of threads.
pub fn squared_norm(parts: &[&[f32]]) -> f64 {
    squared_norms(parts).iter().map(|&sum| f64::from(sum)).sum()
}

/// The sums of squares of each part's pieces, of [`PIECE`] values and a last one of fewer.
pub fn squared_norms(parts: &[&[f32]]) -> Vec<f32> {
    let pieces: Vec<&[f32]> = parts.iter().flat_map(|part| part.chunks(PIECE)).collect();
    let mut sums = vec![0.0; pieces.len()];
    let shared = Shared::new(&mut sums);
    rows::for_each(pieces.len(), |task| {
        // SAFETY: each piece has a sum of its own.
        unsafe { *shared.at(task) = dispatch(SquaredNorm(pieces[task])) };
    });
    sums
}

struct SquaredNorm<'a>(&'a [f32]);

impl WithSimd for SquaredNorm<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let mut sum = simd.splat_f32s(0.0);
        each_vector!(S, self.0.len(), |at, count| {
            // SAFETY: the vector lies within the piece.
            let values = unsafe { load(simd, self.0.as_ptr().add(at), count) };
            sum = simd.mul_add_e_f32s(values, values, sum);
        });
        simd.reduce_sum_f32s(sum)
    }
}

/// Adds `values` to `sums`.
pub fn add(sums: &mut [f32], values: &[f32]) {
    assert_eq!(sums.len(), values.len());
    let shared = Shared::new(sums);
    rows::for_each(values.len().div_ceil(PIECE), |task| {
        let start = task * PIECE;
        let values = &values[start..(start + PIECE).min(values.len())];
        // SAFETY: each piece is one task's.
        let sums = unsafe { shared.slice(start, values.len()) };
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, on_each_instruction_set, values, wide};

    /// Several updates of one parameter, value by value in f64 as the papers and PyTorch have them.
    fn exact(rule: Rule, value: &[f64], gradients: &[Vec<f64>], rate: f64, decay: f64) -> Vec<f64> {
        let mut value = value.to_vec();
        let (mut first, mut second) = (vec![0.0; value.len()], vec![0.0; value.len()]);
        for (update, gradient) in (1..).zip(gradients) {
            for i in 0..value.len() {
                let (v, g, a, s) = (&mut value[i], gradient[i], &mut first[i], &mut second[i]);
                match rule {
                    Rule::AdamW { beta1, beta2, eps } => {
                        *a = beta1 * *a + (1.0 - beta1) * g;
                        *s = beta2 * *s + (1.0 - beta2) * g * g;
                        let (a, s) =
                            (*a / (1.0 - beta1.powi(update)), *s / (1.0 - beta2.powi(update)));
                        *v = *v * (1.0 - rate * decay) - rate * a / (s.sqrt() + eps);
                    }
                    Rule::Sgd { momentum, nesterov } => {
                        let g = g + decay * *v;
                        *a = momentum * *a + g;
                        *v -= rate * if nesterov { g + momentum * *a } else { *a };
                    }
                    Rule::Lion { beta1, beta2 } => {
                        let sign = (beta1 * *a + (1.0 - beta1) * g).signum();
                        *a = beta2 * *a + (1.0 - beta2) * g;
                        *v = *v * (1.0 - rate * decay) - rate * sign;
                    }
                }
            }
        }
        value
    }

    #[test]
    fn updates_are_those_of_the_papers() {
        on_each_instruction_set(|set| {
            for rule in [
                Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8 },
                Rule::Sgd { momentum: 0.0, nesterov: false },
                Rule::Sgd { momentum: 0.9, nesterov: false },
                Rule::Sgd { momentum: 0.9, nesterov: true },
                Rule::Lion { beta1: 0.9, beta2: 0.99 },
            ] {
                // Longer than a piece, and not a whole number of vectors.
                let len = PIECE + 5;
                let start = values(len, 1);
                let gradients: Vec<Vec<f32>> = (2..5).map(|seed| values(len, seed)).collect();
                let (rate, decay, scale) = (0.1, 0.05, 0.5);
                let (mut value, mut ema) = (start.clone(), start.clone());
                let (mut first, mut second) = (vec![0.0; len], vec![0.0; len]);
                let mut exact_ema = wide(&start);
                for (update, gradient) in (1..).zip(&gradients) {
                    let mut gradient = gradient.clone();
                    Step { rule, update, gradient_scale: scale, ema_decay: 0.9 }.run(&mut [
                        Parameter {
                            value: &value,
                            gradient: &mut gradient,
                            averages: [&mut first, &mut second],
                            ema: &mut ema,
                            learning_rate: rate,
                            weight_decay: decay,
                        },
                    ]);
                    value = gradient;
                    for (average, value) in exact_ema.iter_mut().zip(&value) {
                        *average = 0.9 * *average + 0.1 * f64::from(*value);
                    }
                }
                let scaled: Vec<Vec<f64>> = gradients
                    .iter()
                    .map(|gradient| gradient.iter().map(|g| f64::from(g * scale)).collect())
                    .collect();
                let name = format!("{set:?} {rule:?}");
                assert_close(
                    &name,
                    &value,
                    &exact(rule, &wide(&start), &scaled, rate, decay),
                    2e-6,
                );
                assert_close(&format!("{name} average"), &ema, &exact_ema, 2e-6);
            }
        });
    }

    #[test]
    fn norms_and_sums_take_every_value() {
        on_each_instruction_set(|_| {
            let (a, b) = (values(PIECE * 2 + 3, 1), values(7, 2));
            let exact: f64 = a.iter().chain(&b).map(|v| f64::from(*v).powi(2)).sum();
            assert!((squared_norm(&[&a, &b]) - exact).abs() < 1e-5 * exact);
            let mut sums = a.clone();
            add(&mut sums, &a);
            assert!(sums.iter().zip(&a).all(|(sum, value)| *sum == 2.0 * value));
        });
    }
}
