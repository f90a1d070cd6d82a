//! The type that a trained model computes in where the command line names one.

use clap::ValueEnum;
use vitral_model::device::Device;
use vitral_train::checkpoint::Checkpoint;

use crate::{experiment::Loaded, failure::Failure};

/// What `--precision` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionName {
    F32,
    Bf16,
    F16,
}

impl PrecisionName {
    /// As an experiment writes it.
    fn in_experiment(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::Bf16 => "BF16",
            Self::F16 => "F16()",
        }
    }
}

/// Has a checkpoint's model compute in a type, if one is given, and refuses what the device lacks:
/// without a wish, such a model would compute in `f32`.
pub fn compute_in(
    checkpoint: &mut Checkpoint,
    precision: Option<PrecisionName>,
    device: &Device,
) -> Result<(), Failure> {
    let Some(precision) = precision else { return Ok(()) };
    let change = format!("train.precision={}", precision.in_experiment());
    let changed = Loaded::of_checkpoint(checkpoint, &[change])?;
    let precision = changed.experiment.train.precision;
    precision.check(device).map_err(|problem| {
        let name = precision.compute().name();
        Failure::Other(format!("--precision {name}: {}: {}", problem.message, problem.help))
    })?;
    checkpoint.experiment.train.precision = precision;
    Ok(())
}
