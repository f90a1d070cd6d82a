//! Graphs for images of any size.

use vitral_interchange::{GraphFormat, GraphOptions, verify, write_onnx, write_saved_model};
use vitral_model::{AttentionPrograms, Mode, ViTConfig, resnet::Stem, vit_program::Interface};

use crate::{
    models::{base, images_of, model, options},
    plugins::plugins,
    run::{Comparison, bytes, python},
};

/// The model's own size of 12, smaller and larger ones: multiples of its patches.
const SIDES: [usize; 5] = [12, 3, 9, 15, 30];

fn any() -> GraphOptions {
    GraphOptions { any_image_size: true, ..GraphOptions::default() }
}

/// Whether an option is made for one size.
fn is_fixed(config: &ViTConfig) -> bool {
    config.relative_position_bias
        || config.token_merging.is_some()
        || config.token_reorganization.is_some()
        || config.is_mixer()
        || config.stem != Stem::None
}

fn compare(format: &'static str) {
    let mut comparison = Comparison::new(format);
    let patch_of_one = ViTConfig { patch_size: Some(1), image_size: 4, ..base() };
    let more = [
        ("patches of one pixel", patch_of_one),
        ("sincos2d with registers", {
            let position = vitral_model::position::Position::SinCos2d;
            ViTConfig { register_tokens: 2, position, ..base() }
        }),
    ];
    for (name, config) in options().into_iter().chain(more) {
        if is_fixed(&config) {
            continue;
        }
        let model = model(&config, &AttentionPrograms::new());
        let path = comparison.path();
        match format {
            "onnx" => write_onnx(&model, &path, &any().into(), &mut |_, _| {}),
            _ => write_saved_model(&model, &path, &any(), &mut |_, _| {}),
        }
        .unwrap();
        let cases = Comparison::logits_of(&config, &model, &SIDES);
        comparison.add_cases(name, &config, &any(), ("<f4", "logits"), &cases);
    }
    comparison.run();
}

#[test]
fn onnxruntime_gives_the_logits_of_images_of_any_size() {
    compare("onnx");
}

#[test]
fn tensorflow_gives_the_logits_of_images_of_any_size() {
    compare("saved-model");
}

/// `u8` pixels, weights in 16 bits, and what `export --verify` compares.
#[test]
fn other_options_go_with_any_size() {
    let folder = tempfile::TempDir::new().unwrap();
    let config = base();
    let model = model(&config, &AttentionPrograms::new());
    let normalize = Some((vec![0.5; 3], vec![0.25; 3]));
    let interface = Interface { normalize, ..Interface::default() };
    let options = GraphOptions { interface, f16: true, ..any() };
    let path = folder.path().join("any.onnx");
    write_onnx(&model, &path, &options.clone().into(), &mut |_, _| {}).unwrap();
    let verified = verify(&model, &path, GraphFormat::Onnx, &options, &python()).unwrap();
    assert!(verified.is_close() && verified.difference < 1e-5, "{verified:?}");

    // A graph for the model's size alone does not pass for one of any size.
    let fixed = GraphOptions { any_image_size: false, ..options.clone() };
    let path = folder.path().join("fixed.onnx");
    write_onnx(&model, &path, &fixed.into(), &mut |_, _| {}).unwrap();
    let error = verify(&model, &path, GraphFormat::Onnx, &options, &python()).unwrap_err();
    assert!(error.to_string().contains("onnxruntime cannot run it"), "{error}");
}

#[test]
fn images_that_patches_do_not_fill_are_refused_by_the_runtime() {
    let config = base();
    let model = model(&config, &AttentionPrograms::new());
    let mut comparison = Comparison::new("onnx");
    let path = comparison.path();
    write_onnx(&model, &path, &any().into(), &mut |_, _| {}).unwrap();
    let images = images_of(13, &config, 1, -1.0..1.0).try_into_vec_as::<f32>().unwrap();
    let logits = model.forward(images_of(12, &config, 1, -1.0..1.0), Mode::Eval);
    let case = (1, bytes(&images), logits.try_into_vec_as().unwrap());
    comparison.add_cases("13 pixels", &config, &any(), ("<f4", "logits"), &[case]);
    let refused = std::panic::catch_unwind(|| comparison.differences()).unwrap_err();
    let said = refused.downcast_ref::<String>().unwrap();
    assert!(said.contains("patch_embed/Reshape"), "{said}");
}

#[test]
fn parts_for_one_size_are_refused_by_name() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("model");
    let options = options().into_iter().filter(|(_, config)| is_fixed(config));
    let options = options.map(|(name, config)| (name, config, AttentionPrograms::new()));
    let mut seen = Vec::new();
    for (name, config, programs) in options.chain(plugins()) {
        let model = model(&config, &programs);
        for error in [
            write_onnx(&model, &path, &any().into(), &mut |_, _| {}).unwrap_err(),
            write_saved_model(&model, &path, &any(), &mut |_, _| {}).unwrap_err(),
        ] {
            let said = error.to_string();
            assert!(said.contains("it is made for the model's own image size"), "{name}: {said}");
            seen.push(said);
        }
    }
    for part in [
        "`relative_position_bias`",
        "`token_merging`",
        "`token_reorganization`",
        "`token_mixing`",
        "`stem`",
        "(plugin `window`)",
    ] {
        assert!(seen.iter().any(|said| said.contains(part)), "{part}: {seen:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
