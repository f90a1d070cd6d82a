//! Whole files whose tensors are not a model's: every difference is listed, and nothing is built.

use std::path::Path;

use safetensors::{Dtype, tensor::TensorView};
use tempfile::TempDir;
use vitral_interchange::{Hints, InterchangeError, read};

/// timm's tensors of a model of width 8, depth 2, patches of 2 px.
pub fn tensors() -> Vec<(String, Vec<usize>)> {
    let mut list: Vec<(String, Vec<usize>)> = [
        ("cls_token", vec![1, 1, 8]),
        ("pos_embed", vec![1, 5, 8]),
        ("patch_embed.proj.weight", vec![8, 3, 2, 2]),
        ("patch_embed.proj.bias", vec![8]),
        ("norm.weight", vec![8]),
        ("norm.bias", vec![8]),
        ("head.weight", vec![3, 8]),
        ("head.bias", vec![3]),
    ]
    .map(|(name, shape)| (name.into(), shape))
    .into();
    for layer in 0..2 {
        for (name, shape) in [
            ("norm1.weight", vec![8]),
            ("norm1.bias", vec![8]),
            ("attn.qkv.weight", vec![24, 8]),
            ("attn.qkv.bias", vec![24]),
            ("attn.proj.weight", vec![8, 8]),
            ("attn.proj.bias", vec![8]),
            ("norm2.weight", vec![8]),
            ("norm2.bias", vec![8]),
            ("mlp.fc1.weight", vec![16, 8]),
            ("mlp.fc1.bias", vec![16]),
            ("mlp.fc2.weight", vec![8, 16]),
            ("mlp.fc2.bias", vec![8]),
        ] {
            list.push((format!("blocks.{layer}.{name}"), shape));
        }
    }
    list
}

/// A file of zeros.
pub fn write(path: &Path, tensors: &[(String, Vec<usize>)]) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(_, shape)| vec![0; 4 * shape.iter().product::<usize>()]).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape), bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// What reading says after some of the tensors were changed.
fn complaint(change: impl FnOnce(&mut Vec<(String, Vec<usize>)>)) -> InterchangeError {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    let mut list = tensors();
    change(&mut list);
    write(&path, &list);
    read(&path, &heads(2)).unwrap_err()
}

/// What a file without a config.json needs beside it.
pub fn heads(heads: usize) -> Hints {
    Hints { heads: Some(heads), ..Hints::default() }
}

fn rename(list: &mut [(String, Vec<usize>)], from: &str, to: &str) {
    list.iter_mut().find(|(name, _)| name == from).unwrap().0 = to.into();
}

fn reshape(list: &mut [(String, Vec<usize>)], name: &str, shape: &[usize]) {
    list.iter_mut().find(|(other, _)| other == name).unwrap().1 = shape.to_vec();
}

#[test]
fn every_mismatch_is_listed_by_name_and_shape() {
    let error = complaint(|list| {
        rename(list, "blocks.1.norm2.bias", "blocks.1.norm3.bias");
        rename(list, "norm.weight", "norm.wieght");
        reshape(list, "blocks.0.mlp.fc1.bias", &[17]);
        reshape(list, "blocks.1.attn.qkv.weight", &[24, 8, 1]);
    });
    let InterchangeError::Mismatch { mismatches, .. } = &error else { panic!("{error}") };
    let pair = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
    assert_eq!(mismatches.missing, [pair("blocks.1.norm2.bias", &[8]), pair("norm.weight", &[8])]);
    assert_eq!(
        mismatches.unexpected,
        [pair("blocks.1.norm3.bias", &[8]), pair("norm.wieght", &[8])]
    );
    let text = error.to_string();
    for line in [
        "missing     norm.weight [8]",
        "unexpected  blocks.1.norm3.bias [8]",
        "shape       blocks.0.mlp.fc1.bias is [17], but would be [16]",
        "shape       blocks.1.attn.qkv.weight is [24, 8, 1], but would be [24, 8]",
    ] {
        assert!(text.contains(line), "`{line}` is not in\n{text}");
    }
}

#[test]
fn what_makes_no_vision_transformer_is_told_before_memory_is_taken() {
    type Change = fn(&mut Vec<(String, Vec<usize>)>);
    let cases: [(Change, &str); 8] = [
        (|l| rename(l, "blocks.1.norm1.bias", "blocks.99999.norm1.bias"), "number of layers"),
        (|l| rename(l, "blocks.1.norm1.bias", "blocks.3.norm1.bias"), "layer 2 of 4 is missing"),
        (|l| reshape(l, "patch_embed.proj.weight", &[0, 3, 2, 2]), "width would be 0"),
        (|l| reshape(l, "patch_embed.proj.weight", &[8, 3, 2, 1]), "not square"),
        (|l| reshape(l, "patch_embed.proj.weight", &[70000, 3, 2, 2]), "width would be 70000"),
        (|l| reshape(l, "pos_embed", &[1, 8, 8]), "square grid"),
        (|l| reshape(l, "pos_embed", &[1, 0, 8]), "square grid"),
        (|l| l.retain(|(name, _)| !name.starts_with("blocks.0.attn.proj")), "are unknown"),
    ];
    for (change, words) in cases {
        let said = complaint(change).to_string();
        assert!(said.contains(words), "`{words}` is not in\n{said}");
    }
    // A width that alone would ask for a model of many gigabytes.
    let said = complaint(|l| reshape(l, "patch_embed.proj.weight", &[60000, 3, 1, 1])).to_string();
    assert!(said.contains("[180000, 60000]"), "{said}");
}

#[test]
fn heads_that_nothing_tells_are_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    write(&path, &tensors());
    let said = read(&path, &Hints::default()).unwrap_err().to_string();
    assert!(said.contains("--heads"), "{said}");
    let said = read(&path, &heads(3)).unwrap_err().to_string();
    assert!(said.contains("3 heads do not divide a width of 8"), "{said}");
    assert_eq!(read(&path, &heads(4)).unwrap().config.heads(), 4);
}
