//! One optimizer step, and all that it changes: the model, the optimizer's averages, the weights'
//! moving average.

mod batch_gradients;
mod exchange;
mod on_gpus;
mod optimizer_shard;
mod own_sum;
mod prune;
mod recorder;
mod rehearse;
mod shared;
mod tensors;
mod within_memory;

use std::sync::Arc;

use burn::{module::Module, tensor::Tensor};
use vitral_host::ParameterStatistics;
use vitral_model::{
    ConfigProblem, ViT, ViTConfig,
    device::Device,
    parameters::{self, ParameterInfo},
};
use vitral_program::Program;
use vitral_seed::Seed;

pub use self::{
    batch_gradients::{BatchGradients, Stage},
    recorder::Launches,
    within_memory::MemoryFault,
};
use self::{optimizer_shard::OptimizerShard, recorder::Recorder};
pub(crate) use self::{own_sum::Gradient, shared::Share};
use crate::{
    Error,
    class_weights::ImageWeights,
    ema::Ema,
    experiment::TrainConfig,
    gradients::{clip_factor, global_norm},
    groups::{ParameterGroup, groups, unmatched, unmatched_frozen},
    loss_scale::{LossScale, LossScaler},
    optimizer::{Hyper, OptimizerState},
    plugins::{BatchProgram, Programs},
    prune::{Importance, Tracker},
    ranks::Ranks,
    read_back::scalar,
    schedule::Schedule,
    statistics::parameter_statistics,
    teacher::{Teacher, TeacherLogits},
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
    teacher: Option<Teacher>,
    class_weights: Option<ImageWeights>,
    optimizer: OptimizerState,
    ema: Option<Ema>,
    /// What heads and hidden neurons matter, where the model is pruned by it.
    importance: Option<Tracker>,
    scaler: Option<LossScaler>,
    skipped_steps: u64,
    /// Images that go through the model at once, where the experiment leaves that open.
    micro_batch: Option<usize>,
    ranks: Ranks,
    /// The part of the weights that this rank moves, where each has one; then `groups`, `optimizer` and `ema` are
    /// those of its pieces.
    shard: Option<OptimizerShard>,
    recorder: Recorder,
    fault: Option<MemoryFault>,
}

/// What a step leaves on the device, to be read only when it is wanted; all `[1]`.
pub struct Learned {
    /// Mean loss of the batch.
    pub loss: Tensor<1>,
    /// Images whose class got the highest logit (of mixed targets, the larger part).
    pub correct: Tensor<1>,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: Tensor<1>,
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
        let mut model = model.computing_in(config.precision.compute());
        if config.patch_dropout_epochs.is_some() {
            // Until a step says otherwise it takes the memory of all patches.
            model.set_patch_dropout(0.0);
        }
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
        let whole = prune::whole_infos(&model, &infos, &programs.attention, &autodiff)?;
        if let Some((index, group)) = unmatched(&whole, &config.groups) {
            return Err(Error::Experiment(ConfigProblem {
                field: format!("train.groups[{index}].parameters"),
                message: format!("`{}` matches no parameter of the model", group.parameters),
                help: "names look like `blocks.0.attn.qkv.weight`, and `*` stands for anything"
                    .into(),
            }));
        }
        if let Some((index, pattern)) = unmatched_frozen(&whole, &config.frozen) {
            return Err(Error::Experiment(ConfigProblem {
                field: format!("train.frozen[{index}]"),
                message: format!("`{pattern}` matches no parameter of the model"),
                help: "names look like `blocks.0.attn.qkv.weight`, and `*` stands for anything"
                    .into(),
            }));
        }
        let depth = model.config().depth();
        let values = parameters::values(&model);
        let groups = groups(&infos, depth, config.layer_decay, &config.groups, &config.frozen);
        if config.prune.is_some() {
            prune::check_trained(&infos, &groups)?;
        }
        let tracked = config.prune.is_some_and(|prune| prune.importance == Importance::Taylor);
        let tracker = || Tracker::new(model.config(), &infos, device);
        Ok(Self {
            config: config.clone(),
            schedule,
            seed,
            importance: tracked.then(tracker),
            groups,
            optimizer: OptimizerState::new(config.optimizer, &infos, &values),
            infos,
            ema: config.ema.map(|decay| Ema::new(decay, values)),
            model,
            batch_programs,
            teacher: None,
            class_weights: None,
            scaler: config.precision.scaling().map(LossScaler::new),
            skipped_steps: 0,
            micro_batch: config.batch.is_auto().then_some(config.batch.effective()),
            ranks: Ranks::default(),
            shard: None,
            recorder: Recorder::new(config, device),
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

    /// The file that has its teacher's logits, if one has.
    pub(crate) fn teacher_logits(&self) -> Option<&Arc<TeacherLogits>> {
        self.teacher.as_ref().and_then(Teacher::file)
    }

    /// Columns of its batches' targets: the classes, and as many logits of the teacher where a file has these.
    pub(crate) fn target_columns(&self) -> usize {
        self.model.config().classes * (1 + usize::from(self.teacher_logits().is_some()))
    }

    /// Learns from a teacher, too, from now on.
    pub(crate) fn set_teacher(&mut self, teacher: Teacher) {
        self.recorder.forget();
        self.teacher = Some(teacher);
    }

    /// Has images count in the loss by their class from now on.
    pub(crate) fn set_class_weights(&mut self, weights: Option<ImageWeights>) {
        self.recorder.forget();
        self.class_weights = weights;
    }

    /// Follows another schedule from now on.
    pub(crate) fn set_schedule(&mut self, schedule: Schedule) {
        self.schedule = schedule;
    }

    /// Sets the share of the patches that training images lose from now on, as
    /// [`ViT::set_patch_dropout`].
    pub fn set_patch_dropout(&mut self, rate: f64) {
        if self.model.patch_dropout() != rate {
            self.recorder.forget();
            self.model.set_patch_dropout(rate);
        }
    }

    /// The model as it is trained. Where a GPU [repeats](Learner::launches) steps, its weights lie where the next
    /// step writes them.
    pub fn model(&self) -> &ViT {
        &self.model
    }

    /// Puts other weights in place, flat and in the order of [`parameters::infos`]; the moving
    /// average starts from them.
    ///
    /// # Panics
    /// If they are not as many, or not as long, as the model's.
    pub fn set_values(&mut self, values: Vec<Tensor<1>>) {
        self.restart_average(values.clone());
        self.model = parameters::with_values(self.model.clone(), values);
    }

    /// The model to evaluate, without autodiff: the moving average where there is one. As with [`Learner::model`], its
    /// weights may be overwritten by the next step.
    ///
    /// # Errors
    /// Each rank has a part of that, and the device fails.
    pub fn evaluated(&self) -> Result<ViT, Error> {
        let model = self.model.valid();
        Ok(match &self.ema {
            Some(ema) => parameters::with_values(model, self.whole(&ema.values)?),
            None => model,
        })
    }

    /// Names and shapes of the model's parameters.
    pub fn parameters(&self) -> &[ParameterInfo] {
        &self.infos
    }

    /// Forward, backward, clip and update, for the step of this number (counted from 0).
    ///
    /// Images are `[batch, height, width, channels]`, targets `[batch, classes]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn step(
        &mut self,
        step: u64,
        images: Tensor<4>,
        targets: Tensor<2>,
    ) -> Result<Learned, Error> {
        let gradients = self.gradients(step, images, targets);
        if self.overflowed(&gradients)? {
            return Ok(self.skip(gradients));
        }
        self.apply(step, gradients, 1.0)
    }

    /// Whether the loss is scaled, and the scale was too large for these gradients: some are infinite
    /// or not numbers. The step must then be skipped.
    ///
    /// # Errors
    /// The device fails.
    pub fn overflowed(&self, batch: &BatchGradients) -> Result<bool, Error> {
        let Some(norm) = batch.norm.as_ref().filter(|_| self.scaler.is_some()) else {
            return Ok(false);
        };
        Ok(!scalar(norm.clone())?.is_finite())
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
    ///
    /// # Errors
    /// Each rank has moved a part of the weights, and the device fails.
    pub fn apply(
        &mut self,
        step: u64,
        batch: BatchGradients,
        rate_scale: f64,
    ) -> Result<Learned, Error> {
        let BatchGradients { gradients, loss, correct, norm } = batch;
        let gradient_norm = norm.unwrap_or_else(|| global_norm(&gradients));
        let clip = self.config.clip_norm.map(|limit| clip_factor(&gradient_norm, limit));
        self.update(step, gradients, clip.as_ref(), rate_scale)?;
        if let Some(scaler) = &mut self.scaler {
            scaler.succeeded();
        }
        Ok(Learned { loss, correct, gradient_norm })
    }

    /// Statistics of every parameter's gradient and values, on the rank that tells them; where each has a part,
    /// all take part.
    ///
    /// # Errors
    /// The device fails.
    pub(crate) fn statistics(
        &self,
        gradients: &BatchGradients,
    ) -> Result<Vec<ParameterStatistics>, Error> {
        let values = parameters::values(&self.model);
        let gradients = self.whole(&gradients.gradients)?;
        match self.ranks.is_first() {
            true => parameter_statistics(&self.infos, &gradients, &values),
            false => Ok(Vec::new()),
        }
    }

    fn update(
        &mut self,
        step: u64,
        gradients: Vec<Tensor<1>>,
        clip: Option<&Tensor<1>>,
        rate_scale: f64,
    ) -> Result<(), Error> {
        let config = &self.config;
        // Averages have seen nothing of the steps that were skipped.
        let update = (step + 1).saturating_sub(self.skipped_steps).max(1);
        let hyper = Hyper {
            learning_rate: self.schedule.learning_rate(step) * rate_scale,
            weight_decay: self.schedule.weight_decay(
                config.weight_decay,
                config.weight_decay_end,
                step,
            ),
            update,
        };
        let values = self.moved(parameters::values(&self.model))?;
        let ema = self.ema.as_mut();
        let values = self.optimizer.step(values, gradients, clip, &self.groups, hyper, ema);
        if let Some(ema) = &mut self.ema {
            ema.keep_frozen(&values, &self.groups);
        }
        let values = if self.shard.is_some() { self.whole(&values)? } else { values };
        if let Some(values) = self.recorder.written(&self.model, values) {
            self.model = parameters::with_values(self.model.clone(), values);
        }
        Ok(())
    }
}

/// Chooses the blocks that compute their activations again, for micro-batches of so many images.
fn plan_checkpointing(model: &mut ViT, config: &TrainConfig, micro_batch: usize, device: &Device) {
    let plan = config.activation_checkpointing;
    let plan = plan.plan(model, micro_batch, device);
    model.set_activation_checkpointing(plan);
}
