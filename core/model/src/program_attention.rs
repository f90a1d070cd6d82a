//! A layer's attention as a tensor program: what a plugin's attention variant becomes.

use std::{collections::BTreeMap, sync::Arc};

use burn::{
    module::{Module, Param},
    tensor::{FloatDType, Tensor},
};
use vitral_program::{DType, Dim, Program, Shape, TensorType};

use crate::{
    ConfigProblem, Mode, ViTConfig,
    config::AttentionKind,
    init::Initializer,
    program::{self, Executable, Value},
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
            parameters: program::parameters(program, &init.of(program.name())),
            executable: Arc::new(Executable::new(program, init.device())),
        }
    }

    /// The program.
    pub(crate) fn program(&self) -> &Program {
        self.executable.program()
    }

    /// Queries, keys and values, all `[batch, heads, tokens, head width]`, to the same. A program's
    /// tensors are `f32` by its types, so it runs in that, whatever the model computes in.
    pub(crate) fn forward(
        &self,
        query: Tensor<4>,
        key: Tensor<4>,
        value: Tensor<4>,
        mode: Mode,
    ) -> Tensor<4> {
        let (shape, dtype) = (query.dims(), FloatDType::from(query.dtype()));
        let parameters: Vec<_> = self.parameters.iter().map(Param::val).collect();
        let (noise, first) = match mode {
            Mode::Eval => (None, 0),
            Mode::Train(seed) => (Some(seed), 0),
            Mode::TrainPart { seed, first } => (Some(seed), first),
        };
        let inputs = [query, key, value].map(|input| input.cast(FloatDType::F32));
        let inputs = inputs.map(Value::from).into();
        // `fit` has compared the program's types with what the layer gives.
        let outputs = self
            .executable
            .run_part(inputs, &parameters, shape[0], noise, first)
            .expect("a program that fits its layer");
        let output = outputs.into_iter().next().and_then(Value::float);
        output.expect("a program that fits its layer").reshape(shape).cast(dtype)
    }
}

/// What queries, keys and values of a layer are.
pub fn layer_type(config: &ViTConfig, layer: usize) -> TensorType {
    let heads = config.heads_of(layer);
    let tokens = config.prefix_tokens() + config.grid() * config.grid();
    let dims = [Dim::Batch(1), heads.into(), tokens.into(), (config.width() / heads).into()];
    // Four dimensions are fewer than a shape may have.
    TensorType::new(DType::F32, Shape::new(dims).expect("a shape of four dimensions"))
}

/// The attention of a layer, if it is a plugin's.
pub(crate) fn program_attention(
    init: &Initializer,
    config: &ViTConfig,
    programs: &AttentionPrograms,
    layer: usize,
) -> Result<Option<ProgramAttention>, ConfigProblem> {
    let AttentionKind::Plugin { name, .. } = config.attention_of(layer) else { return Ok(None) };
    let problem = |message: String, help: &str| ConfigProblem {
        field: format!(
            "attention[{}].attention",
            config.attention_entry(layer).unwrap_or_default()
        ),
        message,
        help: help.into(),
    };
    let Some(program) = programs.get(&layer) else {
        let message = format!("the program of plugin `{name}` for layer {layer} is not there");
        return Err(problem(message, "it is traced when a run starts, and kept in checkpoints"));
    };
    fit(program, &layer_type(config, layer))
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

/// Floating-point operations of a program for one image: two for each multiplication and addition
/// of its matrix products, which is where nearly all of them are.
pub(crate) fn flops(program: &Program) -> f64 {
    use vitral_program::Op;
    let shape = |id: &vitral_program::ValueId| -> Vec<f64> {
        let dims = program.types()[id.index()].shape.dims();
        dims.iter().map(|dim| dim.per_item() as f64).collect()
    };
    let last = |shape: &[f64]| shape.last().copied().unwrap_or(1.0);
    let of = |node: &vitral_program::Node| {
        let operands: Vec<_> = node.operands().iter().map(shape).collect();
        let result: f64 = node.results().next().map_or(0.0, |id| shape(&id).iter().product());
        match node.op() {
            Op::Matmul(_) | Op::Linear(_) => 2.0 * result * last(&operands[0]),
            Op::ScaledDotProductAttention(_) => {
                // Scores and their product with the values.
                let tokens = operands[1][operands[1].len() - 2];
                let queries: f64 = operands[0].iter().product();
                2.0 * queries * tokens + 2.0 * result * tokens
            }
            Op::Conv2d(_) => 2.0 * result * operands[1][1..].iter().product::<f64>(),
            _ => 0.0,
        }
    };
    program.nodes().iter().map(of).sum()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use vitral_program::{Limits, Tracer, ops};
    use vitral_seed::Seed;

    use super::*;
    use crate::{Compute, ViT, attention::softmax_attention, config::LayerAttention, parameters};

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
        let programs = AttentionPrograms::from([(1, gained(&layer_type(&config, 1)))]);
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
        let programs = AttentionPrograms::from([(1, gained(&layer_type(&config, 1)))]);
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
    fn a_programs_parameters_have_its_names_shapes_and_decay() {
        let config = config();
        let programs = AttentionPrograms::from([(1, gained(&layer_type(&config, 1)))]);
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
        assert_eq!(flops(&program), 2.0 * 2.0 * (2.0 * 5.0 * 5.0 * 4.0));
    }

    #[test]
    fn softmax_attention_equals_the_ops_result() {
        let config = config();
        let program = gained(&layer_type(&config, 1));
        let init = Initializer::new(Seed::new(0), config.init, &Device::flex());
        let attention = ProgramAttention::new(&program, &init);
        let q = images().reshape([1, 8, 12, 4]).narrow(1, 0, 2).narrow(2, 0, 5);
        let out = attention.forward(q.clone(), q.clone(), q.clone(), Mode::Eval);
        let wanted = softmax_attention(q.clone(), q.clone(), q, None, 0.5, 0.0, Mode::Eval);
        assert!((out - wanted).abs().max().into_scalar::<f32>() < 1e-6);
    }
}
