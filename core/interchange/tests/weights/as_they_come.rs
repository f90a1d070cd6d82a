//! Weights as people have them: under prefixes, several models in a file, with buffers, by PyTorch, of images
//! that are not square, and with settings that are another model's.

use std::{fs, path::Path};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Value, json};
use tempfile::TempDir;
use vitral_interchange::{Hints, InterchangeError, Pretrained, Resize, read, to_task, write_timm};

use crate::{
    hostile::{heads, tensors, write},
    support::{arrays, root},
};

/// Reads a file of the model of [`tensors`] under other names.
fn renamed(rename: impl Fn(&str) -> Vec<String>, hints: &Hints) -> Result<Pretrained, String> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let list: Vec<(String, Vec<usize>)> = tensors()
        .into_iter()
        .flat_map(|(name, shape)| rename(&name).into_iter().map(move |name| (name, shape.clone())))
        .collect();
    write(&path, &list);
    read(&path, hints).map_err(|error| error.to_string())
}

#[test]
fn a_model_is_found_under_any_prefix_and_told() {
    let plain = renamed(|name| vec![name.into()], &heads(2)).unwrap();
    assert_eq!(plain.notes[0], "names of timm");
    for prefix in [
        "_orig_mod.",
        "module.",
        "backbone.",
        "teacher.backbone.",
        "encoder.",
        "student.",
        "_orig_mod.module.model.",
        "module._orig_mod.teacher.backbone.",
        "visual.trunk.",
        "1.",
    ] {
        let found = renamed(|name| vec![format!("{prefix}{name}")], &heads(2)).unwrap();
        assert_eq!(found.config, plain.config, "{prefix}");
        assert_eq!(found.tensors, plain.tensors, "{prefix}");
        assert_eq!(found.notes[0], format!("names of timm, under `{prefix}`"));
    }
    // A head beside its backbone, with and without what stands before both.
    for outer in ["", "module."] {
        let beside = |name: &str| match name.starts_with("head.") {
            true => vec![format!("{outer}{name}")],
            false => vec![format!("{outer}backbone.{name}")],
        };
        assert_eq!(renamed(beside, &heads(2)).unwrap().tensors, plain.tensors, "{outer}");
    }
}

#[test]
fn of_several_models_the_likelier_is_taken_and_the_others_are_told() {
    // As DINO's checkpoints are: two networks, and heads that classify nothing.
    let dino = |name: &str| {
        let both = ["student", "teacher"];
        let mut names = both.map(|part| format!("{part}.backbone.{name}")).to_vec();
        if name == "norm.weight" {
            names.extend(both.map(|part| format!("{part}.dino_head.mlp.0.weight")));
        }
        names
    };
    let notes = renamed(dino, &heads(2)).unwrap().notes.join("\n");
    for words in [
        "under `teacher.backbone.`",
        "another model in the file, under `student.backbone.` (`--part student.backbone`)",
        "`student.backbone.blocks.0.attn.proj.bias` and 33 more are left out",
    ] {
        assert!(notes.contains(words), "`{words}` is not in\n{notes}");
    }
    let hints = Hints { part: Some("student".into()), ..heads(2) };
    let notes = renamed(dino, &hints).unwrap().notes.join("\n");
    assert!(notes.contains("names of timm, under `student.backbone.`"), "{notes}");
    let hints = Hints { part: Some("pupil".into()), ..heads(2) };
    let said = renamed(dino, &hints).unwrap_err();
    assert!(said.contains("under `pupil`") && said.contains("`teacher.backbone.`"), "{said}");
    // None is likelier, or none is a model here.
    let twins = |name: &str| vec![format!("left.{name}"), format!("right.{name}")];
    let said = renamed(twins, &heads(2)).unwrap_err();
    assert!(said.contains("several models") && said.contains("--part left"), "{said}");
    let stages = |name: &str| match name.starts_with("blocks.") {
        true => vec![format!("layers.0.{name}"), format!("layers.1.{name}")],
        false => vec![name.into()],
    };
    let said = renamed(stages, &heads(2)).unwrap_err();
    assert!(said.contains("names of its tensors are unknown"), "{said}");
}

#[test]
fn registers_without_positions_and_a_class_token_come_back_from_timms_folder() {
    let folder = TempDir::new().unwrap();
    let mut list = tensors();
    list.retain(|(name, _)| name != "cls_token");
    list.iter_mut().find(|(name, _)| name == "pos_embed").unwrap().1 = vec![1, 4, 8];
    list.push(("reg_token".into(), vec![1, 2, 8]));
    let path = folder.path().join("model.safetensors");
    write(&path, &list);
    let model = read(&path, &heads(2)).unwrap();
    assert_eq!((model.config.register_tokens, model.config.prefix_positions()), (2, 0));
    let out = folder.path().join("timm");
    write_timm(&model, &out).unwrap();
    let again = read(&out, &Hints::default()).unwrap();
    assert_eq!((again.config, again.tensors), (model.config, model.tensors));
}

/// A model's folder, changed: its tensors by name, and its config.json.
type Change<'a> = &'a dyn Fn(&mut Vec<(String, Dtype, Vec<usize>, Vec<u8>)>, &mut Value);

fn changed(source: &Path, change: Change<'_>, hints: &Hints) -> Result<Pretrained, String> {
    let bytes = fs::read(source.join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut list: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = file
        .iter()
        .map(|(name, of)| (name.into(), of.dtype(), of.shape().to_vec(), of.data().to_vec()))
        .collect();
    let config = fs::read(source.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    change(&mut list, &mut config);
    let folder = TempDir::new().unwrap();
    let views = list.iter().map(|(name, kind, shape, bytes)| {
        (name.clone(), TensorView::new(*kind, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    read(folder.path(), hints).map_err(|error| error.to_string())
}

fn hugging_face(name: &str) -> std::path::PathBuf {
    root().join("tests/fixtures/huggingface").join(name)
}

/// timm's model of [`tensors`] with a config.json; the position of each patch is its row and column.
fn timm(positions: usize, config: Value, hints: &Hints) -> Result<Pretrained, String> {
    let folder = TempDir::new().unwrap();
    let mut list = tensors();
    list.iter_mut().find(|(name, _)| name == "pos_embed").unwrap().1 = vec![1, positions, 8];
    write(&folder.path().join("model.safetensors"), &list);
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    read(folder.path(), hints).map_err(|error| error.to_string())
}

#[test]
fn positions_of_images_that_are_not_square_are_never_taken_for_a_square() {
    let of = |image: Value| json!({"model_args": {"img_size": image, "num_heads": 2}});
    let input =
        json!({"pretrained_cfg": {"input_size": [3, 8, 12]}, "model_args": {"num_heads": 2}});
    let wanted = |size| Hints { image_size: Some(size), ..Hints::default() };
    // 4 x 6 patches and a class token are as many as 5 x 5 without.
    for config in [of(json!([8, 12])), input] {
        let said = timm(25, config.clone(), &Hints::default()).unwrap_err();
        assert!(said.contains("8 x 12 px") && said.contains("4 x 6 patches"), "{said}");
        assert!(said.contains("--image-size 8"), "{said}");
        let model = timm(25, config, &wanted(8)).unwrap();
        assert_eq!((model.config.image_size, model.config.class_position), (8, true));
        assert_eq!(model.tensors["pos_embed"].shape, [1, 17, 8]);
        let notes = model.notes.join("\n");
        assert!(notes.contains("resized from 4 x 6 to 4 x 4"), "{notes}");
        let again = to_task(model, Some(8), None, Resize::Zoom).unwrap();
        assert_eq!(again.notes.join("\n"), notes, "nothing is resized twice");
    }
    let said = timm(25, of(json!([8, 12])), &wanted(7)).unwrap_err();
    assert!(said.contains("not of whole patches of 2 px"), "{said}");
    // The grid also tells whether the class token has a position, which the number alone does not.
    let model = timm(25, of(json!(10)), &Hints::default()).unwrap();
    assert_eq!((model.config.image_size, model.config.class_position), (10, false));
    let model = timm(26, of(json!([10, 10])), &Hints::default()).unwrap();
    assert_eq!((model.config.image_size, model.config.class_position), (10, true));
    // Without a config.json, the guess is told.
    let (folder, mut list) = (TempDir::new().unwrap(), tensors());
    list.iter_mut().find(|(name, _)| name == "pos_embed").unwrap().1 = vec![1, 25, 8];
    let path = folder.path().join("model.safetensors");
    write(&path, &list);
    let notes = read(&path, &heads(2)).unwrap().notes.join("\n");
    assert!(notes.contains("25 positions are taken for those of 5 x 5 patches"), "{notes}");
}

#[test]
fn hugging_faces_images_may_be_not_square_too() {
    // 16 px images in patches of 4 px: 17 positions become 4 x 9 + 1.
    let wide: Change<'_> = &|list, config| {
        let positions = list.iter_mut().find(|(name, ..)| name.ends_with("position_embeddings"));
        let (_, _, shape, bytes) = positions.unwrap();
        shape[1] = 37;
        bytes.resize(37 * shape[2] * 4, 0);
        config["image_size"] = json!([16, 36]);
    };
    let folder = hugging_face("vit");
    let said = changed(&folder, wide, &Hints::default()).unwrap_err();
    assert!(said.contains("4 x 9 patches"), "36 is not 6 x 6: {said}");
    let hints = Hints { image_size: Some(16), ..Hints::default() };
    let model = changed(&folder, wide, &hints).unwrap();
    let (width, positions) = (model.config.width(), &model.tensors["pos_embed"]);
    assert_eq!(positions.shape, [1, 17, width]);
    let original = read(&folder, &Hints::default()).unwrap();
    let class = |model: &Pretrained| model.tensors["pos_embed"].values[..width].to_vec();
    assert_eq!(class(&model), class(&original), "the class token's stays as it is");
}

#[test]
fn settings_that_the_tensors_contradict_are_refused() {
    let timm_base = |change: Value| {
        let mut config = json!({"model_args": {"num_heads": 2}});
        for (key, value) in change.as_object().unwrap() {
            match config[key].is_object() {
                true => {
                    config[key].as_object_mut().unwrap().extend(value.as_object().unwrap().clone())
                }
                false => config[key] = value.clone(),
            }
        }
        timm(5, config, &Hints::default())
    };
    timm_base(json!({"num_classes": 3, "model_args": {"img_size": 4, "embed_dim": 8, "depth": 2}}))
        .unwrap();
    for (config, words) in [
        (
            json!({"num_classes": 10}),
            "`num_classes` is 10, but the tensors have a number of classes of 3",
        ),
        (json!({"model_args": {"embed_dim": 16}}), "`model_args.embed_dim` is 16"),
        (json!({"model_args": {"depth": 3}}), "`model_args.depth` is 3, but"),
        (json!({"model_args": {"patch_size": 4}}), "a patch size of 2"),
        (json!({"model_args": {"patch_size": [2, 4]}}), "are not square"),
        (json!({"model_args": {"in_chans": 1}}), "a number of channels of 3"),
        (json!({"model_args": {"reg_tokens": 4}}), "a number of registers of 0"),
        (
            json!({"model_args": {"img_size": 224}}),
            "112 x 112 patches, but the tensors have 5 positions",
        ),
        (json!({"model_args": {"img_size": 4, "no_embed_class": true}}), "have 5 positions"),
        (json!({"model_args": {"img_size": "large"}}), "which is not a size"),
        (json!({"model_args": {"img_size": [4, 4, 4]}}), "two sides"),
    ] {
        let said = timm_base(config).unwrap_err();
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    for (name, key, value, words) in [
        ("vit", "hidden_size", json!(48), "`hidden_size` is 48, but"),
        ("vit", "num_hidden_layers", json!(3), "`num_hidden_layers` is 3"),
        ("vit", "intermediate_size", json!(7), "`intermediate_size` is 7"),
        ("vit", "id2label", json!({"0": "cat", "1": "dog"}), "classes of 3"),
        ("vit", "image_size", json!(384), "96 x 96 patches"),
        ("dinov2-registers", "num_register_tokens", json!(4), "registers of 3"),
        ("dinov2", "num_channels", json!(1), "channels of 3"),
    ] {
        let said = changed(
            &hugging_face(name),
            &|_, config| config[key] = value.clone(),
            &Hints::default(),
        );
        let said = said.unwrap_err();
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    let hints = heads(6);
    let said = read(&hugging_face("vit"), &hints).unwrap_err().to_string();
    assert!(said.contains("it has 3 heads, as config.json says, and not 6"), "{said}");
}

#[test]
fn integers_are_left_out_unless_they_are_the_weights() {
    let buffer = |name: &str| (name.to_owned(), Dtype::I64, vec![], vec![0; 8]);
    let with_buffers: Change<'_> = &|list, _| {
        list.push(buffer("vit.embeddings.position_ids"));
        for layer in 0..2 {
            list.push(buffer(&format!("vit.encoder.layer.{layer}.relative_position_index")));
        }
    };
    let folder = hugging_face("vit");
    let notes = changed(&folder, with_buffers, &Hints::default()).unwrap().notes.join("\n");
    for words in [
        "`embeddings.position_ids` is left out: no weights are I64",
        "`encoder.layer.0.relative_position_index` and 1 like it are left out",
    ] {
        assert!(notes.contains(words), "`{words}` is not in\n{notes}");
    }
    let quantised: Change<'_> = &|list, _| {
        let (_, kind, shape, bytes) =
            list.iter_mut().find(|(name, ..)| name == "classifier.weight").unwrap();
        *kind = Dtype::I8;
        bytes.truncate(shape.iter().product());
    };
    let said = changed(&folder, quantised, &Hints::default()).unwrap_err();
    assert!(said.contains("`classifier.weight` is I8") && said.contains("dequantised"), "{said}");
}

#[test]
fn what_a_model_has_no_place_for_is_named_as_in_the_file() {
    let query: Change<'_> = &|list, _| {
        // Without a first layer's biases, a model has none; these are one too many.
        list.retain(|(name, ..)| {
            !name.contains("layer.0.attention.attention") || !name.ends_with("bias")
        });
    };
    let said = changed(&hugging_face("vit"), query, &Hints::default()).unwrap_err();
    let line = "unexpected  encoder.layer.1.attention.attention.query.bias [24]";
    assert!(said.contains(line), "`{line}` is not in\n{said}");
    assert!(!said.contains("qkv"), "{said}");
}

#[test]
fn what_is_beyond_a_plain_model_is_told() {
    let notes = read(&hugging_face("dinov2-registers"), &Hints::default()).unwrap().notes;
    assert!(notes.contains(&"with 3 registers, LayerScale, SwiGLU".to_owned()), "{notes:?}");
    let notes = read(&hugging_face("vit"), &Hints::default()).unwrap().notes.join("\n");
    assert!(!notes.contains("with "), "{notes}");
}

#[test]
fn pytorchs_files_give_the_weights_that_pytorch_saved() {
    let at = |name: &str| root().join("tests/fixtures/torch").join(name);
    for (name, under, others) in [
        ("model", "names of timm", vec!["`steps` is left out: no weights are int64"]),
        (
            "checkpoint",
            "names of timm, under `state_dict_ema.`",
            vec!["(`--part module.module`)", "`module.module.blocks.0.attn.proj.bias` and"],
        ),
    ] {
        let model = read(&at(&format!("{name}.pth")), &heads(2)).unwrap();
        assert_eq!((model.config.width(), model.config.image_size), (8, 4));
        let notes = model.notes.join("\n");
        for words in [&[under], others.as_slice()].concat() {
            assert!(notes.contains(words), "`{words}` is not in\n{notes}");
        }
        // The same weights from NumPy's archive are the same model.
        assert_eq!(model.tensors, read(&at(&format!("{name}.npz")), &heads(2)).unwrap().tensors);
        let head = &arrays(&at(&format!("{name}.npz")))["head.bias"];
        assert_eq!(model.tensors["head.bias"], *head);
    }
    let hints = Hints { part: Some("module".into()), ..heads(2) };
    let trained = read(&at("checkpoint.pth"), &hints).unwrap();
    let averaged = read(&at("checkpoint.pth"), &heads(2)).unwrap();
    assert_ne!(trained.tensors, averaged.tensors);
    let refused = read(&at("module.pth"), &heads(2)).unwrap_err();
    assert!(matches!(refused, InterchangeError::Damaged { .. }), "{refused}");
}
