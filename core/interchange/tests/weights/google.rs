//! google-research/vision_transformer and big_vision.

use std::{collections::BTreeMap, fs::File, path::Path};

use npyz::WriterBuilder;
use tempfile::TempDir;
use vitral_interchange::{
    Array, Hints, Pretrained, Resize, read, resize_positions, to_task, write_published,
};
use vitral_model::{mlp::Mlp, pool::Pool, resnet::Stem};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::support::{arrays, largest_difference, logits, oracle};

fn open(path: &Path) -> Pretrained {
    read(path, &Hints::default()).unwrap()
}

fn save(path: &Path, arrays: &BTreeMap<String, Array>) {
    let mut archive = ZipWriter::new(File::create(path).unwrap());
    for (name, array) in arrays {
        archive.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        let shape: Vec<u64> = array.shape.iter().map(|&length| length as u64).collect();
        let options = npyz::WriteOptions::<f32>::new().default_dtype().shape(&shape);
        let mut writer = options.writer(&mut archive).begin_nd().unwrap();
        writer.extend(array.values.iter().copied()).unwrap();
        writer.finish().unwrap();
    }
    archive.finish().unwrap();
}

#[track_caller]
fn check_logits(model: &Pretrained, io: &str) {
    let io = arrays(&oracle(io));
    let found = logits(model, &io["input_nhwc"]);
    let difference = largest_difference(&found, &io["logits"].values);
    println!("{}: logits differ by at most {difference:e}", model.origin);
    assert!(difference < 1e-5, "{difference}");
}

#[test]
fn current_and_published_names_give_that_projects_logits() {
    for name in ["tiny_token.npz", "tiny_token.published.npz"] {
        let model = open(&oracle(name));
        let config = &model.config;
        assert_eq!((config.width(), config.depth(), config.heads()), (32, 2, 4));
        assert_eq!((config.image_size, config.patch_size(), config.mlp_dim()), (32, 8, 64));
        assert_eq!(
            (config.classes, config.mlp, config.pool),
            (10, Mlp::GeluTanh, Pool::ClassToken)
        );
        check_logits(&model, "tiny_token.io.npz");
    }
}

#[test]
fn other_heads_than_the_shapes_tell_are_refused() {
    let hints = Hints { heads: Some(8), ..Hints::default() };
    let said = read(&oracle("tiny_token.npz"), &hints).unwrap_err().to_string();
    assert!(said.contains("it has 4 heads"), "{said}");
}

/// The published checkpoint under big_vision's names: a prefix, positions of patches alone, and all
/// layers of a kind in one array.
fn as_big_vision(prefix: &str, stacked: bool) -> BTreeMap<String, Array> {
    let mut theirs = arrays(&oracle("tiny_token.npz"));
    let positions = theirs.remove("Transformer/posembed_input/pos_embedding").unwrap();
    let width = positions.shape[2];
    let cls = theirs.get_mut("cls").unwrap();
    cls.values.iter_mut().zip(&positions.values).for_each(|(token, position)| *token += position);
    let patches = Array::new([1, 16, width], positions.values[width..].to_vec());
    theirs.insert("pos_embedding".into(), patches);
    if stacked {
        let first = "Transformer/encoderblock_0/";
        let parts: Vec<String> =
            theirs.keys().filter_map(|name| name.strip_prefix(first)).map(str::to_owned).collect();
        for part in parts {
            let layers = [0, 1].map(|layer| {
                theirs.remove(&format!("Transformer/encoderblock_{layer}/{part}")).unwrap()
            });
            let shape = [&[2], layers[0].shape.as_slice()].concat();
            let values = layers.into_iter().flat_map(|layer| layer.values).collect();
            theirs.insert(format!("Transformer/encoderblock/{part}"), Array::new(shape, values));
        }
    }
    theirs.into_iter().map(|(name, array)| (format!("{prefix}{name}"), array)).collect()
}

#[test]
fn big_visions_names_mean_the_same_stacked_or_not() {
    let folder = TempDir::new().unwrap();
    for (prefix, stacked) in [("params/", false), ("params/", true), ("", true)] {
        let path = folder.path().join(format!("{stacked}.npz"));
        save(&path, &as_big_vision(prefix, stacked));
        let model = open(&path);
        assert!(!model.config.class_position);
        check_logits(&model, "tiny_token.io.npz");
    }
}

#[test]
fn a_published_archive_comes_out_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("published.npz");
    write_published(&open(&oracle("tiny_token.published.npz")), &out).unwrap();
    assert_eq!(arrays(&out), arrays(&oracle("tiny_token.published.npz")));
    // Under the current names the values are the same.
    let out = folder.path().join("current.npz");
    write_published(&open(&oracle("tiny_token.npz")), &out).unwrap();
    assert_eq!(arrays(&out), arrays(&oracle("tiny_token.published.npz")));
}

#[test]
fn hybrids_come_out_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    for (name, layers, patch) in [("tiny_root.npz", vec![], 4), ("tiny_resnet.npz", vec![2, 1], 1)]
    {
        let model = open(&oracle(name));
        let config = &model.config;
        assert_eq!(config.stem, Stem::ResNet { layers, width: 32 });
        assert_eq!((config.patch_size(), config.channels, config.image_size), (patch, 3, 32));
        let out = folder.path().join(name);
        write_published(&model, &out).unwrap();
        assert_eq!(arrays(&out), arrays(&oracle(name)));
    }
    // The current names, where a GroupNorm's parameters are vectors.
    let current = arrays(&oracle("tiny_resnet.npz")).into_iter().map(|(name, array)| {
        let count = array.values.len();
        let name = name
            .replace("LayerNorm_2", "LayerNorm_1")
            .replace("DotProductAttention_1", "DotProductAttention_0")
            .replace("MlpBlock_3", "MlpBlock_0");
        match name.contains("gn") {
            true => (name, Array::new([count], array.values)),
            false => (name, array),
        }
    });
    let out = folder.path().join("current.npz");
    save(&out, &current.collect());
    let of_current = open(&out);
    assert!(of_current.notes[0].contains("current names"), "{:?}", of_current.notes);
    assert_eq!(of_current.tensors, open(&oracle("tiny_resnet.npz")).tensors);
    // What is missing in the middle is named as the file would have it.
    let mut broken = arrays(&oracle("tiny_resnet.npz"));
    broken.remove("block1/unit2/gn3/scale");
    broken.remove("block2/unit1/conv_proj/kernel");
    save(&out, &broken);
    let said = read(&out, &Hints::default()).unwrap_err().to_string();
    assert!(said.contains("missing     block1/unit2/gn3/scale [1, 1, 1, 128]"), "{said}");
    assert!(said.contains("missing     block2/unit1/conv_proj/kernel [1, 1, 128, 256]"), "{said}");
}

#[test]
fn an_mlp_mixer_comes_out_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out.npz");
    let model = open(&oracle("tiny_mixer.npz"));
    let config = &model.config;
    assert_eq!((config.image_size, config.patch_size(), config.depth()), (32, 8, 2));
    assert_eq!((config.width(), config.tokens_mlp_dim(), config.mlp_dim()), (24, Some(12), 48));
    assert_eq!((config.classes, config.mlp, config.pool), (5, Mlp::GeluTanh, Pool::Mean));
    check_logits(&model, "tiny_mixer.io.npz");
    write_published(&model, &out).unwrap();
    assert_eq!(arrays(&out), arrays(&oracle("tiny_mixer.npz")));
    // A file of which a part is missing is refused by name, and so is one of no square grid.
    let mut broken = arrays(&oracle("tiny_mixer.npz"));
    broken.remove("MixerBlock_1/token_mixing/Dense_1/kernel");
    save(&out, &broken);
    let said = read(&out, &Hints::default()).unwrap_err().to_string();
    assert!(
        said.contains("missing     MixerBlock_1/token_mixing/Dense_1/kernel [12, 16]"),
        "{said}"
    );
    for block in 0..2 {
        broken.insert(
            format!("MixerBlock_{block}/token_mixing/Dense_0/kernel"),
            Array::zeros([15, 12]),
        );
    }
    save(&out, &broken);
    let said = read(&out, &Hints::default()).unwrap_err().to_string();
    assert!(said.contains("15 tokens are not those of a square grid"), "{said}");
}

#[test]
fn another_image_size_and_head_are_what_that_projects_loader_makes() {
    let model = to_task(open(&oracle("tiny_token.npz")), Some(48), Some(7), Resize::Zoom).unwrap();
    check_logits(&model, "tiny_token_to48_c7.io.npz");
    let expected = open(&oracle("tiny_token_to48_c7.npz"));
    assert_eq!(model.config, expected.config);
    for (name, array) in &expected.tensors {
        let difference = largest_difference(&model.tensors[name].values, &array.values);
        assert!(difference < 1e-6, "{name}: {difference}");
    }
    let words = model.notes.join("\n");
    assert!(words.contains("resized from 4 x 4 to 6 x 6"), "{words}");
    assert!(words.contains("the head starts afresh: the file's has 10 classes, not 7"), "{words}");
}

#[test]
fn positions_are_resized_as_that_project_does() {
    for (name, to) in [("posemb_7_12.npz", 12), ("posemb_14_24.npz", 24)] {
        let case = arrays(&oracle(name));
        let mut source = case["src"].clone();
        let mut wanted = case["dst"].clone();
        for array in [&mut source, &mut wanted] {
            if array.shape.len() == 2 {
                array.shape.insert(0, 1);
            }
        }
        let found = resize_positions(&source, 1, to, Resize::Zoom);
        assert_eq!(found.shape, wanted.shape);
        let difference = largest_difference(&found.values, &wanted.values);
        println!("{name}: positions differ by at most {difference:e}");
        assert!(difference < 1e-6, "{name}: {difference}");
    }
}
