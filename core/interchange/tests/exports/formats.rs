//! Exported files, run by onnxruntime and TensorFlow.

use std::{collections::HashSet, fs};

use burn::tensor::{Tensor, activation::softmax};
use vitral_interchange::{
    GraphFormat, GraphOptions, OnnxOptions, verify, write_onnx, write_saved_model,
};
use vitral_model::{
    AttentionPrograms, Mode, ViT, ViTConfig,
    vit_program::{Interface, Output},
};
use vitral_program::ops;

use crate::{
    models::{base, images, model, options},
    ops::ops_in_layers,
    plugins::plugins,
    run::{Comparison, bytes, python},
};

fn export(format: &str, model: &ViT, path: &std::path::Path, options: &GraphOptions) {
    let mut last = (0, 1);
    let mut progress = |done, total| last = (done, total);
    let written = match format {
        "onnx" => write_onnx(model, path, &options.clone().into(), &mut progress),
        _ => write_saved_model(model, path, options, &mut progress),
    };
    let written = written.unwrap();
    assert_eq!(last.0, last.1, "progress ended before its end");
    assert!(written.bytes > last.1 && written.nodes > 10, "{written:?}");
}

fn compare(format: &'static str, models: Vec<(String, ViTConfig, AttentionPrograms)>) {
    let mut comparison = Comparison::new(format);
    for (name, config, programs) in models {
        comparison.add(&name, &config, &programs, |model, path| {
            export(format, model, path, &GraphOptions::default());
        });
    }
    comparison.run();
}

fn options_and_plugins() -> Vec<(String, ViTConfig, AttentionPrograms)> {
    let options = options().into_iter();
    let options = options.map(|(name, config)| (name.to_owned(), config, AttentionPrograms::new()));
    let plugins = plugins().into_iter();
    let plugins = plugins.map(|(name, config, programs)| (name.to_owned(), config, programs));
    options.chain(plugins).collect()
}

fn all() -> Vec<(String, ViTConfig, AttentionPrograms)> {
    options_and_plugins().into_iter().chain(ops_in_layers()).collect()
}

#[test]
fn onnxruntime_gives_the_logits_of_every_option_plugin_and_op() {
    compare("onnx", all());
}

#[test]
fn tensorflow_gives_the_logits_of_every_option_plugin_and_op() {
    compare("saved-model", all());
}

/// SavedModels loaded and run by `TF_LoadSessionFromSavedModel` and `TF_SessionRun`.
#[test]
fn tensorflows_c_api_gives_the_logits_of_every_option_and_plugin() {
    compare("tensorflow-c", options_and_plugins());
}

#[test]
fn every_op_is_exported() {
    let models = ops_in_layers();
    let programs = models.iter().flat_map(|(_, _, programs)| programs.values());
    let used: HashSet<_> =
        programs.flat_map(|program| program.nodes()).map(|node| node.op().name()).collect();
    // Random numbers are constants by then.
    let missing: Vec<_> = ops::all()
        .iter()
        .map(|info| info.name)
        .filter(|name| !used.contains(name) && *name != "random")
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// `u8` pixels in, probabilities out, class names along with them.
#[test]
fn pixels_go_in_and_probabilities_come_out() {
    let (mean, std) = (vec![0.4, 0.5, 0.6], vec![0.2, 0.3, 0.25]);
    let class_names = ["a cat", "a \"dog\"", "été", "d", "e"].map(String::from).to_vec();
    let interface =
        Interface { normalize: Some((mean.clone(), std.clone())), output: Output::Softmax };
    let options = GraphOptions { interface, class_names, ..GraphOptions::default() };
    let config = base();
    let model = model(&config, &AttentionPrograms::new());
    let cases = [1, 3, 32].map(|batch| {
        let pixels = images(&config, batch, 0.0..256.0).int().float();
        let row = |values: &[f32]| {
            Tensor::<1>::from_floats(values, &pixels.device())
                .mul_scalar(255.0)
                .reshape([1, 1, 1, 3])
        };
        let normalized = (pixels.clone() - row(&mean)) / row(&std);
        let probabilities = softmax(model.forward(normalized, Mode::Eval), 1);
        let pixels: Vec<f32> = pixels.try_into_vec_as().unwrap();
        let pixels = pixels.into_iter().map(|value| value as u8).collect();
        (batch, pixels, probabilities.try_into_vec_as::<f32>().unwrap())
    });
    for format in ["onnx", "saved-model", "tensorflow-c"] {
        let mut comparison = Comparison::new(format);
        export(format, &model, &comparison.path(), &options);
        comparison.add_cases("pixels", &config, &options, ("u1", "probabilities"), &cases);
        comparison.run();
    }
}

#[test]
fn weights_can_lie_beside_an_onnx_file() {
    let mut comparison = Comparison::new("onnx");
    comparison.add("external", &base(), &AttentionPrograms::new(), |model, path| {
        let options = OnnxOptions { external_above: 5000, ..GraphOptions::default().into() };
        let written = write_onnx(model, path, &options, &mut |_, _| {}).unwrap();
        let data = path.with_extension("onnx.data");
        let sizes = [path, &data].map(|path| fs::metadata(path).unwrap().len());
        assert_eq!(sizes.iter().sum::<u64>(), written.bytes);
        assert!(sizes[1] > 20_000, "{sizes:?}");
    });
    comparison.run();
}

/// Half of the bytes, and logits that differ by what rounding the weights changes.
#[test]
fn weights_can_be_kept_in_16_bits() {
    let config = ViTConfig { width: Some(64), heads: Some(4), ..base() };
    let rounded = |model: ViT| {
        let values = vitral_model::parameters::values(&model).into_iter().map(|values| {
            let values: Vec<f32> = values.try_into_vec_as().unwrap();
            let rounded: Vec<f32> =
                values.into_iter().map(|value| half::f16::from_f32(value).to_f32()).collect();
            Tensor::from_floats(&rounded[..], &burn::tensor::Device::flex())
        });
        let values = values.collect();
        vitral_model::parameters::with_values(model, values)
    };
    let model = model(&config, &AttentionPrograms::new());
    let options = GraphOptions { f16: true, ..GraphOptions::default() };
    let expected = rounded(model.clone());
    let cases = [1, 3].map(|batch| {
        let images = images(&config, batch, -1.0..1.0);
        let logits = expected.forward(images.clone(), Mode::Eval).try_into_vec_as().unwrap();
        (batch, bytes(&images.try_into_vec_as::<f32>().unwrap()), logits)
    });
    for format in ["onnx", "saved-model"] {
        let mut comparison = Comparison::new(format);
        let path = comparison.path();
        export(format, &model, &path, &options);
        comparison.add_cases("f16", &config, &options, ("<f4", "logits"), &cases);
        comparison.run();
    }
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = base();
    let model = model(&config, &AttentionPrograms::new());
    let huge = vitral_model::parameters::values(&model).into_iter().map(|values| values * 1e6);
    let huge = vitral_model::parameters::with_values(model.clone(), huge.collect());
    let f16 = GraphOptions { f16: true, ..GraphOptions::default() };
    let path = folder.path().join("model");
    for error in [
        write_onnx(&huge, &path, &f16.clone().into(), &mut |_, _| {}).unwrap_err(),
        write_saved_model(&huge, &path, &f16, &mut |_, _| {}).unwrap_err(),
    ] {
        assert!(error.to_string().contains("in 16 bits: the most is 65504"), "{error}");
    }
    let names = GraphOptions { class_names: vec!["one".into()], ..GraphOptions::default() };
    let error = write_onnx(&model, &path, &names.into(), &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("1 names of classes: the model has 5"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::create_dir(&path).unwrap();
    let error = write_saved_model(&model, &path, &f16, &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("of that name already"), "{error}");
}

#[test]
fn verifying_runs_the_file_and_tells_when_it_is_another_model() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = base();
    let model = model(&config, &AttentionPrograms::new());
    let other = vitral_model::parameters::values(&model).into_iter().map(|values| values * 0.5);
    let other = vitral_model::parameters::with_values(model.clone(), other.collect());
    let normalize = Some((vec![0.5; 3], vec![0.25; 3]));
    let interface = Interface { normalize, output: Output::Sigmoid };
    let options = GraphOptions { interface, f16: true, ..GraphOptions::default() };
    for (name, format) in [("onnx", GraphFormat::Onnx), ("saved", GraphFormat::SavedModel)] {
        let path = folder.path().join(name);
        export(name, &model, &path, &options);
        let verified = verify(&model, &path, format, &options, &python()).unwrap();
        assert!(verified.is_close() && verified.difference < 1e-5, "{name}: {verified:?}");
    }
    let path = folder.path().join("onnx");
    let verified = verify(&other, &path, GraphFormat::Onnx, &options, &python()).unwrap();
    assert!(!verified.is_close(), "{verified:?}");
    fs::write(&path, "no model").unwrap();
    let error = verify(&model, &path, GraphFormat::Onnx, &options, &python()).unwrap_err();
    assert!(error.to_string().contains("onnxruntime cannot run it"), "{error}");
}
