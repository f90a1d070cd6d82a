//! The hyper-parameters of training.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_config::PluginUse;
use vitral_data::ImageSizeStage;
use vitral_model::ActivationCheckpointing;

use super::Every;
use crate::{
    batch_size::BatchSize,
    class_weights::ClassWeights,
    groups::GroupOverride,
    loss::Loss,
    mix::Mix,
    optimizer::Optimizer,
    precision::Precision,
    prune::PruneConfig,
    schedule::{Decay, ScheduleOn},
    teacher::TeacherConfig,
};

/// How the model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training images.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    #[schemars(extend("otherNames" = ["num_epochs", "max_epochs"]))]
    pub epochs: f64,
    /// Steps in place of epochs, which then have no effect.
    #[schemars(range(min = 1))]
    pub steps: Option<u64>,
    /// Images of one step (the effective batch): a number, or `Auto(effective: 1024)`, which finds
    /// the largest micro-batches that fit into memory.
    #[schemars(extend("otherNames" = ["batch_size", "bs", "mini_batch", "effective_batch"]))]
    pub batch: BatchSize,
    /// Micro-batches that a step is cut into: less memory, the same result. Not with `Auto`.
    #[schemars(range(min = 1, max = 65_536))]
    #[schemars(extend("otherNames" = ["gradient_accumulation_steps", "grad_accum", "accumulation_steps"]))]
    pub accum_steps: usize,
    /// Blocks that recompute their activations in the backward pass: less memory, the same
    /// gradients.
    #[schemars(extend("otherNames" = ["gradient_checkpointing", "grad_checkpointing"]))]
    pub activation_checkpointing: ActivationCheckpointing,
    /// The type that the model computes in: `F32`, `BF16`, or `F16()` with a scaled loss. On the
    /// CPU `BF16` has kernels of its own, and `F16()` is correct, but slow.
    #[schemars(extend("otherNames" = ["amp", "dtype", "fp16", "bf16", "mixed_precision"]))]
    pub precision: Precision,
    /// Smaller training images in the first epochs (progressive resizing), as in
    /// `[(until_epoch: 3, size: 112)]`; positions are resized to their grid. Later epochs, and every
    /// evaluation, have the model's `image_size`.
    pub image_size: Vec<ImageSizeStage>,
    /// Epochs from the start in which training images lose the share of their patches that
    /// `model.patch_dropout` sets; in later ones they keep all (unmasked tuning; FLIP, Li et al.
    /// 2023). `None` drops patches throughout.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    pub patch_dropout_epochs: Option<f64>,
    /// The optimizer.
    #[schemars(extend("otherNames" = ["opt", "optim"]))]
    pub optimizer: Optimizer,
    /// Highest learning rate; 1e-4 to 5e-4 is usual for AdamW.
    #[schemars(range(min = 0.0, max = HIGHEST_LEARNING_RATE))]
    #[schemars(extend("otherNames" = ["lr", "base_lr", "max_lr", "peak_lr"]))]
    pub learning_rate: f64,
    /// Learning rate at the end of the decay; at 1e-6, its default, no more than `learning_rate`.
    #[schemars(range(min = 0.0, max = HIGHEST_LEARNING_RATE))]
    #[schemars(extend("otherNames" = ["min_lr", "lr_min", "eta_min"]))]
    pub min_learning_rate: f64,
    /// Shape of the learning rate after warm-up.
    #[schemars(extend("otherNames" = ["sched", "scheduler", "schedule", "lr_schedule"]))]
    pub decay: Decay,
    /// When the learning rate changes: on `Steps`, `Epochs` or `EpochEnds`.
    #[schemars(extend("otherNames" = ["sched_on_updates"]))]
    pub schedule_on: ScheduleOn,
    /// Epochs over which the learning rate rises, from `warmup_learning_rate`.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    #[schemars(extend("otherNames" = ["warmup"]))]
    pub warmup_epochs: f64,
    /// Steps of warm-up, in place of epochs.
    pub warmup_steps: Option<u64>,
    /// Learning rate that the warm-up starts with.
    #[schemars(range(min = 0.0, max = HIGHEST_LEARNING_RATE))]
    #[schemars(extend("otherNames" = ["warmup_lr", "warmup_lr_init"]))]
    pub warmup_learning_rate: f64,
    /// Whether the decay begins after the warm-up; `false` counts it from the start of the run, so that
    /// it is under way when the warm-up ends (timm's default).
    pub warmup_prefix: bool,
    /// Weight decay of the weight matrices; 0.01 to 0.05 is usual for AdamW. Biases, norms,
    /// positions, tokens and LayerScale are not decayed.
    #[schemars(range(min = 0.0, max = 10.0))]
    #[schemars(extend("otherNames" = ["wd"]))]
    pub weight_decay: f64,
    /// Weight decay at the end of the run, reached along a cosine; none keeps it constant.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub weight_decay_end: Option<f64>,
    /// Learning-rate factor from each block to the one below it (Clark et al. 2020).
    #[schemars(range(min = 0.01, max = 1.0))]
    #[schemars(extend("otherNames" = ["llrd", "layer_lr_decay"]))]
    pub layer_decay: Option<f64>,
    /// Parameters with a learning rate or weight decay of their own, by name.
    pub groups: Vec<GroupOverride>,
    /// Parameters that are not trained, by name, where `*` stands for anything: `["blocks.0.*"]`.
    /// Their gradients are computed anyway, but do not count in clipping and change nothing.
    #[schemars(extend("otherNames" = ["freeze"]))]
    pub frozen: Vec<String>,
    /// Largest global norm of the gradients; none does not clip.
    #[schemars(range(min = 1e-6, max = 1e6))]
    #[schemars(extend("otherNames" = ["clip_grad", "grad_clip", "clip_grad_norm", "max_grad_norm"]))]
    pub clip_norm: Option<f64>,
    /// What is minimised: `Softmax` or `Sigmoid` cross-entropy.
    #[schemars(extend("otherNames" = ["criterion"]))]
    pub loss: Loss,
    /// With a sigmoid loss, a class whose share of a mixed target is above this becomes a whole
    /// target, and any other becomes 0; DeiT III has 0. `None` keeps the shares.
    #[schemars(range(min = 0.0, max = 0.99))]
    #[schemars(extend("otherNames" = ["bce_target_thresh", "target_thresh"]))]
    pub target_threshold: Option<f64>,
    /// Weights of images in the loss, by their class: `Balanced`, so that all classes count
    /// equally, or a number for each, in the order of the class names. A mixed image is weighted by
    /// the shares of its classes; a teacher's answers and evaluations are not weighted.
    #[schemars(extend("otherNames" = ["weight", "class_weight", "loss_weights", "pos_weight"]))]
    pub class_weights: Option<ClassWeights>,
    /// Share of each target that is spread over all classes.
    #[schemars(range(min = 0.0, max = 0.99))]
    #[schemars(extend("otherNames" = ["smoothing"]))]
    pub label_smoothing: f64,
    /// Mixup and CutMix.
    pub mix: Mix,
    /// A trained model whose answers are learned beside the labels (distillation), as in
    /// `(checkpoint: "runs/large", hard: true)`, or `(logits: "large.safetensors")`, which `vitral
    /// teach` wrote.
    #[schemars(extend("otherNames" = ["distillation", "teacher_model", "distill"]))]
    pub teacher: Option<TeacherConfig>,
    /// Removes attention heads and hidden neurons from the model during training, so that steps
    /// become faster and the model smaller, as in `(flops: 0.6, from_epoch: 2, until_epoch: 12)`.
    #[schemars(extend("otherNames" = ["pruning", "sparsity"]))]
    pub prune: Option<PruneConfig>,
    /// Batch augmentations of plugins, after `mix`.
    pub batch_augment: Vec<PluginUse>,
    /// Decay of an exponential moving average of the weights, which is then evaluated in their
    /// place.
    #[schemars(range(min = 0.0, max = 0.999_999_9))]
    #[schemars(extend("otherNames" = ["model_ema", "ema_decay"]))]
    pub ema: Option<f64>,
    /// Whether each rank of a job (`mpirun`, `srun`) keeps the optimizer's averages for a part of
    /// the weights only, updates that part and sends it to the others (ZeRO, stage 1): less memory,
    /// the same result. With AdamW, Sgd and Lion.
    #[schemars(extend("otherNames" = ["zero", "zero_stage", "zero_redundancy_optimizer"]))]
    pub shard_optimizer: bool,
    /// The type in which the ranks of a job exchange gradients; they are summed in `f32`. `BF16`
    /// sends half of the bytes, and rounds, so that another number of ranks results in slightly
    /// different weights.
    #[schemars(extend("otherNames" = ["communication_data_type", "grad_reduce_in_bf16", "gradient_compression"]))]
    pub communication: Communication,
    /// Whether a GPU repeats forward and backward on its own once they have run a few times (a CUDA graph): the same
    /// numbers, and little work for the processor, but what they take of memory stays taken. With dropout of values and
    /// with `batch: Auto(...)`, kernels are launched one by one all the same.
    #[schemars(extend("otherNames" = ["cuda_graph", "cuda_graphs", "make_graphed_callables"]))]
    pub record_steps: bool,
    /// When the model is evaluated; always at the end, too.
    pub eval_every: Every,
    /// Steps between two lines of the log.
    #[schemars(range(min = 1))]
    pub log_every: u64,
}

/// Beyond any learning rate that makes sense.
pub(crate) const HIGHEST_LEARNING_RATE: f64 = 100.0;
/// Where the learning rate ends unless the experiment says it.
const MIN_LEARNING_RATE: f64 = 1e-6;

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: 10.0,
            steps: None,
            batch: BatchSize::Fixed(128),
            accum_steps: 1,
            activation_checkpointing: ActivationCheckpointing::None,
            precision: Precision::default(),
            image_size: Vec::new(),
            patch_dropout_epochs: None,
            optimizer: Optimizer::default(),
            learning_rate: 5e-4,
            min_learning_rate: MIN_LEARNING_RATE,
            decay: Decay::Cosine,
            schedule_on: ScheduleOn::Steps,
            warmup_epochs: 1.0,
            warmup_steps: None,
            warmup_learning_rate: 0.0,
            warmup_prefix: true,
            weight_decay: 0.05,
            weight_decay_end: None,
            layer_decay: None,
            groups: Vec::new(),
            frozen: Vec::new(),
            clip_norm: Some(1.0),
            loss: Loss::Softmax,
            target_threshold: None,
            class_weights: None,
            label_smoothing: 0.0,
            mix: Mix::default(),
            teacher: None,
            prune: None,
            batch_augment: Vec::new(),
            ema: None,
            shard_optimizer: false,
            communication: Communication::default(),
            record_steps: true,
            eval_every: Every::Epochs(1.0),
            log_every: 10,
        }
    }
}

/// The type in which ranks exchange gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Communication {
    /// As they are.
    #[default]
    F32,
    /// Half of the bytes, each value rounded to 8 bits of precision.
    BF16,
}

impl TrainConfig {
    /// The learning rate at the end: the default one gives way to a lower peak, such as none at all.
    pub(crate) fn floor(&self) -> f64 {
        match self.min_learning_rate == MIN_LEARNING_RATE {
            true => self.learning_rate.min(MIN_LEARNING_RATE),
            false => self.min_learning_rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_lie_in_the_recommended_ranges() {
        let train = TrainConfig::default();
        assert!((1e-4..=5e-4).contains(&train.learning_rate));
        assert!((0.01..=0.05).contains(&train.weight_decay));
        assert!((32..=128).contains(&train.batch.effective()));
        assert_eq!(train.decay, Decay::Cosine);
    }

    #[test]
    fn the_default_end_of_the_decay_gives_way_to_a_lower_peak() {
        let floor = |learning_rate, min_learning_rate| {
            TrainConfig { learning_rate, min_learning_rate, ..TrainConfig::default() }.floor()
        };
        assert_eq!(floor(0.0, MIN_LEARNING_RATE), 0.0);
        assert_eq!(floor(1e-3, MIN_LEARNING_RATE), 1e-6);
        assert_eq!(floor(1e-6, 1e-5), 1e-5);
    }
}
