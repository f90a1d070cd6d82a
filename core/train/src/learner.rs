//! One optimizer step, and all that it changes: the model, the optimizer's averages, the weights'
//! moving average.

use std::{
    any::Any,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
};

use burn::{
    module::Module,
    tensor::{Tensor, TensorData},
};
use vitral_host::ParameterStatistics;
use vitral_model::{
    ConfigProblem, Mode, ViT, ViTConfig,
    device::{Device, is_cpu},
    parameters::{self, ParameterInfo},
};
use vitral_program::Program;
use vitral_seed::Seed;

use crate::{
    Error,
    checkpoint::{NamedTensor, to_device},
    ema::Ema,
    experiment::TrainConfig,
    gradients::{Accumulator, clip_factor, global_norm, scale},
    groups::{ParameterGroup, groups, unmatched},
    loss_scale::{LossScale, LossScaler},
    optimizer::{Hyper, OptimizerState},
    plugins::{BatchProgram, Programs},
    schedule::{Schedule, weight_decay},
    statistics::parameter_statistics,
};

/// A model in training.
pub struct Learner {
    config: TrainConfig,
    schedule: Schedule,
    seed: Seed,
    infos: Vec<ParameterInfo>,
    groups: Vec<ParameterGroup>,
    model: ViT,
    batch_programs: Vec<BatchProgram>,
    optimizer: OptimizerState,
    ema: Option<Ema>,
    scaler: Option<LossScaler>,
    skipped_steps: u64,
    /// Images that go through the model at once, where the experiment leaves that open.
    micro_batch: Option<usize>,
    fault: Option<MemoryFault>,
}

/// Tells, by the step and the images of a micro-batch, whether memory is to run out in it: for tests
/// of what happens then.
pub type MemoryFault = Box<dyn Fn(u64, usize) -> bool + Send + Sync>;

/// What a step leaves on the device, to be read only when it is wanted; all `[1]`.
pub struct Learned {
    /// Mean loss of the batch.
    pub loss: Tensor<1>,
    /// Images whose class got the highest logit (of mixed targets, the larger part).
    pub correct: Tensor<1>,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: Tensor<1>,
}

/// A part of computing gradients, for whoever takes the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Images to the loss, augmentations of batches included.
    Forward,
    /// The loss to the gradients.
    Backward,
}

/// The gradients of a whole batch, flat, in the order of [`parameters::infos`].
pub struct BatchGradients {
    /// One vector per parameter.
    pub gradients: Vec<Tensor<1>>,
    /// Mean loss of the batch, `[1]`.
    pub loss: Tensor<1>,
    /// Images whose class got the highest logit, `[1]`.
    pub correct: Tensor<1>,
    /// Their global norm, `[1]`, where the loss was scaled and they may have overflowed.
    norm: Option<Tensor<1>>,
}

/// The tensors of a learner, as checkpoints hold them.
pub(crate) struct Tensors {
    pub model: Vec<NamedTensor>,
    pub ema: Option<Vec<NamedTensor>>,
    pub optimizer: Vec<NamedTensor>,
}

impl Learner {
    /// A model with fresh weights, about to make its first step.
    ///
    /// # Errors
    /// Fields of the configurations that do not go together, by their path in an experiment.
    pub fn new(
        model: &ViTConfig,
        config: &TrainConfig,
        schedule: Schedule,
        seed: Seed,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::with_programs(model, config, &Programs::default(), schedule, seed, device)
    }

    /// The same with the programs of plugins.
    ///
    /// # Errors
    /// As [`Learner::new`], and programs that do not fit the model.
    pub fn with_programs(
        model: &ViTConfig,
        config: &TrainConfig,
        programs: &Programs,
        schedule: Schedule,
        seed: Seed,
        device: &Device,
    ) -> Result<Self, Error> {
        config.precision.check(device)?;
        let autodiff = device.clone().autodiff();
        let model = ViT::with_programs(model, &programs.attention, seed, &autodiff);
        let mut model = model.map_err(|problem| ConfigProblem {
            field: format!("model.{}", problem.field),
            ..problem
        })?;
        let micro_batch = config.batch.effective().div_ceil(config.accum_steps);
        plan_checkpointing(&mut model, config, micro_batch, device);
        let model = model.computing_in(config.precision.compute());
        let batch_program = |(index, program): (usize, &Arc<Program>)| {
            BatchProgram::new(program, model.config(), device).map_err(|message| ConfigProblem {
                field: format!("train.batch_augment[{index}]"),
                message,
                help: "the program must have been traced for this model".into(),
            })
        };
        let batch_programs =
            programs.batch.iter().enumerate().map(batch_program).collect::<Result<_, _>>()?;
        let infos = parameters::infos(&model);
        if let Some((index, group)) = unmatched(&infos, &config.groups) {
            return Err(Error::Experiment(ConfigProblem {
                field: format!("train.groups[{index}].parameters"),
                message: format!("`{}` matches no parameter of the model", group.parameters),
                help: "names look like `blocks.0.attn.qkv.weight`, and `*` stands for anything"
                    .into(),
            }));
        }
        let values = parameters::values(&model);
        Ok(Self {
            config: config.clone(),
            schedule,
            seed,
            groups: groups(&infos, model.config().depth(), config.layer_decay, &config.groups),
            infos,
            optimizer: OptimizerState::new(config.optimizer, &values),
            ema: config.ema.map(|decay| Ema::new(decay, values)),
            model,
            batch_programs,
            scaler: config.precision.scaling().map(LossScaler::new),
            skipped_steps: 0,
            micro_batch: config.batch.is_auto().then_some(config.batch.effective()),
            fault: None,
        })
    }

    /// Sets how many images go through the model at once, where the experiment leaves that open; all
    /// of a batch at first.
    ///
    /// # Panics
    /// If the experiment gives the number of micro-batches, or it is 0.
    pub fn set_micro_batch(&mut self, images: usize) {
        assert!(self.micro_batch.is_some() && images > 0, "micro-batches of `Auto`");
        self.micro_batch = Some(images);
        let device = self.model.head.weight.val().device();
        plan_checkpointing(&mut self.model, &self.config, images, &device);
    }

    /// Has memory run out where `fault` says so, for tests of what happens then.
    pub fn set_memory_fault(&mut self, fault: MemoryFault) {
        self.fault = Some(fault);
    }

    /// The model as it is trained.
    pub fn model(&self) -> &ViT {
        &self.model
    }

    /// Puts other weights in place, flat and in the order of [`parameters::infos`]; the moving
    /// average starts from them.
    ///
    /// # Panics
    /// If they are not as many, or not as long, as the model's.
    pub fn set_values(&mut self, values: Vec<Tensor<1>>) {
        if let Some(ema) = &mut self.ema {
            ema.values = values.clone();
        }
        self.model = parameters::with_values(self.model.clone(), values);
    }

    /// The model to evaluate, without autodiff: the moving average where there is one.
    pub fn evaluated(&self) -> ViT {
        let model = self.model.valid();
        match &self.ema {
            Some(ema) => parameters::with_values(model, ema.values.clone()),
            None => model,
        }
    }

    /// Names and shapes of the model's parameters.
    pub fn parameters(&self) -> &[ParameterInfo] {
        &self.infos
    }

    /// Forward, backward, clip and update, for the step of this number (counted from 0).
    ///
    /// Images are `[batch, height, width, channels]`, targets `[batch, classes]`. A step whose
    /// gradients cannot be read back to look for an overflow is skipped, too.
    pub fn step(&mut self, step: u64, images: Tensor<4>, targets: Tensor<2>) -> Learned {
        let gradients = self.gradients(step, images, targets);
        if self.overflowed(&gradients).unwrap_or(true) {
            return self.skip(gradients);
        }
        self.apply(step, gradients, 1.0)
    }

    /// Whether the loss is scaled, and the scale was too large for these gradients: some are infinite
    /// or not numbers. The step must then be skipped.
    ///
    /// # Errors
    /// The device fails.
    pub fn overflowed(&self, batch: &BatchGradients) -> Result<bool, Error> {
        let Some(norm) = &batch.norm else { return Ok(false) };
        let norm = norm.clone().try_into_scalar::<f32>();
        norm.map(|norm| !norm.is_finite()).map_err(|error| Error::Device(error.to_string()))
    }

    /// What takes the place of [`Learner::apply`] for gradients that [`Learner::overflowed`]: weights
    /// and averages stay as they are, and the loss scale is lowered.
    pub fn skip(&mut self, batch: BatchGradients) -> Learned {
        self.skipped_steps += 1;
        if let Some(scaler) = &mut self.scaler {
            scaler.overflowed();
        }
        let BatchGradients { gradients, loss, correct, norm } = batch;
        let gradient_norm = norm.unwrap_or_else(|| global_norm(&gradients));
        Learned { loss, correct, gradient_norm }
    }

    /// The loss scale, where there is one.
    pub fn loss_scale(&self) -> Option<LossScale> {
        self.scaler.as_ref().map(LossScaler::state)
    }

    /// Steps that were skipped.
    pub fn skipped_steps(&self) -> u64 {
        self.skipped_steps
    }

    /// Whether even the lowest loss scale did not make gradients finite.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.scaler.as_ref().is_some_and(LossScaler::is_exhausted)
    }

    /// Goes on with the loss scale and the count of skipped steps that a checkpoint has.
    pub(crate) fn restore_scale(&mut self, state: Option<LossScale>, skipped_steps: u64) {
        self.skipped_steps = skipped_steps;
        if let (Some(scaler), Some(state)) = (&mut self.scaler, state) {
            scaler.restore(state);
        }
    }

    /// The second half of a step: clip and update, with the scheduled learning rate times a scale.
    pub fn apply(&mut self, step: u64, batch: BatchGradients, rate_scale: f64) -> Learned {
        let BatchGradients { gradients, loss, correct, norm } = batch;
        let gradient_norm = norm.unwrap_or_else(|| global_norm(&gradients));
        let clip = self.config.clip_norm.map(|limit| clip_factor(&gradient_norm, limit));
        self.update(step, gradients, clip.as_ref(), rate_scale);
        if let Some(scaler) = &mut self.scaler {
            scaler.succeeded();
        }
        Learned { loss, correct, gradient_norm }
    }

    /// The gradients of a batch, computed in `accum_steps` micro-batches and equal to those of the
    /// whole, up to rounding. Noise and mixing belong to each micro-batch; with `batch: Auto(...)` to
    /// the whole batch, so that it does not matter how it is cut.
    pub fn gradients(&self, step: u64, images: Tensor<4>, targets: Tensor<2>) -> BatchGradients {
        self.gradients_watched(step, images, targets, &mut |_| {})
    }

    /// The same; `ended` is called at the end of both stages of every micro-batch. A device may
    /// still be computing then.
    pub fn gradients_watched(
        &self,
        step: u64,
        images: Tensor<4>,
        targets: Tensor<2>,
        ended: &mut dyn FnMut(Stage),
    ) -> BatchGradients {
        let batch = images.dims()[0];
        let size = self.micro_batch.unwrap_or_else(|| batch.div_ceil(self.config.accum_steps));
        let parts = (0..batch).step_by(size).map(|start| start..batch.min(start + size));
        self.gradients_of(step, parts.collect(), images, targets, ended)
    }

    /// The gradients of these parts of a batch; all together they are usually the whole.
    fn gradients_of(
        &self,
        step: u64,
        parts: Vec<Range<usize>>,
        mut images: Tensor<4>,
        mut targets: Tensor<2>,
        ended: &mut dyn FnMut(Stage),
    ) -> BatchGradients {
        let batch = images.dims()[0];
        let step_seed = self.seed.named("step").indexed(step);
        let is_cut_freely = self.micro_batch.is_some();
        // A program may look at any image of its batch, and draws for all of them.
        let is_augmented_whole = is_cut_freely && !self.batch_programs.is_empty();
        if is_augmented_whole {
            (images, targets) = self.augment(0..batch, images, targets, step_seed.indexed(0));
        }
        let mut accumulator = Accumulator::default();
        let mut losses = Vec::new();
        let mut hits = Vec::new();
        for (micro, part) in parts.into_iter().enumerate() {
            let (first, count) = (part.start, part.len());
            let (mode, seed) = if is_cut_freely {
                let seed = step_seed.indexed(0);
                (Mode::TrainPart { seed, first }, seed)
            } else {
                let seed = step_seed.indexed(micro as u64);
                (Mode::Train(seed), seed)
            };
            let (images, targets) = (images.clone(), targets.clone());
            let (images, targets) = if is_augmented_whole {
                (images.narrow(0, first, count), targets.narrow(0, first, count))
            } else if is_cut_freely {
                self.config.mix.apply_to(part, images, targets, seed)
            } else {
                let images = images.narrow(0, first, count);
                self.augment(0..count, images, targets.narrow(0, first, count), seed)
            };
            let logits = self.model.forward(images.autodiff(), mode);
            hits.push(count_hits(logits.clone().without_autodiff(), targets.clone()));
            // Weighted by its share of the batch, so that sums over micro-batches are means.
            let loss = self.config.loss.forward(logits, targets.autodiff())
                * (count as f64 / batch as f64);
            ended(Stage::Forward);
            if self.fault.as_ref().is_some_and(|fault| fault(step, count)) {
                // As Burn's GPU backends do, but without the message of a panic.
                resume_unwind(Box::new(format!("{} (a fault for a test)", OUT_OF_MEMORY[0])));
            }
            let mut gradients = match &self.scaler {
                Some(scaler) => scaler.scale(loss.clone()).backward(),
                None => loss.backward(),
            };
            accumulator.add(parameters::gradients(&self.model, &mut gradients));
            ended(Stage::Backward);
            losses.push(loss.without_autodiff());
        }
        let mut gradients = accumulator.finish();
        let mut norm = None;
        if let Some(scaler) = &self.scaler {
            gradients = scaler.unscale(gradients);
            norm = Some(global_norm(&gradients));
        }
        BatchGradients {
            gradients,
            norm,
            loss: Tensor::cat(losses, 0).sum(),
            correct: Tensor::cat(hits, 0).sum(),
        }
    }

    /// Mixes some images of a batch and has the plugins' programs change them.
    fn augment(
        &self,
        part: Range<usize>,
        images: Tensor<4>,
        targets: Tensor<2>,
        seed: Seed,
    ) -> (Tensor<4>, Tensor<2>) {
        let (mut images, mut targets) = self.config.mix.apply_to(part, images, targets, seed);
        for (index, program) in self.batch_programs.iter().enumerate() {
            let seed = seed.named("batch_augment").indexed(index as u64);
            (images, targets) = program.run(images, targets, seed);
        }
        (images, targets)
    }

    /// [`Learner::gradients`], and an error where memory runs out, after which everything is as it
    /// was before: the same step can be made again, in smaller micro-batches.
    ///
    /// On a GPU it waits for the result, since a GPU's allocations fail when something is read.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or the device fails in another way.
    pub fn gradients_within_memory(
        &self,
        step: u64,
        images: Tensor<4>,
        targets: Tensor<2>,
    ) -> Result<BatchGradients, Error> {
        within_memory(|| {
            let gradients = self.gradients(step, images, targets);
            wait_for(&gradients)?;
            Ok(gradients)
        })
    }

    /// Runs forward and backward as a step of `batch` images in micro-batches of this size would, and
    /// forgets the result: one micro-batch of a single image, and then one of this size while the
    /// first one's gradients wait to be added to.
    ///
    /// Weights, averages and random streams stay as they are. `is_fresh` says that no step has been
    /// made: what the first one adds for good is then held meanwhile.
    ///
    /// # Errors
    /// As [`Learner::gradients_within_memory`].
    pub(crate) fn rehearse(&self, batch: usize, size: usize, is_fresh: bool) -> Result<(), Error> {
        let values = parameters::values(&self.model);
        let device = values[0].device().without_autodiff();
        within_memory(|| {
            // Zeros take no memory on the CPU until they are written to; the moving average shares
            // the weights' memory until both differ.
            let zeros = if is_cpu(&device) { self.config.optimizer.slots().len() } else { 0 };
            let added = if is_fresh { zeros + usize::from(self.ema.is_some()) } else { 0 };
            let added = values.iter().flat_map(|value| (0..added).map(|_| value.ones_like()));
            let added: Vec<Tensor<1>> = added.collect();
            let config = self.model.config();
            let side = config.image_size;
            // By way of the host, as the images of a step come.
            let shape = [batch, side, side, config.channels];
            let images = vec![0.5_f32; shape.iter().product()];
            let images = Tensor::from_data(TensorData::new(images, shape), &device);
            let target = 1.0 / config.classes as f64;
            let targets = Tensor::full([batch, config.classes], target, &device);
            // Neighbours that are as many as in a step, without their time.
            let mut parts = Vec::new();
            if size < batch {
                parts.push(0..1);
            }
            parts.push(batch - size.min(batch)..batch);
            let gradients = self.gradients_of(0, parts, images, targets, &mut |_| {});
            wait_for(&gradients)?;
            // What clipping and the update hold at the same time.
            let norm = global_norm(&gradients.gradients);
            let clipped = match self.config.clip_norm {
                // On the CPU clipping is part of the update's one pass.
                Some(limit) if !is_cpu(&device) => {
                    scale(gradients.gradients.clone(), &clip_factor(&norm, limit))
                }
                _ => gradients.gradients.clone(),
            };
            let updated: Vec<_> = values.iter().zip(clipped).map(|(v, g)| v.clone() - g).collect();
            drop((updated, added));
            Ok(())
        })
    }

    /// Statistics of every parameter's gradient and values.
    ///
    /// # Errors
    /// The device fails.
    pub(crate) fn statistics(
        &self,
        gradients: &BatchGradients,
    ) -> Result<Vec<ParameterStatistics>, Error> {
        let values = parameters::values(&self.model);
        parameter_statistics(&self.infos, &gradients.gradients, &values)
    }

    fn update(
        &mut self,
        step: u64,
        gradients: Vec<Tensor<1>>,
        clip: Option<&Tensor<1>>,
        rate_scale: f64,
    ) {
        let config = &self.config;
        // Averages have seen nothing of the steps that were skipped.
        let update = (step + 1).saturating_sub(self.skipped_steps).max(1);
        let hyper = Hyper {
            learning_rate: self.schedule.learning_rate(step) * rate_scale,
            weight_decay: weight_decay(
                config.weight_decay,
                config.weight_decay_end,
                step,
                self.schedule.total,
            ),
            update,
        };
        let values = parameters::values(&self.model);
        let ema = self.ema.as_mut();
        let values = self.optimizer.step(values, gradients, clip, &self.groups, hyper, ema);
        self.model = parameters::with_values(self.model.clone(), values);
    }

    /// Reads everything back from the device.
    pub(crate) fn export(&self) -> Result<Tensors, Error> {
        let mut optimizer = Vec::new();
        for (index, slot) in self.config.optimizer.slots().iter().enumerate() {
            let averages: Vec<Tensor<1>> =
                self.optimizer.slots.iter().map(|slots| slots[index].clone()).collect();
            optimizer.extend(self.named(&format!("{slot}/"), &averages)?);
        }
        Ok(Tensors {
            model: self.named("", &parameters::values(&self.model))?,
            ema: self.ema.as_ref().map(|ema| self.named("", &ema.values)).transpose()?,
            optimizer,
        })
    }

    /// Puts everything back on the device.
    ///
    /// # Errors
    /// The first tensor that is missing or of another shape, in words.
    pub(crate) fn import(&mut self, tensors: &Tensors, device: &Device) -> Result<(), String> {
        let load =
            |tensors: &[NamedTensor], prefix: &str| to_device(tensors, &self.infos, prefix, device);
        let values = load(&tensors.model, "")?;
        let average = tensors.ema.as_deref().map(|ema| load(ema, "")).transpose()?;
        let slots = self.config.optimizer.slots();
        let averages: Vec<Vec<Tensor<1>>> = slots
            .iter()
            .map(|slot| load(&tensors.optimizer, &format!("{slot}/")))
            .collect::<Result<_, _>>()?;
        for (index, tensors) in averages.into_iter().enumerate() {
            for (slots, tensor) in self.optimizer.slots.iter_mut().zip(tensors) {
                slots[index] = tensor;
            }
        }
        self.set_values(values);
        if let (Some(ema), Some(average)) = (&mut self.ema, average) {
            ema.values = average;
        }
        Ok(())
    }

    fn named(&self, prefix: &str, tensors: &[Tensor<1>]) -> Result<Vec<NamedTensor>, Error> {
        self.infos
            .iter()
            .zip(tensors)
            .map(|(info, tensor)| {
                NamedTensor::from_device(format!("{prefix}{}", info.name), &info.shape, tensor)
            })
            .collect()
    }
}

/// Chooses the blocks that compute their activations again, for micro-batches of so many images.
fn plan_checkpointing(model: &mut ViT, config: &TrainConfig, micro_batch: usize, device: &Device) {
    let plan = config.activation_checkpointing;
    let plan = plan.plan(model.config(), micro_batch, is_cpu(device));
    model.set_activation_checkpointing(plan);
}

/// How many images of a batch got their (largest) target's class, `[1]`.
fn count_hits(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    logits.argmax(1).equal(targets.argmax(1)).float().sum()
}

/// What Burn's backends call it when memory runs out; `_` and `-` are blanks here.
const OUT_OF_MEMORY: [&str; 3] = ["out of memory", "out of device memory", "can't allocate"];

/// Runs something that may run out of memory, which Burn tells by an error or by a panic.
fn within_memory<R>(body: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    // Nothing that the caller sees is changed before it succeeds.
    let failed = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Err(Error::Device(message))) => message,
        Ok(result) => return result,
        Err(panic) => match panic_message(&*panic) {
            Some(message) if is_out_of_memory(&message) => message,
            _ => resume_unwind(panic),
        },
    };
    Err(if is_out_of_memory(&failed) {
        // A backtrace may follow.
        Error::OutOfMemory(failed.lines().next().unwrap_or_default().to_owned())
    } else {
        Error::Device(failed)
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
}

fn is_out_of_memory(message: &str) -> bool {
    let message = message.to_lowercase().replace(['_', '-'], " ");
    OUT_OF_MEMORY.iter().any(|words| message.contains(words))
}

/// Waits until a GPU has computed gradients, and tells whether it could.
fn wait_for(batch: &BatchGradients) -> Result<(), Error> {
    if is_cpu(&batch.loss.device()) {
        return Ok(());
    }
    // It depends on all of them.
    let all = global_norm(&batch.gradients) + batch.loss.clone();
    all.try_into_scalar::<f32>().map(drop).map_err(|error| Error::Device(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_memory_is_told_from_other_failures() {
        for message in [
            "out of device memory allocating 1024 bytes\n  backtrace",
            "An out-of-memory error happened during launch",
            "CUDA_ERROR_OUT_OF_MEMORY",
            "can't allocate buffer of size: 99",
        ] {
            let told = within_memory(|| Err::<(), _>(Error::Device(message.into())));
            assert!(matches!(told, Err(Error::OutOfMemory(_))), "{message}");
            let panicked = within_memory::<()>(|| resume_unwind(Box::new(message.to_owned())));
            assert!(matches!(panicked, Err(Error::OutOfMemory(_))), "{message}");
        }
        let told = within_memory(|| Err::<(), _>(Error::Device("device lost".into())));
        assert!(matches!(told, Err(Error::Device(message)) if message == "device lost"));
        let panicked = catch_unwind(|| within_memory::<()>(|| resume_unwind(Box::new("a bug"))));
        assert!(panicked.is_err(), "other panics go on");
    }
}
