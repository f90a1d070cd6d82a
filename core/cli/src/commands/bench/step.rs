//! `vitral bench step`: steps of the `Learner` that `vitral train` trains with, one by one.
//!
//! Reading and augmenting images is left out, since that goes on beside a step, in the data
//! workers. A device that computes behind the program's back is waited for at the end of each stage.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use burn::tensor::Tensor;
use clap::Args;
use vitral_kernels::simd::InstructionSet;
use vitral_model::{
    Compute, ConfigProblem, Costs, Mode, Variant, ViT,
    device::{Device, describe, is_cpu},
    parameters,
};
use vitral_seed::Seed;
use vitral_train::{
    Error, Launches, Learner, Stage, memory,
    plugins::Programs,
    schedule::{Decay, Schedule},
};

use super::{
    cpu_time::cpu_seconds,
    limit::{bf16_limit, device_limit, sgemm_limit},
    report::{Cost, Machine, Sample, StepResults, Work},
    subject::Subject,
};
use crate::{
    consent::Allowed, experiment::open_device, failure::Failure, json, overrides::Overrides,
    plugins::registry, progress::Steps,
};

#[derive(Debug, Args)]
pub struct StepArguments {
    /// An experiment, a RON file; without one, a published model is trained by AdamW. Its data is
    /// read only if nothing else gives the number of classes.
    #[arg(conflicts_with = "variant")]
    pub experiment: Option<PathBuf>,
    /// The published model: a size and a patch size, as in Ti/16 (the default) or B/32.
    #[arg(long)]
    pub variant: Option<Variant>,
    /// Side of the images in pixels; by default the experiment's, or 224.
    #[arg(long)]
    pub image_size: Option<usize>,
    /// Number of classes; by default the experiment's, or 1000.
    #[arg(long)]
    pub classes: Option<usize>,
    /// Images per step; by default the experiment's, or 16.
    #[arg(long)]
    pub batch: Option<usize>,
    /// AdamW, Sgd, Lion, Lamb or Muon, or one with settings: `Sgd(momentum: 0.8)`.
    #[arg(long, conflicts_with = "infer")]
    pub optimizer: Option<String>,
    /// Steps to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub steps: u32,
    /// Warm-up steps before those, which are not measured.
    #[arg(long, default_value_t = 3)]
    pub warmup: u32,
    /// Measure inference: forward passes without gradients.
    #[arg(long)]
    pub infer: bool,
    /// Where to compute: auto, cpu, cuda, cuda:1, wgpu, vulkan; by default as the experiment says.
    #[arg(long)]
    pub device: Option<String>,
    /// Leave out the share of the machine's limit, which takes large matrix products to measure.
    #[arg(long)]
    pub no_limit: bool,
    /// Print one JSON object with every sample instead of a table.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub overrides: Overrides,
    #[command(flatten)]
    pub allowed: Allowed,
}

impl StepArguments {
    /// The arguments as changes to the experiment; those of `--set` come last.
    fn assignments(&self) -> Vec<String> {
        let optimizer = |name: &String| match name.contains('(') {
            true => name.clone(),
            false => format!("{name}()"),
        };
        let fields = [
            ("model.variant", self.variant.map(|variant| format!("\"{variant}\""))),
            ("model.image_size", self.image_size.map(|size| size.to_string())),
            ("model.classes", self.classes.map(|classes| classes.to_string())),
            ("train.batch", self.batch.map(|batch| batch.to_string())),
            ("train.optimizer", self.optimizer.as_ref().map(optimizer)),
        ];
        let given = fields
            .into_iter()
            .filter_map(|(field, value)| value.map(|value| format!("{field}={value}")));
        given.chain(self.overrides.set.iter().cloned()).collect()
    }
}

pub fn run(arguments: &StepArguments) -> Result<(), Failure> {
    let subject = Subject::read(arguments.experiment.as_deref(), &arguments.assignments())?;
    let experiment = &subject.experiment;
    let device = open_device(arguments.device.as_deref(), experiment)?;
    let programs = Programs::trace(experiment, &registry(&arguments.allowed.allow)?)
        .map_err(|error| subject.locate(error))?;
    let mut bench = Bench::new(&subject, &programs, arguments.infer, &device)?;
    let work = Work::new(&subject, bench.parameters(), arguments.infer);
    let machine = Machine {
        device: name_of(&device),
        threads: rayon::current_num_threads(),
        instruction_set: instruction_set_of(&device),
    };

    let mut progress = Steps::new(arguments.warmup, arguments.steps);
    progress.line(&format!("{work} on {}", machine.device));
    let mut run = |step| {
        progress.next();
        bench.step(step)
    };
    for step in 0..arguments.warmup {
        run(step)?;
    }
    let processor = cpu_seconds();
    let samples: Vec<Sample> =
        (0..arguments.steps).map(|step| run(arguments.warmup + step)).collect::<Result<_, _>>()?;
    let processor = cpu_seconds().zip(processor).map(|(end, start)| end - start);
    // Before the limit is measured, which takes memory of its own.
    let peak_memory = memory().host_peak;
    let device_memory = device.memory_pool_usage().map(|usage| usage.bytes_reserved);
    progress.finish();
    if let Some(message) = bench.obstacle_to_recording() {
        progress.line(&format!("record_steps: {message}"));
    }
    let compute = experiment.train.precision.compute();

    let wants_limit = !arguments.no_limit;
    let forward = Costs::of(bench.model(), &device).forward_flops;
    let cost = Cost {
        // Backward computes twice what forward does.
        flops_per_image: if arguments.infer { forward } else { 3.0 * forward },
        cpu_seconds: processor.map(|seconds| seconds / f64::from(arguments.steps)),
        peak_memory: (peak_memory > 0).then_some(peak_memory),
        device_memory: device_memory.filter(|_| !is_cpu(&device)),
        limit: (wants_limit && is_cpu(&device)).then(sgemm_limit),
        bf16_limit: (wants_limit && is_cpu(&device) && compute == Compute::BF16).then(bf16_limit),
        device_limit: (wants_limit && !is_cpu(&device))
            .then(|| device_limit(&device, compute))
            .transpose()?,
    };
    let report = StepResults::new(work, machine, arguments.warmup, samples, cost);
    if arguments.json {
        json::print(&report)?;
    } else {
        print!("{report}");
    }
    Ok(())
}

/// A device's name, with the threads that are in fact used: `RAYON_NUM_THREADS` has a say.
pub(super) fn name_of(device: &Device) -> String {
    match (is_cpu(device), rayon::current_num_threads()) {
        (true, 1) => "CPU, 1 thread".into(),
        (true, threads) => format!("CPU, {threads} threads"),
        (false, _) => describe(device),
    }
}

/// The instruction set that kernels run on, where processors compute.
pub(super) fn instruction_set_of(device: &Device) -> Option<&'static str> {
    is_cpu(device).then(|| InstructionSet::current().name())
}

/// A model and a batch on a device.
struct Bench {
    device: Device,
    images: Tensor<4>,
    targets: Tensor<2>,
    model: Model,
}

enum Model {
    Training(Box<Learner>),
    Inference(Box<ViT>),
}

impl Bench {
    fn model(&self) -> &ViT {
        match &self.model {
            Model::Training(learner) => learner.model(),
            Model::Inference(model) => model,
        }
    }

    fn new(
        subject: &Subject,
        programs: &Programs,
        infer: bool,
        device: &Device,
    ) -> Result<Self, Failure> {
        let experiment = &subject.experiment;
        let (config, train) = (&experiment.model, &experiment.train);
        let seed = Seed::new(experiment.seed);
        let model = if infer {
            let model = ViT::with_programs(config, &programs.attention, seed, device)
                .map_err(|problem| subject.locate(problem.into()))?;
            let check = train.precision.check(device);
            check.map_err(|problem| subject.locate(problem.into()))?;
            Model::Inference(Box::new(model.computing_in(train.precision.compute())))
        } else {
            if train.teacher.is_some() {
                return Err(subject.locate(Error::Experiment(ConfigProblem {
                    field: "train.teacher".into(),
                    message: "`bench step` measures a model's own steps, without a teacher".into(),
                    help: "leave it out with `--set train.teacher=None`".into(),
                })));
            }
            let schedule = Schedule {
                decay: Decay::Constant,
                peak: train.learning_rate,
                floor: train.learning_rate,
                warmup: 0,
                total: u64::MAX,
                ..Schedule::default()
            };
            let learner = Learner::with_programs(config, train, programs, schedule, seed, device)
                .map_err(|error| subject.locate(error))?;
            Model::Training(Box::new(learner))
        };
        let (images, targets) = subject.batch(device);
        Ok(Self { device: device.clone(), images, targets, model })
    }

    /// Why a GPU did not repeat the steps, if it was to.
    fn obstacle_to_recording(&mut self) -> Option<String> {
        match &mut self.model {
            Model::Training(learner) => learner.obstacle_to_recording(),
            Model::Inference(_) => None,
        }
    }

    fn parameters(&self) -> usize {
        match &self.model {
            Model::Training(learner) => parameters::count(learner.model()),
            Model::Inference(model) => parameters::count(model),
        }
    }

    /// Makes a step, and measures it.
    fn step(&mut self, step: u32) -> Result<Sample, Failure> {
        let (device, images) = (&self.device, self.images.clone());
        let sample = match &mut self.model {
            Model::Training(learner) => train(learner, device, step, images, self.targets.clone()),
            Model::Inference(model) => infer(model, device, images),
        };
        Ok(sample?)
    }
}

fn train(
    learner: &mut Learner,
    device: &Device,
    step: u32,
    images: Tensor<4>,
    targets: Tensor<2>,
) -> Result<Sample, Error> {
    let step = u64::from(step);
    let mut forward = Duration::ZERO;
    let mut waited = Ok(());
    let start = Instant::now();
    let mut begun = start;
    let gradients = learner.gradients_watched(step, images, targets, &mut |stage| {
        if waited.is_ok() {
            waited = wait(device);
        }
        let now = Instant::now();
        if stage == Stage::Forward {
            forward += now - begun;
        }
        begun = now;
    });
    waited?;
    wait(device)?;
    let computed = Instant::now();
    let learned = if learner.overflowed(&gradients)? {
        learner.skip(gradients)
    } else {
        learner.apply(step, gradients, 1.0)?
    };
    wait(device)?;
    let end = Instant::now();
    let loss = learned.loss.try_into_scalar::<f32>();
    let loss = loss.map_err(|error| Error::Device(error.to_string()))?;
    if !loss.is_finite() {
        return Err(Error::Diverged { loss, step: step + 1, saved: None });
    }
    Ok(match learner.launches() {
        Launches::Repeated => Sample::repeated(computed - start, end - computed),
        Launches::Single => Sample::training(forward, computed - start - forward, end - computed),
    })
}

fn infer(model: &ViT, device: &Device, images: Tensor<4>) -> Result<Sample, Error> {
    let start = Instant::now();
    let logits = model.forward(images, Mode::Eval);
    wait(device)?;
    let time = start.elapsed();
    drop(logits);
    Ok(Sample::inference(time))
}

/// Waits until the device has computed all that it was given.
pub(super) fn wait(device: &Device) -> Result<(), Error> {
    device.sync().map_err(|error| Error::Device(error.to_string()))
}
