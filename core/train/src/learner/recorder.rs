//! Micro-batches that a GPU repeats on its own: forward and backward are recorded once, and then each micro-batch is a
//! few launches, whatever the model. What goes in is written to where the recorded launches read it, and so are the
//! weights after an update.

use burn::tensor::{Device, Tensor};
use vitral_burn::{
    kernels::scaled,
    recording::{self, Drawn, Recording},
};
use vitral_model::{ViT, parameters};

use super::{
    Learner,
    batch_gradients::{AtHand, Cut, Figures, Input, PartGradients, Stage},
};
use crate::experiment::TrainConfig;

/// How forward and backward come to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launches {
    /// One by one, in each step.
    Single,
    /// Recorded, and repeated by the device.
    Repeated,
}

/// What is recorded, and what may come to be.
#[derive(Default)]
pub(super) struct Recorder {
    is_on: bool,
    /// The kinds of micro-batches that came since one was repeated, and how many of each.
    seen: Vec<(Kind, u32)>,
    recorded: Option<(Kind, Recording<PartGradients>)>,
    /// Why steps are not recorded, as a clause.
    obstacle: Option<String>,
    /// Whether users know.
    pub(super) is_told: bool,
}

/// What must be the same for a recording to be that of a micro-batch, besides the model.
#[derive(Clone, Copy, PartialEq)]
struct Kind {
    images: [usize; 4],
    targets: [usize; 2],
    share: f64,
    loss_scale: Option<f64>,
}

/// Micro-batches of a kind that run before the next one is recorded: kernels are compiled then, and tuned.
const BEFORE: u32 = 2;

impl Learner {
    /// How forward and backward come to the device.
    pub const fn launches(&self) -> Launches {
        match &self.recorder.recorded {
            Some(_) => Launches::Repeated,
            None => Launches::Single,
        }
    }

    /// What to tell users where steps are not recorded, though they were to be, and why; once.
    pub fn obstacle_to_recording(&mut self) -> Option<String> {
        let obstacle = self.recorder.obstacle.as_ref().filter(|_| !self.recorder.is_told)?;
        self.recorder.is_told = true;
        Some(format!("each step is launched kernel by kernel: {obstacle}"))
    }

    /// Forward and backward of one micro-batch, of `several` or alone in its step: repeated, if it was recorded.
    pub(super) fn part_or_repeated(
        &mut self,
        step: u64,
        cut: Cut,
        at_hand: &AtHand,
        several: bool,
        ended: &mut dyn FnMut(Stage),
    ) -> PartGradients {
        if !self.recorder.is_on {
            return self.part(step, cut, at_hand, ended);
        }
        self.fail_for_test(step, cut.range.len());
        let input = self.input(step, cut, at_hand);
        let kind = self.kind(&input);
        if self.recorder.is_to_record(kind) {
            self.record(kind, &input);
        }
        if self.recorder.has(kind) {
            let drawn = self.drawn(&input);
            if let Some(part) = self.recorder.repeated(&self.model, &input, drawn) {
                return if several { part.copied() } else { part };
            }
        }
        let varied = recording::varied();
        let part = self.part_of(input, ended);
        let now = recording::varied();
        self.recorder.saw(kind, (now != varied).then_some(now.why));
        part
    }

    fn part_of(&self, input: Input, ended: &mut dyn FnMut(Stage)) -> PartGradients {
        let forward = tracing::trace_span!("forward").entered();
        let (mut gradients, figures) = self.backward_of(&self.model, input, forward, ended);
        PartGradients { gradients: parameters::gradients(&self.model, &mut gradients), figures }
    }

    /// What is drawn for a micro-batch.
    fn drawn(&self, input: &Input) -> Vec<Drawn> {
        let [batch, height, width, _] = input.images.dims();
        self.model.drawn(batch, [height, width], input.mode)
    }

    fn kind(&self, input: &Input) -> Kind {
        Kind {
            images: input.images.dims(),
            targets: input.targets.dims(),
            share: input.share,
            loss_scale: self.loss_scale().map(|state| state.scale),
        }
    }

    fn record(&mut self, kind: Kind, input: &Input) {
        self.recorder.recorded = None;
        // Nobody else may hold what updates write over.
        let values = scaled(parameters::values(&self.model), 1.0);
        let held = self.model.clone();
        self.model = parameters::with_values(held.clone(), values);
        let images = recording::own(input.images.clone());
        let targets = recording::own(input.targets.clone());
        let mut inputs = parameters::tensors(&self.model);
        inputs.extend([images.clone().into_dispatch(), targets.clone().into_dispatch()]);
        let part = || {
            let (images, targets) = (images.clone(), targets.clone());
            self.part_of(Input { images, targets, ..*input }, &mut |_| {})
        };
        match Recording::new(inputs, self.drawn(input), &self.device(), part) {
            Ok(recording) => self.recorder.recorded = Some((kind, recording)),
            Err(why) => {
                self.model = held;
                self.recorder.stop(why);
            }
        }
    }
}

impl Recorder {
    pub(super) fn new(config: &TrainConfig, device: &Device) -> Self {
        // With `batch: Auto(...)`, micro-batches take all memory, and another size at any time.
        let is_on = config.record_steps && !config.batch.is_auto() && recording::repeats(device);
        Self { is_on, ..Self::default() }
    }

    /// Forgets what was recorded, since it is no longer what steps do.
    pub(super) fn forget(&mut self) {
        (self.recorded, self.seen) = (None, Vec::new());
    }

    fn stop(&mut self, why: String) {
        // Errors of a device have several lines, and a backtrace behind them.
        let said = why.split("Backtrace").next().unwrap_or_default();
        let said: Vec<&str> = said.split_whitespace().collect();
        *self = Self { obstacle: Some(said.join(" ")), ..Self::default() };
    }

    fn is_to_record(&self, kind: Kind) -> bool {
        self.seen.iter().any(|&(seen, times)| seen == kind && times >= BEFORE)
    }

    /// Notes that a micro-batch ran by single launches, and what of it, if anything, cannot be recorded.
    fn saw(&mut self, kind: Kind, varies: Option<&'static str>) {
        if let Some(why) = varies {
            self.obstacle.get_or_insert_with(|| why.into());
            return;
        }
        match self.seen.iter_mut().find(|(seen, _)| *seen == kind) {
            Some((_, times)) => *times += 1,
            None => self.seen.push((kind, 1)),
        }
    }

    fn has(&self, kind: Kind) -> bool {
        self.recorded.as_ref().is_some_and(|(recorded, _)| *recorded == kind)
    }

    /// The micro-batch, of the kind that was recorded, if that was with this model.
    fn repeated(&mut self, model: &ViT, input: &Input, drawn: Vec<Drawn>) -> Option<PartGradients> {
        let (_, recording) = self.recorded.as_ref()?;
        let parameters = parameters::tensors(model);
        let count = parameters.len();
        if !recording.reads(0, parameters) {
            self.forget();
            return None;
        }
        let (images, targets) = (input.images.clone(), input.targets.clone());
        let device = images.device();
        let drawn = drawn.into_iter().map(|drawn| drawn.on(&device).into_dispatch());
        let inputs = [images.into_dispatch(), targets.into_dispatch()].into_iter().chain(drawn);
        match recording.write(count, inputs.collect()).and_then(|()| recording.repeat()) {
            Ok(part) => {
                self.seen.clear();
                Some(part.clone())
            }
            Err(why) => {
                self.stop(why);
                None
            }
        }
    }

    /// Writes new values over those of a model, if it is the one that was recorded; otherwise gives them back.
    pub(super) fn written(
        &mut self,
        model: &ViT,
        values: Vec<Tensor<1>>,
    ) -> Option<Vec<Tensor<1>>> {
        let Some((_, recording)) = &self.recorded else { return Some(values) };
        if !recording.reads(0, parameters::tensors(model)) {
            self.forget();
            return Some(values);
        }
        let new = values.iter().cloned().map(Tensor::into_dispatch).collect();
        match recording.write(0, new) {
            Ok(()) => None,
            Err(why) => {
                self.stop(why);
                Some(values)
            }
        }
    }
}

impl PartGradients {
    /// The same in memory of its own.
    fn copied(self) -> Self {
        let Figures { loss, correct } = self.figures;
        let figures = Figures { loss: recording::own(loss), correct: recording::own(correct) };
        Self { gradients: scaled(self.gradients, 1.0), figures }
    }
}

#[cfg(all(test, feature = "wgpu"))]
mod tests {
    use burn::tensor::TensorData;
    use vitral_model::{
        ViTConfig,
        device::{DeviceChoice, Gpu},
        token_merging::TokenMerging,
        token_reorganization::TokenReorganization,
    };
    use vitral_seed::Seed;

    use super::*;
    use crate::schedule::{Decay, Schedule};

    const BATCH: usize = 6;

    fn model() -> ViTConfig {
        ViTConfig {
            image_size: 16,
            patch_size: Some(4),
            width: Some(32),
            depth: Some(2),
            heads: Some(2),
            classes: 3,
            ..ViTConfig::default()
        }
    }

    fn learner(model: &ViTConfig, config: &TrainConfig, record_steps: bool) -> Learner {
        let device = DeviceChoice::Gpu(Gpu::Wgpu, 0).open().unwrap();
        let config = TrainConfig { record_steps, ..config.clone() };
        let schedule = Schedule {
            decay: Decay::Linear,
            peak: 0.01,
            floor: 0.0,
            warmup: 2,
            total: 20,
            ..Schedule::default()
        };
        Learner::new(model, &config, schedule, Seed::new(5), &device).unwrap()
    }

    fn read(tensors: Vec<Tensor<1>>) -> Vec<u32> {
        let read = |tensor: Tensor<1>| tensor.try_into_vec_as::<f32>().unwrap();
        tensors.into_iter().flat_map(read).map(f32::to_bits).collect()
    }

    /// Makes a step with other images than the last one's; its loss, the norm of its gradients, and the weights.
    fn step(learner: &mut Learner, step: u64, images: usize) -> Vec<u32> {
        let device = learner.device();
        let value = |at: usize| ((at + 97 * step as usize) as f32 * 0.37).sin();
        let shape = [images, 16, 16, 3];
        let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
        let pixels = Tensor::from_data(TensorData::new(values, shape), &device);
        let labels: Vec<u32> = (0..images as u32).map(|at| (at + step as u32) % 3).collect();
        let targets = crate::loss::targets(&labels, 3, 0.1, &device);
        let learned = learner.step(step, pixels, targets).unwrap();
        let values = parameters::values(&learner.evaluated().unwrap());
        let figures = [learned.loss, learned.correct, learned.gradient_norm];
        read(figures.into_iter().chain(values).collect())
    }

    /// Asserts that steps are the same with and without recording, and after which of them they are repeated.
    fn assert_same(model: &ViTConfig, config: &TrainConfig, images: &[usize], repeated: &[bool]) {
        let [mut single, mut recorded] = [false, true].map(|record| learner(model, config, record));
        for (number, (&images, &repeated)) in images.iter().zip(repeated).enumerate() {
            let [single, recorded_step] =
                [&mut single, &mut recorded].map(|learner| step(learner, number as u64, images));
            assert!(single == recorded_step, "step {number} of {config:?}");
            assert_repeated(&recorded, repeated, number as u64);
        }
    }

    fn assert_repeated(learner: &Learner, repeated: bool, number: u64) {
        let (launches, obstacle) = (learner.launches(), &learner.recorder.obstacle);
        assert_eq!(launches == Launches::Repeated, repeated, "step {number}: {obstacle:?}");
    }

    #[test]
    fn what_a_gpu_repeats_are_the_steps_that_it_was_to_make() {
        let plain = TrainConfig { ema: Some(0.9), ..TrainConfig::default() };
        assert_same(&model(), &plain, &[BATCH; 6], &[false, false, true, true, true, true]);
        // Several micro-batches, whose gradients add up.
        let several = TrainConfig { accum_steps: 3, clip_norm: Some(0.1), ..plain.clone() };
        assert_same(&model(), &several, &[BATCH; 4], &[true; 4]);
    }

    #[test]
    fn a_gpu_repeats_no_batch_of_another_size() {
        let plain = TrainConfig { clip_norm: None, ..TrainConfig::default() };
        let sizes = [BATCH, BATCH, BATCH, 4, BATCH, 4, 4, 4];
        let repeated = [false, false, true, true, true, true, true, true];
        assert_same(&model(), &plain, &sizes, &repeated);
    }

    #[test]
    fn a_gpu_repeats_no_noise_that_it_draws_itself_and_says_so_once() {
        let noisy = ViTConfig { dropout: 0.5, ..model() };
        assert_same(&noisy, &TrainConfig::default(), &[BATCH; 4], &[false; 4]);
        let mut learner = learner(&noisy, &TrainConfig::default(), true);
        let mut told = Vec::new();
        for number in 0..2 {
            step(&mut learner, number, BATCH);
            told.extend(learner.obstacle_to_recording());
        }
        let expected = "each step is launched kernel by kernel: dropout draws in each step anew";
        assert_eq!(told, [expected]);
    }

    #[test]
    fn a_gpu_repeats_steps_that_leave_out_tokens() {
        let config = TrainConfig { accum_steps: 2, ..TrainConfig::default() };
        let keeping = Some(TokenReorganization::keeping(0.5));
        let leaving = ViTConfig { class_token: true, token_reorganization: keeping, ..model() };
        assert_same(&leaving, &config, &[BATCH; 3], &[false, true, true]);
    }

    #[test]
    fn a_gpu_repeats_steps_that_merge_what_is_kept_of_the_patches() {
        let config = TrainConfig { accum_steps: 2, ..TrainConfig::default() };
        let merging = ViTConfig {
            patch_dropout: 0.5,
            drop_path: 0.2,
            token_merging: Some(TokenMerging::constant(2)),
            ..model()
        };
        let mut learners = [false, true].map(|record| learner(&merging, &config, record));
        // Another share is recorded anew.
        let rates = [(0.5, false), (0.5, true), (0.5, true), (0.25, false), (0.25, true)];
        for ((rate, repeated), number) in rates.into_iter().zip(0..) {
            for learner in &mut learners {
                learner.set_patch_dropout(rate);
            }
            let [single, recorded] =
                learners.each_mut().map(|learner| step(learner, number, BATCH));
            assert!(single == recorded, "step {number}");
            assert_repeated(&learners[1], repeated, number);
        }
    }

    #[test]
    fn a_gpu_repeats_what_stochastic_depth_draws() {
        let plain = TrainConfig { accum_steps: 2, ..TrainConfig::default() };
        let dropping = ViTConfig { drop_path: 0.5, drop_path_uniform: true, ..model() };
        assert_same(&dropping, &plain, &[BATCH; 5], &[false, true, true, true, true]);
        // Not all of its blocks are one kernel.
        let other = ViTConfig { qk_norm: true, ..dropping };
        assert_same(&other, &plain, &[BATCH; 5], &[false, true, true, true, true]);
    }

    #[test]
    fn a_gpu_repeats_steps_with_weights_that_were_put_in_place() {
        let config = TrainConfig { ema: Some(0.5), ..TrainConfig::default() };
        let mut learners = [false, true].map(|record| learner(&model(), &config, record));
        let mut last = Vec::new();
        for number in 0..8 {
            if number == 4 {
                for learner in &mut learners {
                    let values = parameters::values(learner.model()).into_iter();
                    learner.set_values(values.map(|values| values * 0.5).collect());
                }
            }
            let [single, recorded] =
                learners.each_mut().map(|learner| step(learner, number, BATCH));
            assert!(single == recorded, "step {number}");
            assert_ne!(single, last);
            last = single;
        }
        assert_eq!(learners[1].launches(), Launches::Repeated);
    }
}
