//! A layer's attention as a tensor program: what a plugin's attention variant becomes.

use std::{collections::BTreeMap, sync::Arc};

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use vitral_burn::program::{Executable, Value};
use vitral_program::{DType, Dim, Misfit, Program, Shape, TensorType};

use crate::{
    ConfigProblem, Mode, ViTConfig,
    config::AttentionKind,
    init::{Fill, Initializer},
};

/// The programs of a model's layers, by layer from 0.
pub type AttentionPrograms = BTreeMap<usize, Arc<Program>>;

/// What an attention program takes, in this order.
pub const INPUTS: [&str; 3] = ["query", "key", "value"];

/// Attention that a program computes.
#[derive(Module, Debug)]
pub struct ProgramAttention {
    /// The program's parameters, flat and in its order.
    parameters: Vec<Param<Tensor<1>>>,
    #[module(skip)]
    executable: Arc<Executable>,
}

impl ProgramAttention {
    /// The program, made ready on a device, with fresh parameters.
    fn new(program: &Program, init: &Initializer) -> Self {
        Self {
            parameters: parameters(program, &init.of(program.name())),
            executable: Arc::new(Executable::new(program, init.device())),
        }
    }

    /// The program.
    pub(crate) fn program(&self) -> &Program {
        self.executable.program()
    }

    /// The program's parameters, flat and in its order.
    pub(crate) fn parameters(&self) -> &[Param<Tensor<1>>] {
        &self.parameters
    }

    /// Queries, keys and values, all `[batch, heads, tokens, head width]`, to the same. A program's
    /// tensors are `f32` by its types, so that is what they must be.
    pub(crate) fn forward(&self, inputs: [Value; 3], batch: usize, mode: Mode) -> Value {
        let parameters: Vec<_> = self.parameters.iter().map(Param::val).collect();
        let (noise, first) = match mode {
            Mode::Eval => (None, 0),
            Mode::Train(seed) => (Some(seed), 0),
            Mode::TrainPart { seed, first } => (Some(seed), first),
        };
        // `fit` has compared the program's types with what the layer gives.
        let outputs = self
            .executable
            .run_part(inputs.into(), &parameters, batch, noise, first)
            .expect("a program that fits its layer");
        outputs.into_iter().next().expect("a program that fits its layer")
    }
}

/// A program's parameters, flat and in its order, as parts of the model that `init` is for.
fn parameters(program: &Program, init: &Initializer) -> Vec<Param<Tensor<1>>> {
    let parameter = |parameter: &vitral_program::Parameter| {
        // A parameter's shape is without the batch.
        let count = parameter.shape.elements().per_item();
        init.parameter(&parameter.name, [count], fill(parameter.initializer))
    };
    program.parameters().iter().map(parameter).collect()
}

fn fill(initializer: vitral_program::Initializer) -> Fill {
    use vitral_program::Initializer as From;
    match initializer {
        From::Constant(value) => Fill::Constant(value),
        From::Normal { std } => Fill::Normal { std },
        From::TruncatedNormal { std } => Fill::TruncatedNormal { std },
        From::Uniform { limit } => Fill::Uniform { limit },
        From::XavierUniform { fan_in, fan_out } => {
            Fill::Uniform { limit: (6.0 / (fan_in + fan_out) as f64).sqrt() }
        }
    }
}

/// What queries, keys and values of a layer are.
///
/// # Errors
/// They have more elements than any tensor of a program.
pub fn layer_type(config: &ViTConfig, layer: usize) -> Result<TensorType, Misfit> {
    let heads = config.heads_of(layer);
    let tokens = config.prefix_tokens() + config.grid() * config.grid();
    let dims = [Dim::Batch(1), heads.into(), tokens.into(), config.head_width_of(layer).into()];
    Ok(TensorType::new(DType::F32, Shape::new(dims)?))
}

/// The attention of a layer, if it is a plugin's.
pub(crate) fn program_attention(
    init: &Initializer,
    config: &ViTConfig,
    programs: &AttentionPrograms,
    layer: usize,
) -> Result<Option<ProgramAttention>, ConfigProblem> {
    let AttentionKind::Plugin { name, .. } = config.attention_of(layer) else { return Ok(None) };
    let problem = |message: String, help: &str| {
        let entry = config.attention_entry(layer).unwrap_or_default();
        ConfigProblem::new(format!("attention[{entry}].attention"), message, help)
    };
    let Some(program) = programs.get(&layer) else {
        let message = format!("the program of plugin `{name}` for layer {layer} is missing");
        return Err(problem(message, "it is traced when a run starts, and kept in checkpoints"));
    };
    layer_type(config, layer)
        .map_err(|misfit| misfit.to_string())
        .and_then(|wanted| fit(program, &wanted))
        .map_err(|message| problem(message, "the program must have been traced for this layer"))?;
    Ok(Some(ProgramAttention::new(program, init)))
}

/// Checks that a program is an attention of the given type.
fn fit(program: &Program, wanted: &TensorType) -> Result<(), String> {
    let inputs: Vec<_> =
        program.inputs().iter().map(|input| (input.name.as_str(), &input.r#type)).collect();
    if inputs != INPUTS.map(|name| (name, wanted)) {
        let found: Vec<_> = inputs.iter().map(|(name, r#type)| format!("{name}: {type}")).collect();
        return Err(format!(
            "program `{}` takes ({}), but the layer gives query, key and value, each {wanted}",
            program.name(),
            found.join(", ")
        ));
    }
    let outputs: Vec<_> =
        program.outputs().iter().map(|output| &program.types()[output.value.index()]).collect();
    if outputs != [wanted] {
        let found: Vec<_> = outputs.iter().map(ToString::to_string).collect();
        let (name, found) = (program.name(), found.join(", "));
        return Err(format!("program `{name}` gives ({found}), but the layer wants {wanted}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, FloatDType};
    use vitral_burn::kernels;
    use vitral_program::{Limits, Tracer, ops};
    use vitral_seed::Seed;

    use super::*;
    use crate::{Compute, ViT, config::LayerAttention, init::Init, parameters};

    fn config() -> ViTConfig {
        let plugin = ron::from_str(r#"Plugin(name: "gained")"#).unwrap();
        ViTConfig {
            image_size: 8,
            patch_size: Some(4),
            width: Some(8),
            depth: Some(2),
            heads: Some(2),
            classes: 3,
            attention: vec![LayerAttention { layers: (1, 1), attention: plugin }],
            ..ViTConfig::default()
        }
    }

    /// Softmax attention times a learned gain of each channel.
    fn gained(r#type: &TensorType) -> Arc<Program> {
        let mut trace = Tracer::new("gained", Limits::default());
        let [q, k, v] = INPUTS.map(|name| trace.input(name, r#type.clone()));
        let gain = vitral_program::Initializer::Constant(1.0);
        let gain = trace.parameter("gain", "[2,1,4]".parse().unwrap(), gain, false);
        let op = ops::ScaledDotProductAttention { scale: 0.5 };
        let attended = trace.apply(op, &[q, k, v], "attended");
        let output = trace.apply(ops::Mul {}, &[attended, gain], "gained");
        Arc::new(trace.finish(&[("output", output)]).unwrap())
    }

    fn images() -> Tensor<4> {
        let values = (0..2 * 8 * 8 * 3).map(|n| (n as f32 * 0.37).sin()).collect::<Vec<_>>();
        Tensor::from_data(burn::tensor::TensorData::new(values, [2, 8, 8, 3]), &Device::flex())
    }

    #[test]
    fn a_program_takes_the_place_of_softmax_attention() {
        let config = config();
        let programs = AttentionPrograms::from([(1, gained(&layer_type(&config, 1).unwrap()))]);
        let device = Device::flex();
        let with = ViT::with_programs(&config, &programs, Seed::new(1), &device).unwrap();
        let plain = ViTConfig { attention: vec![], ..config };
        let without = ViT::new(&plain, Seed::new(1), &device).unwrap();
        let difference = with.forward_features(images(), Mode::Eval)
            - without.forward_features(images(), Mode::Eval);
        assert!(difference.abs().max().into_scalar::<f32>() < 1e-6);
    }

    /// A program's types say `f32`; around it, the model computes in `bf16` with 8 significant bits.
    #[test]
    fn a_program_runs_in_a_model_that_computes_in_bf16() {
        let config = config();
        let programs = AttentionPrograms::from([(1, gained(&layer_type(&config, 1).unwrap()))]);
        let model = || {
            ViT::with_programs(&config, &programs, Seed::new(1), &Device::flex().autodiff())
                .unwrap()
        };
        let exact = model().forward_features(images().autodiff(), Mode::Eval);
        let half = model().computing_in(Compute::BF16);
        let found = half.forward_features(images().autodiff(), Mode::Eval);
        assert_eq!(found.dtype(), burn::tensor::DType::BF16);
        let found = found.cast(FloatDType::F32);
        let error = (found.clone() - exact).abs().max().into_scalar::<f32>();
        // Normalised values of up to 2.5, after some ten roundings.
        assert!(error > 1e-4 && error < 10.0 * 2.5 * 2f32.powi(-8), "{error}");
        let mut gradients = (found.clone() * found).sum().backward();
        let gradients = parameters::gradients(&half, &mut gradients);
        let infos = parameters::infos(&half);
        let gain = infos.iter().position(|info| info.name.ends_with("gained.gain")).unwrap();
        let gain = gradients[gain].clone();
        assert_eq!(gain.dtype(), burn::tensor::DType::F32);
        assert!(gain.abs().max().into_scalar::<f32>() > 0.0);
    }

    #[test]
    fn parameters_start_as_declared() {
        let mut trace = Tracer::new("biased", Limits::default());
        let init = vitral_program::Initializer::TruncatedNormal { std: 0.02 };
        let table = trace.parameter("table", "[9, 2]".parse().unwrap(), init, false);
        let program = trace.finish(&[("table", table)]).unwrap();
        let start = || -> Vec<f32> {
            let init = Initializer::new(Seed::new(3), Init::default(), &Device::flex());
            let [table] = &parameters(&program, &init)[..] else { panic!("one parameter") };
            table.val().try_into_vec_as().unwrap()
        };
        let values = start();
        assert_eq!(values.len(), 18);
        assert!(values.iter().all(|value| value.abs() < 0.05) && values.iter().any(|&v| v != 0.0));
        assert_eq!(values, start(), "the same for the same seed");
        let xavier = vitral_program::Initializer::XavierUniform { fan_in: 4, fan_out: 2 };
        assert_eq!(fill(xavier), Fill::Uniform { limit: 1.0 });
    }

    #[test]
    fn a_programs_parameters_have_its_names_shapes_and_decay() {
        let config = config();
        let programs = AttentionPrograms::from([(1, gained(&layer_type(&config, 1).unwrap()))]);
        let model = ViT::with_programs(&config, &programs, Seed::new(1), &Device::flex()).unwrap();
        let infos = parameters::infos(&model);
        let info = infos.iter().find(|info| info.name == "blocks.1.attn.gained.gain").unwrap();
        assert_eq!((info.shape.as_slice(), info.decay), ([2, 1, 4].as_slice(), Some(false)));
        assert_eq!(infos.len(), parameters::values(&model).len());
    }

    #[test]
    fn missing_and_misfitting_programs_are_named() {
        let config = config();
        let build = |programs: &AttentionPrograms| {
            ViT::with_programs(&config, programs, Seed::new(1), &Device::flex()).unwrap_err()
        };
        let missing = build(&AttentionPrograms::new());
        assert_eq!(missing.field, "attention[0].attention");
        assert!(missing.message.contains("`gained` for layer 1"), "{}", missing.message);
        let other = gained(&"f32[B,2,9,4]".parse().unwrap());
        let misfit = build(&AttentionPrograms::from([(1, other)]));
        assert!(misfit.message.contains("each f32[B,2,5,4]"), "{}", misfit.message);
    }

    #[test]
    fn flops_count_the_matrix_products() {
        let program = gained(&"f32[B,2,5,4]".parse().unwrap());
        assert_eq!(program.products(), 2 * 2 * (2 * 5 * 5 * 4));
    }

    #[test]
    fn softmax_attention_equals_the_ops_result() {
        let config = config();
        let program = gained(&layer_type(&config, 1).unwrap());
        let init = Initializer::new(Seed::new(0), config.init, &Device::flex());
        let attention = ProgramAttention::new(&program, &init);
        let q = images().reshape([1, 8, 12, 4]).narrow(1, 0, 2).narrow(2, 0, 5);
        let inputs = [(); 3].map(|()| Value::from(q.clone()));
        let out = attention.forward(inputs, 1, Mode::Eval).float().unwrap();
        let wanted = kernels::softmax_attention(q.clone(), q.clone(), q, None, 0.5);
        assert!((out.reshape(wanted.dims()) - wanted).abs().max().into_scalar::<f32>() < 1e-6);
    }
}
