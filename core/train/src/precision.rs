//! The type that a model computes in while it trains, and whether a device has it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_model::{
    Compute, ConfigProblem,
    device::{Device, describe},
};

use crate::loss_scale::LossScaling;

/// The type that a model computes in (Micikevicius et al. 2018). Weights, optimizer and averages are
/// `f32` in any case, and so are LayerNorm, softmax, the loss and whatever adds up many values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub enum Precision {
    /// All in `f32`.
    #[default]
    F32,
    /// `bf16`, which has the range of `f32` and needs no loss scale.
    BF16,
    /// `f16`, with a loss that is scaled so that small gradients do not become zero. A step whose
    /// gradients are not finite is skipped, and the scale lowered.
    F16 {
        /// What the loss is multiplied with at first.
        #[serde(default = "default_initial_scale")]
        #[schemars(range(min = 1.0, max = 1_099_511_627_776.0))]
        initial_scale: f64,
        /// Factor on the scale after `growth_interval` steps in a row that were not skipped.
        #[serde(default = "default_growth_factor")]
        #[schemars(range(min = 1.0, max = 65_536.0))]
        growth_factor: f64,
        /// Factor on the scale after a step that was skipped.
        #[serde(default = "default_backoff_factor")]
        #[schemars(range(min = 0.000_015, max = 0.999))]
        backoff_factor: f64,
        /// Steps in a row that are not skipped before the scale grows.
        #[serde(default = "default_growth_interval")]
        #[schemars(range(min = 1))]
        growth_interval: u64,
    },
}

// PyTorch's `GradScaler` starts from the same numbers.
fn default_initial_scale() -> f64 {
    65_536.0
}

fn default_growth_factor() -> f64 {
    2.0
}

fn default_backoff_factor() -> f64 {
    0.5
}

fn default_growth_interval() -> u64 {
    2000
}

impl Precision {
    /// The type that the model computes in.
    pub const fn compute(self) -> Compute {
        match self {
            Self::F32 => Compute::F32,
            Self::BF16 => Compute::BF16,
            Self::F16 { .. } => Compute::F16,
        }
    }

    /// How the loss is scaled, if it is.
    pub(crate) const fn scaling(self) -> Option<LossScaling> {
        match self {
            Self::F32 | Self::BF16 => None,
            Self::F16 { initial_scale, growth_factor, backoff_factor, growth_interval } => {
                Some(LossScaling { initial_scale, growth_factor, backoff_factor, growth_interval })
            }
        }
    }

    /// Checks that a device computes in this type.
    ///
    /// # Errors
    /// It does not; the problem names `train.precision`, and what the device has.
    pub fn check(self, device: &Device) -> Result<(), ConfigProblem> {
        self.check_against(&describe(device), |compute| compute.is_supported(device))
    }

    fn check_against(
        self,
        device: &str,
        is_supported: impl Fn(Compute) -> bool,
    ) -> Result<(), ConfigProblem> {
        let compute = self.compute();
        if compute == Compute::F32 || is_supported(compute) {
            return Ok(());
        }
        let others = [("BF16", Compute::BF16), ("F16()", Compute::F16)];
        let others = others.into_iter().filter(|&(_, other)| is_supported(other));
        let others: String = others.map(|(name, _)| format!(" and {name}")).collect();
        Err(ConfigProblem {
            field: "train.precision".into(),
            message: format!(
                "`train.precision` asks for {}, which this device does not support ({device})",
                compute.name()
            ),
            help: format!("it supports F32{others}; the CPU supports all of them, but slowly"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f16() -> Precision {
        ron::from_str("F16()").unwrap()
    }

    #[test]
    fn f16_scales_the_loss_as_grad_scaler_does_by_default() {
        let scaling = f16().scaling().unwrap();
        assert_eq!((scaling.initial_scale, scaling.growth_interval), (65_536.0, 2000));
        assert_eq!((scaling.growth_factor, scaling.backoff_factor), (2.0, 0.5));
        assert!(Precision::BF16.scaling().is_none() && Precision::F32.scaling().is_none());
    }

    #[test]
    fn the_cpu_has_every_type() {
        for precision in [Precision::F32, Precision::BF16, f16()] {
            precision.check(&Device::flex()).unwrap();
        }
    }

    #[test]
    fn a_device_without_the_type_is_told_what_it_has() {
        let problem =
            Precision::BF16.check_against("a GPU", |compute| compute == Compute::F16).unwrap_err();
        assert_eq!(problem.field, "train.precision");
        let message = "`train.precision` asks for bf16, which this device does not support (a GPU)";
        assert_eq!(problem.message, message);
        assert!(problem.help.contains("F32 and F16()"), "{}", problem.help);
        let problem = f16().check_against("a GPU", |_| false).unwrap_err();
        assert!(problem.help.starts_with("it supports F32;"), "{}", problem.help);
        Precision::F32.check_against("a GPU", |_| false).unwrap();
    }
}
