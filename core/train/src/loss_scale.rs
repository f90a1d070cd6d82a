//! Dynamic loss scaling (Micikevicius et al. 2018; the rules are those of PyTorch's `GradScaler`).
//!
//! `f16` has no numbers below 6e-8, where many gradients lie. So the loss is multiplied with a large
//! scale before backward, and the gradients, once they are `f32`, are divided by it. Where the scale
//! was too large, some are infinite or not numbers: the step is then skipped as if it had not been,
//! and the scale lowered. After many steps without that it is raised again. To look for overflow, one
//! number of each step is read back from the device.

use std::ops::RangeInclusive;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};
use vitral_burn::kernels;

/// Scales that are powers of two round nothing; one above this would leave no room in `f32`.
const HIGHEST: f64 = (1u64 << 60) as f64;
/// A scale below this does not help: the gradients are not finite whatever it is.
const LOWEST: f64 = 1.0 / (1u64 << 24) as f64;

/// How the scale moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LossScaling {
    /// The scale at first.
    pub(crate) initial_scale: f64,
    /// Factor on the scale when it grows.
    pub(crate) growth_factor: f64,
    /// Factor on the scale after a step that was skipped.
    pub(crate) backoff_factor: f64,
    /// Good steps in a row before it grows.
    pub(crate) growth_interval: u64,
}

/// Where the scale is: what a checkpoint keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// What the loss is multiplied with.
    pub scale: f64,
    /// Steps in a row that were not skipped since the scale last changed.
    pub good_steps: u64,
}

impl LossScale {
    /// Where a scale can be while a run goes on.
    pub(crate) const RANGE: RangeInclusive<f64> = LOWEST..=HIGHEST;
}

/// Scales losses up and gradients down, and moves the scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LossScaler {
    scaling: LossScaling,
    state: LossScale,
}

impl LossScaler {
    pub(crate) fn new(scaling: LossScaling) -> Self {
        Self { scaling, state: LossScale { scale: scaling.initial_scale, good_steps: 0 } }
    }

    pub(crate) fn state(&self) -> LossScale {
        self.state
    }

    /// Goes on from where a checkpoint left off.
    pub(crate) fn restore(&mut self, state: LossScale) {
        self.state = state;
    }

    /// The loss to go backward from.
    pub(crate) fn scale(&self, loss: Tensor<1>) -> Tensor<1> {
        loss * self.state.scale
    }

    /// The gradients of the loss as it was before it was scaled.
    pub(crate) fn unscale(&self, gradients: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
        kernels::scaled(gradients, self.state.scale.recip())
    }

    /// After a step whose gradients were finite.
    pub(crate) fn succeeded(&mut self) {
        self.state.good_steps += 1;
        if self.state.good_steps >= self.scaling.growth_interval {
            let grown = self.state.scale * self.scaling.growth_factor;
            self.state = LossScale { scale: grown.min(HIGHEST), good_steps: 0 };
        }
    }

    /// After a step that was skipped.
    pub(crate) fn overflowed(&mut self) {
        let scale = self.state.scale * self.scaling.backoff_factor;
        self.state = LossScale { scale, good_steps: 0 };
    }

    /// Whether the scale is so low that gradients which overflow do not for its sake.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.state.scale < LOWEST
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType};

    use super::*;

    fn scaler(growth_interval: u64) -> LossScaler {
        LossScaler::new(LossScaling {
            initial_scale: 1024.0,
            growth_factor: 2.0,
            backoff_factor: 0.5,
            growth_interval,
        })
    }

    #[test]
    fn the_scale_doubles_after_enough_good_steps_in_a_row() {
        let mut scaler = scaler(3);
        let mut scales = Vec::new();
        for step in 0..10 {
            // The third of the second row overflows.
            if step == 5 {
                scaler.overflowed()
            } else {
                scaler.succeeded()
            }
            scales.push(scaler.state().scale);
        }
        let expected = [1024., 1024., 2048., 2048., 2048., 1024., 1024., 1024., 2048., 2048.];
        assert_eq!(scales, expected);
        assert_eq!(scaler.state().good_steps, 1);
    }

    #[test]
    fn the_scale_stays_within_what_f32_can_divide_by() {
        let mut growing = scaler(1);
        (0..200).for_each(|_| growing.succeeded());
        assert_eq!(growing.state().scale, HIGHEST);
        let mut shrinking = scaler(1);
        // 2^10 to 2^-24, which is not too low yet.
        (0..34).for_each(|_| shrinking.overflowed());
        assert!(!shrinking.is_exhausted());
        shrinking.overflowed();
        assert!(shrinking.is_exhausted());
    }

    #[test]
    fn a_restored_scaler_goes_on_as_the_saved_one() {
        let mut saved = scaler(3);
        (0..2).for_each(|_| saved.succeeded());
        let mut restored = scaler(3);
        restored.restore(saved.state());
        saved.succeeded();
        restored.succeeded();
        assert_eq!(restored, saved);
        assert_eq!(restored.state().scale, 2048.0);
    }

    /// The gradient 2^-26 is zero in `f16`, and exact with a scale of 2^10.
    #[test]
    fn small_gradients_survive_in_f16() {
        let device = Device::flex().autodiff();
        let gradient = |scaler: Option<LossScaler>| -> f32 {
            let weight = Tensor::<1>::from_floats([1.0], &device).require_grad();
            let half = weight.clone().cast(FloatDType::F16);
            let loss = half.cast(FloatDType::F32) * 2f64.powi(-26);
            let loss = match &scaler {
                Some(scaler) => scaler.scale(loss),
                None => loss,
            };
            let gradients = vec![weight.grad(&loss.backward()).unwrap()];
            let gradients = match &scaler {
                Some(scaler) => scaler.unscale(gradients),
                None => gradients,
            };
            gradients[0].clone().into_scalar()
        };
        assert_eq!(gradient(None), 0.0);
        assert_eq!(gradient(Some(scaler(1))), 2f32.powi(-26));
    }
}
