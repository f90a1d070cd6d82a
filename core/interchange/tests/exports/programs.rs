//! Programs of models, run op by op, give what the models give.

use std::{collections::HashMap, sync::Arc};

use burn::tensor::{
    Device, Tensor as Values,
    activation::{sigmoid, softmax},
};
use vitral_burn::program::{Executable, Value};
use vitral_model::{
    AttentionPrograms, Mode, ViT, ViTConfig,
    config::{AttentionKind, LayerAttention},
    parameters,
    program_attention::layer_type,
    vit_program::{Interface, Output, vit_program},
};
use vitral_program::{Initializer, Limits, Shape, Tensor, Tracer, ops};

use crate::models::{base, images, model, options};

/// Runs a model's program with the model's weights.
fn run(model: &ViT, interface: &Interface, images: Values<4>) -> Vec<f32> {
    let program = vit_program(model, interface).unwrap();
    let named: HashMap<_, _> = parameters::infos(model)
        .into_iter()
        .zip(parameters::values(model))
        .map(|(info, value)| (info.name, (info.shape, value)))
        .collect();
    assert_eq!(named.len(), program.parameters().len());
    let weights: Vec<_> = program
        .parameters()
        .iter()
        .map(|parameter| {
            let (shape, value) = &named[&parameter.name];
            assert_eq!(Some(shape), parameter.shape.sizes().as_ref(), "{}", parameter.name);
            value.clone()
        })
        .collect();
    let batch = images.dims()[0];
    let executable = Executable::new(&program, &Device::flex());
    let outputs = executable.run(vec![Value::from(images)], &weights, batch, None).unwrap();
    outputs.into_iter().next().unwrap().float().unwrap().try_into_vec_as().unwrap()
}

fn assert_same(name: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    assert!(largest > 0.1, "{name}: outputs are too small to mean anything");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5 * (1.0 + largest), "{name}: {found}, {expected}");
    }
}

fn assert_program_is_model(name: &str, config: &ViTConfig, programs: &AttentionPrograms) {
    let model = model(config, programs);
    for batch in [1, 3] {
        let images = images(config, batch, -1.0..1.0);
        let expected: Vec<f32> =
            model.forward(images.clone(), Mode::Eval).try_into_vec_as().unwrap();
        let found = run(&model, &Interface::default(), images);
        assert_same(&format!("{name} at batch {batch}"), &found, &expected);
    }
}

#[test]
fn programs_of_every_model_option_give_its_logits() {
    for (name, config) in options() {
        assert_program_is_model(name, &config, &AttentionPrograms::new());
    }
}

fn plugin_model(
    build: impl Fn(&mut Tracer, [Tensor; 3], &ViTConfig) -> Tensor,
) -> (ViTConfig, AttentionPrograms) {
    let attention = AttentionKind::Plugin {
        name: "mixer".into(),
        version: semver::VersionReq::STAR,
        settings: Default::default(),
        heads: None,
        qk_norm: None,
    };
    let config =
        ViTConfig { attention: vec![LayerAttention { layers: (1, 1), attention }], ..base() };
    let mut trace = Tracer::new("mixer", Limits::default());
    let layer = layer_type(&config, 1).unwrap();
    let inputs = ["query", "key", "value"].map(|name| trace.input(name, layer.clone()));
    let out = build(&mut trace, inputs, &config);
    let program = Arc::new(trace.finish(&[("out", out)]).unwrap());
    (config, AttentionPrograms::from([(1, program)]))
}

fn draws(shape: &str) -> ops::Random {
    let shape = shape.parse().unwrap();
    let distribution = ops::Distribution::Normal;
    ops::Random { shape, distribution, alpha: 1.0, beta: 1.0 }
}

#[test]
fn a_plugins_ops_and_parameters_are_taken_over() {
    let (config, programs) = plugin_model(|trace, [query, key, value], config| {
        let width = config.width() / config.heads();
        let shape = Shape::fixed(&[width]).unwrap();
        let gain = trace.parameter("gain", shape, Initializer::Constant(1.0), true);
        let noise = trace.apply(draws(&format!("[{width}]")), &[], "");
        let scaled = trace.apply(ops::Mul {}, &[query, gain], "");
        let scaled = trace.apply(ops::Add {}, &[scaled, noise], "");
        let op = ops::ScaledDotProductAttention { scale: 0.4 };
        let out = trace.apply(op, &[scaled, key, value], "");
        trace.apply(ops::Dropout { rate: 0.5 }, &[out], "")
    });
    assert_program_is_model("plugin", &config, &programs);
}

#[test]
fn noise_of_each_image_is_refused_by_name() {
    let (config, programs) = plugin_model(|trace, [query, ..], _| {
        let noise = trace.apply(draws("[B,1,1,1]"), &[], "");
        trace.apply(ops::Add {}, &[query, noise], "")
    });
    let error = vit_program(&model(&config, &programs), &Interface::default()).unwrap_err();
    assert!(error.to_string().contains("layer 1 (plugin `mixer`)"), "{error}");
}

#[test]
fn pixels_become_probabilities() {
    let (config, device) = (base(), Device::flex());
    let model = model(&config, &AttentionPrograms::new());
    let (mean, std) = (vec![0.4, 0.5, 0.6], vec![0.2, 0.3, 0.25]);
    let pixels = images(&config, 2, 0.0..255.0);
    let row = |values: &[f32]| {
        Values::<1>::from_floats(values, &device).mul_scalar(255.0).reshape([1, 1, 1, 3])
    };
    let logits = model.forward((pixels.clone() - row(&mean)) / row(&std), Mode::Eval);
    for (output, expected) in
        [(Output::Softmax, softmax(logits.clone(), 1)), (Output::Sigmoid, sigmoid(logits))]
    {
        let interface = Interface { normalize: Some((mean.clone(), std.clone())), output };
        let expected: Vec<f32> = expected.try_into_vec_as().unwrap();
        assert_same(output.name(), &run(&model, &interface, pixels.clone()), &expected);
    }
}
