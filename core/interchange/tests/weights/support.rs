//! What the tests share.

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    process::Command,
};

use burn::tensor::{Device, Tensor, TensorData};
use npyz::NpyFile;
use vitral_interchange::{Array, Pretrained};
use vitral_model::{Mode, ViT, parameters};
use vitral_seed::Seed;
use zip::ZipArchive;

/// The root of the repository.
pub fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect()
}

/// A file of google-research/vision_transformer's reference values.
pub fn oracle(name: &str) -> PathBuf {
    root().join("tests/fixtures/oracle").join(name)
}

/// All arrays of `f32` of an archive, read without Vitral.
pub fn arrays(path: &Path) -> BTreeMap<String, Array> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path).unwrap())).unwrap();
    let count = archive.len();
    let mut read = |index| {
        let entry = archive.by_index(index).unwrap();
        let name = entry.name().unwrap().strip_suffix(".npy").unwrap().to_owned();
        let array = NpyFile::new(entry).unwrap();
        if array.dtype().descr() != "'<f4'" {
            return None;
        }
        let shape: Vec<usize> = array.shape().iter().map(|&length| length as usize).collect();
        Some((name, Array::new(shape, array.into_vec().unwrap())))
    };
    (0..count).filter_map(&mut read).collect()
}

/// The logits of a model for images `[batch, height, width, channels]`.
pub fn logits(model: &Pretrained, images: &Array) -> Vec<f32> {
    let device = Device::flex();
    let vit = ViT::new(&model.config, Seed::new(0), &device).unwrap();
    let values = parameters::infos(&vit)
        .iter()
        .map(|info| {
            let array = &model.tensors[&info.name];
            assert_eq!(array.shape, info.shape, "{}", info.name);
            Tensor::from_data(TensorData::new(array.values.clone(), [array.values.len()]), &device)
        })
        .collect();
    let vit = parameters::with_values(vit, values);
    let images = TensorData::new(images.values.clone(), images.shape.clone());
    vit.forward(Tensor::from_data(images, &device), Mode::Eval).try_into_vec_as().unwrap()
}

/// The largest difference between two lists of values.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |largest, (a, b)| {
        assert!(a.is_finite() && b.is_finite(), "{a} and {b}");
        f32::max(largest, (a - b).abs())
    })
}

/// Runs a script of `tests/validation` in its Python environment.
pub fn python(script: &str, arguments: &[&str]) -> String {
    let setup = Command::new(root().join("tests/validation/setup")).output().unwrap();
    assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    let interpreter = String::from_utf8(setup.stdout).unwrap();
    let output = Command::new(interpreter.trim())
        .arg(root().join("tests/validation").join(script))
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}
