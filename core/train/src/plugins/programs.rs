//! What attention variants and batch augmentations become: programs, traced when a run starts and
//! kept in its checkpoints.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use vitral_burn::program::{Executable, Value};
use vitral_config::PluginUse;
use vitral_host::{Batch, Kind, Layer};
use vitral_model::{
    AttentionPrograms, ConfigProblem, ViTConfig, config::LayerAttention,
    program_attention::layer_type,
};
use vitral_program::{DType, Dim, Limits, Program, Shape, TensorType};
use vitral_seed::Seed;

use super::Registry;
use crate::{Error, Experiment};

/// The programs of a run, and what they were traced for.
#[derive(Clone, Debug, Default)]
pub struct Programs {
    /// Of each layer whose attention is a plugin's.
    pub attention: AttentionPrograms,
    /// Of each batch augmentation, in order.
    pub batch: Vec<Arc<Program>>,
    /// The attention that they are for.
    pub(crate) layers: Vec<LayerAttention>,
    /// The batch augmentations that they are.
    pub(crate) augmentations: Vec<PluginUse>,
}

impl Programs {
    /// Traces every program of an experiment, whose model has all its sizes.
    ///
    /// # Errors
    /// A plugin that cannot be had or used, by its field of the experiment.
    pub fn trace(experiment: &Experiment, registry: &Registry) -> Result<Self, Error> {
        Ok(Self {
            attention: trace_attention(experiment, registry)?,
            layers: experiment.model.attention.clone(),
            batch: trace_batch(experiment, registry)?,
            augmentations: experiment.train.batch_augment.clone(),
        })
    }

    /// The programs of a run that goes on. The plugins are needed only for batch augmentations
    /// that have changed.
    ///
    /// # Errors
    /// The model's attention has changed, or as [`Programs::trace`].
    pub(crate) fn resume(
        self,
        experiment: &Experiment,
        registry: &Registry,
    ) -> Result<Self, Error> {
        if self.layers != experiment.model.attention {
            return Err(Error::Experiment(ConfigProblem {
                field: "model.attention".into(),
                message: "the attention of a model cannot be changed while it trains".into(),
                help: "start a new run".into(),
            }));
        }
        if self.augmentations == experiment.train.batch_augment {
            return Ok(self);
        }
        let batch = trace_batch(experiment, registry)?;
        Ok(Self { batch, augmentations: experiment.train.batch_augment.clone(), ..self })
    }
}

fn trace_attention(
    experiment: &Experiment,
    registry: &Registry,
) -> Result<AttentionPrograms, Error> {
    let model = &experiment.model;
    let mut programs = AttentionPrograms::new();
    for (index, entry) in model.attention.iter().enumerate() {
        let Some(used) = entry.attention.plugin() else { continue };
        let field = format!("model.attention[{index}].attention");
        let opened = registry.open(experiment, &used, Kind::Attention, &field)?;
        for layer in entry.layers.0..=entry.layers.1 {
            let described = describe_layer(model, layer);
            let program = opened
                .plugin
                .trace_attention(&opened.settings, &described, &Limits::default())
                .map_err(|error| failed(&field, &error))?;
            tell(&program, &format!("layer {layer}"));
            programs.insert(layer, Arc::new(program));
        }
    }
    Ok(programs)
}

/// What a plugin is told of a layer.
pub fn describe_layer(model: &ViTConfig, layer: usize) -> Layer {
    // Sizes of a model are far below 2^32: its ranges see to that.
    let size = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let heads = model.heads_of(layer);
    Layer {
        index: size(layer),
        depth: size(model.depth()),
        heads: size(heads),
        head_width: size(model.head_width_of(layer)),
        prefix_tokens: size(model.prefix_tokens()),
        grid_height: size(model.grid()),
        grid_width: size(model.grid()),
        dropout: model.attention_dropout,
    }
}

fn trace_batch(experiment: &Experiment, registry: &Registry) -> Result<Vec<Arc<Program>>, Error> {
    let model = &experiment.model;
    let size = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let batch = Batch {
        height: size(model.image_size),
        width: size(model.image_size),
        channels: size(model.channels),
        classes: size(model.classes),
    };
    let trace = |(index, used): (usize, &PluginUse)| {
        let field = format!("train.batch_augment[{index}]");
        let opened = registry.open(experiment, used, Kind::BatchAugmentation, &field)?;
        let program = opened
            .plugin
            .trace_batch(&opened.settings, &batch, &Limits::default())
            .map_err(|error| failed(&field, &error))?;
        tell(&program, &field);
        Ok(Arc::new(program))
    };
    experiment.train.batch_augment.iter().enumerate().map(trace).collect()
}

fn failed(field: &str, error: &vitral_host::CallError) -> Error {
    Error::Experiment(ConfigProblem {
        field: field.into(),
        message: error.to_string(),
        help: "`vitral plugin inspect` shows what the plugin does and takes".into(),
    })
}

/// What the images and targets of a batch are.
///
/// # Errors
/// They have more elements than any tensor of a program, in words.
fn batch_types(model: &ViTConfig) -> Result<[TensorType; 2], String> {
    let side = Dim::Fixed(model.image_size);
    let r#type = |dims: &[Dim]| -> Result<TensorType, String> {
        let shape = Shape::new(dims).map_err(|misfit| misfit.to_string())?;
        Ok(TensorType::new(DType::F32, shape))
    };
    Ok([
        r#type(&[Dim::Batch(1), side, side, Dim::Fixed(model.channels)])?,
        r#type(&[Dim::Batch(1), Dim::Fixed(model.classes)])?,
    ])
}

/// The limits of the program of a layer's attention.
///
/// # Errors
/// What the layer works on is more than any tensor of a program, in words.
pub(crate) fn attention_limits(model: &ViTConfig, layer: usize) -> Result<Limits, String> {
    let r#type = layer_type(model, layer).map_err(|misfit| misfit.to_string())?;
    Ok(Limits::default().for_attention(&r#type))
}

/// The limits of the program of a batch augmentation.
///
/// # Errors
/// As [`attention_limits`].
pub(crate) fn batch_limits(model: &ViTConfig) -> Result<Limits, String> {
    let [images, targets] = batch_types(model)?;
    Ok(Limits::default().for_batch(&images, &targets))
}

/// Says in the log what a program takes.
fn tell(program: &Program, field: &str) {
    let cost = program.cost();
    tracing::info!(
        "{field}: `{}` takes {:.1} MiB and {:.1} MFLOP an image, {:.1} MiB of it at the same time",
        program.name(),
        cost.bytes as f64 / f64::from(1 << 20),
        cost.flops as f64 / 1e6,
        program.peak().0 as f64 / f64::from(1 << 20),
    );
}

/// A batch augmentation that is ready to run on a device.
pub(crate) struct BatchProgram {
    executable: Executable,
}

impl BatchProgram {
    /// Checks that the program is one for these batches.
    ///
    /// # Errors
    /// It takes or gives something else, in words.
    pub(crate) fn new(
        program: &Program,
        model: &ViTConfig,
        device: &Device,
    ) -> Result<Self, String> {
        let [images, targets] = batch_types(model)?;
        let wanted = [("images", images), ("targets", targets)];
        let types = program.types();
        let inputs: Vec<_> =
            program.inputs().iter().map(|i| (i.name.as_str(), i.r#type.clone())).collect();
        let output = |output: &vitral_program::Output| types[output.value.index()].clone();
        let outputs: Vec<_> =
            program.outputs().iter().map(|o| (o.name.as_str(), output(o))).collect();
        if inputs != wanted || outputs != wanted || !program.parameters().is_empty() {
            return Err(format!(
                "program `{}` must turn images {} and targets {} into the same, without parameters",
                program.name(),
                wanted[0].1,
                wanted[1].1
            ));
        }
        Ok(Self { executable: Executable::new(program, device) })
    }

    /// Images `[batch, height, width, channels]` and targets `[batch, classes]` to the same.
    pub(crate) fn run(
        &self,
        images: Tensor<4>,
        targets: Tensor<2>,
        seed: Seed,
    ) -> (Tensor<4>, Tensor<2>) {
        let (image_shape, target_shape) = (images.dims(), targets.dims());
        let inputs = vec![Value::from(images), Value::from(targets)];
        // `new` has checked what the program takes and gives.
        let outputs = self
            .executable
            .run(inputs, &[], image_shape[0], Some(seed))
            .expect("a program for these batches");
        let mut outputs = outputs.into_iter().filter_map(Value::float);
        let mut next = || outputs.next().expect("a program that gives images and targets");
        (next().reshape(image_shape), next().reshape(target_shape))
    }
}
