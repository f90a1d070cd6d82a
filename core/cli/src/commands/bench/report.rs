//! The figures of a measurement, for people and as JSON.

use std::{fmt, time::Duration};

use serde::Serialize;
use vitral_model::ViTConfig;
use vitral_train::optimizer::Optimizer;

use super::subject::Subject;
use crate::words::counted;

/// One step, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    pub step: f64,
    /// None where a GPU repeats forward and backward, which is then [`gradients`](Self::gradients).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gradients: Option<f64>,
    /// None of inference, as `update`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backward: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<f64>,
}

impl Sample {
    pub fn training(forward: Duration, backward: Duration, update: Duration) -> Self {
        Self {
            step: (forward + backward + update).as_secs_f64(),
            forward: Some(forward.as_secs_f64()),
            gradients: None,
            backward: Some(backward.as_secs_f64()),
            update: Some(update.as_secs_f64()),
        }
    }

    pub fn repeated(gradients: Duration, update: Duration) -> Self {
        Self {
            step: (gradients + update).as_secs_f64(),
            forward: None,
            gradients: Some(gradients.as_secs_f64()),
            backward: None,
            update: Some(update.as_secs_f64()),
        }
    }

    pub fn inference(forward: Duration) -> Self {
        let seconds = forward.as_secs_f64();
        Self {
            step: seconds,
            forward: Some(seconds),
            gradients: None,
            backward: None,
            update: None,
        }
    }
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Work {
    /// `training` or `inference`.
    pub what: &'static str,
    pub model: String,
    pub parameters: usize,
    pub image_size: usize,
    pub channels: usize,
    pub classes: usize,
    /// Everything else of the model, so that others can build the same.
    pub config: ViTConfig,
    pub batch: usize,
    /// The type that the model computes in.
    pub precision: &'static str,
    /// None of inference, as `accum_steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accum_steps: Option<usize>,
}

impl Work {
    pub fn new(subject: &Subject, parameters: usize, infer: bool) -> Self {
        let (model, train) = (&subject.experiment.model, &subject.experiment.train);
        let optimizer = match train.optimizer {
            Optimizer::AdamW { .. } => "AdamW",
            Optimizer::Sgd { .. } => "Sgd",
            Optimizer::Lion { .. } => "Lion",
            Optimizer::Lamb { .. } => "Lamb",
            Optimizer::Muon { .. } => "Muon",
        };
        Self {
            what: if infer { "inference" } else { "training" },
            model: subject.name.clone(),
            parameters,
            image_size: model.image_size,
            channels: model.channels,
            classes: model.classes,
            config: model.resolved(),
            batch: train.batch.effective(),
            precision: train.precision.compute().name(),
            optimizer: (!infer).then_some(optimizer),
            accum_steps: (!infer).then_some(train.accum_steps),
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, model, image_size, classes, batch, precision, .. } = self;
        let classes = counted(classes, "class", "classes");
        write!(f, "{what} of {model} at {image_size} px, {classes}, batch {batch}, {precision}")?;
        if let Some(steps) = self.accum_steps.filter(|&steps| steps > 1) {
            write!(f, " in {steps} micro-batches")?;
        }
        if let Some(optimizer) = self.optimizer {
            write!(f, ", {optimizer}")?;
        }
        Ok(())
    }
}

/// Where it was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Machine {
    pub device: String,
    pub threads: usize,
    /// That kernels run on, of a machine whose processors compute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction_set: Option<&'static str>,
}

/// What steps cost, beside time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    pub flops_per_image: f64,
    /// Of the processors, for each step.
    pub cpu_seconds: Option<f64>,
    /// Of the whole process, in bytes.
    pub peak_memory: Option<u64>,
    /// What is held of a GPU's at the end, which gives nothing back meanwhile, in bytes.
    pub device_memory: Option<u64>,
    /// Floating-point operations per second of the machine's best matrix product.
    pub limit: Option<f64>,
    /// The same of operands in bf16, where the model computes in it.
    pub bf16_limit: Option<f64>,
    /// The same of a GPU, in the type that the model computes in.
    pub device_limit: Option<f64>,
}

/// Repeated measurements of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// None of no values.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let last = values.len() - 1;
        let median = (values[last / 2] + values[last.div_ceil(2)]) / 2.0;
        Some(Self { median, least, most })
    }
}

/// Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Times {
    step: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forward: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gradients: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backward: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    update: Option<Spread>,
}

/// Everything that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepResults {
    version: &'static str,
    #[serde(flatten)]
    work: Work,
    #[serde(flatten)]
    machine: Machine,
    warmup: u32,
    images_per_second: Option<Spread>,
    milliseconds: Times,
    cpu_seconds_per_step: Option<f64>,
    process_peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_held_bytes: Option<u64>,
    gflop_per_image: f64,
    gflops: Option<f64>,
    /// Of a machine whose processors compute; none of GPUs.
    sgemm_limit_gflops: Option<f64>,
    share_of_sgemm_limit: Option<f64>,
    /// Of a model that computes in bf16.
    #[serde(skip_serializing_if = "Option::is_none")]
    bf16_limit_gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_bf16_limit: Option<f64>,
    /// Of a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    device_limit_gflops: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    share_of_device_limit: Option<f64>,
    /// Seconds.
    samples: Vec<Sample>,
}

impl StepResults {
    pub fn new(
        work: Work,
        machine: Machine,
        warmup: u32,
        samples: Vec<Sample>,
        cost: Cost,
    ) -> Self {
        let batch = work.batch as f64;
        let images_per_second = Spread::of(samples.iter().map(|sample| batch / sample.step));
        let speed = images_per_second.map(|speed| speed.median * cost.flops_per_image);
        let times = |of: fn(&Sample) -> Option<f64>| {
            Spread::of(samples.iter().filter_map(of).map(|seconds| seconds * 1e3))
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            work,
            machine,
            warmup,
            images_per_second,
            milliseconds: Times {
                step: times(|sample| Some(sample.step)),
                forward: times(|sample| sample.forward),
                gradients: times(|sample| sample.gradients),
                backward: times(|sample| sample.backward),
                update: times(|sample| sample.update),
            },
            cpu_seconds_per_step: cost.cpu_seconds,
            process_peak_bytes: cost.peak_memory,
            device_held_bytes: cost.device_memory,
            gflop_per_image: cost.flops_per_image / 1e9,
            gflops: speed.map(|speed| speed / 1e9),
            sgemm_limit_gflops: cost.limit.map(|limit| limit / 1e9),
            share_of_sgemm_limit: speed.zip(cost.limit).map(|(speed, limit)| speed / limit),
            bf16_limit_gflops: cost.bf16_limit.map(|limit| limit / 1e9),
            share_of_bf16_limit: speed.zip(cost.bf16_limit).map(|(speed, limit)| speed / limit),
            device_limit_gflops: cost.device_limit.map(|limit| limit / 1e9),
            share_of_device_limit: speed.zip(cost.device_limit).map(|(speed, limit)| speed / limit),
            samples,
        }
    }
}

impl fmt::Display for StepResults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({:.1} M parameters)", self.work, self.work.parameters as f64 / 1e6)?;
        write!(f, "  device        {}", self.machine.device)?;
        if let Some(set) = self.machine.instruction_set {
            write!(f, ", kernels on {set}")?;
        }
        writeln!(f)?;
        if let Some(Spread { median, least, most }) = self.images_per_second {
            writeln!(
                f,
                "  img/s         {median:.2}  ({least:.2} to {most:.2}; {}, after {} of warm-up)",
                counted(self.samples.len(), "step", "steps"),
                self.warmup
            )?;
        }
        let Times { step, forward, gradients, backward, update } = self.milliseconds;
        // Of inference, forward is the step.
        let forward = backward.and(forward);
        for (name, times) in [
            ("step", step),
            ("  gradients", gradients),
            ("  forward", forward),
            ("  backward", backward),
            ("  update", update),
        ] {
            if let Some(Spread { median, least, most }) = times {
                writeln!(f, "  {name:12}  {median:.1} ms  ({least:.1} to {most:.1})")?;
            }
        }
        if let Some(seconds) = self.cpu_seconds_per_step {
            writeln!(f, "  CPU time      {seconds:.2} s per step")?;
        }
        if let Some(bytes) = self.process_peak_bytes {
            writeln!(f, "  process peak  {:.2} GiB", bytes as f64 / f64::from(1 << 30))?;
        }
        if let Some(bytes) = self.device_held_bytes {
            writeln!(f, "  GPU memory    {:.2} GiB", bytes as f64 / f64::from(1 << 30))?;
        }
        writeln!(f, "  model         {:.2} GFLOP per image", self.gflop_per_image)?;
        if let Some(speed) = self.gflops {
            write!(f, "  speed         {speed:.1} GFLOP/s")?;
            if let (Some(limit), Some(share)) = (self.sgemm_limit_gflops, self.share_of_sgemm_limit)
            {
                let share = share * 100.0;
                write!(f, ", {share:.0}% of this machine's sgemm limit of {limit:.0} GFLOP/s")?;
            }
            if let (Some(limit), Some(share)) = (self.bf16_limit_gflops, self.share_of_bf16_limit) {
                write!(f, ", {:.0}% of its bf16 limit of {limit:.0} GFLOP/s", share * 100.0)?;
            }
            if let (Some(limit), Some(share)) =
                (self.device_limit_gflops, self.share_of_device_limit)
            {
                let (share, precision) = (share * 100.0, self.work.precision);
                write!(f, ", {share:.0}% of this GPU's {precision} limit of {limit:.0} GFLOP/s")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([]), None);
        for (values, median) in [(&[3.0][..], 3.0), (&[5.0, 1.0], 3.0), (&[9.0, 1.0, 2.0], 2.0)] {
            let spread = Spread::of(values.iter().copied()).unwrap();
            assert_eq!(spread.median, median);
            assert!(values.contains(&spread.least) && values.contains(&spread.most));
        }
    }

    #[test]
    fn a_step_is_the_sum_of_its_stages() {
        let [forward, backward, update] = [10, 20, 5].map(Duration::from_millis);
        let sample = Sample::training(forward, backward, update);
        assert!((sample.step - 0.035).abs() < 1e-9);
    }
}
