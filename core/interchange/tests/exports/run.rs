//! Runs exported models in Python, with the runtimes that they are for.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use vitral_interchange::GraphOptions;
use vitral_model::{AttentionPrograms, Mode, ViT, ViTConfig};

use crate::models::{images_of, model};

/// The batches that every export is run with.
const BATCHES: [usize; 3] = [1, 3, 32];
/// The largest difference that is let pass, as the issue of exports sets it.
const TOLERANCE: f64 = 1e-5;

/// The root of the repository.
pub fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", ".."].iter().collect()
}

/// A batch's size, its images as bytes, and what the model gives for them.
pub type Case = (usize, Vec<u8>, Vec<f32>);

/// Models to export and compare.
pub struct Comparison {
    folder: tempfile::TempDir,
    format: &'static str,
    models: Vec<Value>,
}

impl Comparison {
    pub fn new(format: &'static str) -> Self {
        Self { folder: tempfile::TempDir::new().unwrap(), format, models: Vec::new() }
    }

    /// Where the next model goes.
    pub fn path(&self) -> PathBuf {
        let extension = if self.format == "onnx" { ".onnx" } else { "" };
        self.folder.path().join(format!("model-{}{extension}", self.models.len()))
    }

    /// Adds a model's logits on normalised images.
    pub fn add(
        &mut self,
        name: &str,
        config: &ViTConfig,
        programs: &AttentionPrograms,
        export: impl FnOnce(&ViT, &Path),
    ) {
        let model = model(config, programs);
        let path = self.path();
        export(&model, &path);
        let cases = Self::logits_of(config, &model, &[config.image_size]);
        self.add_cases(name, config, &GraphOptions::default(), ("<f4", "logits"), &cases);
    }

    /// A model's logits of images of some sizes, each in every batch.
    pub fn logits_of(config: &ViTConfig, model: &ViT, sides: &[usize]) -> Vec<Case> {
        let all = sides.iter().flat_map(|&side| BATCHES.map(|batch| (side, batch)));
        all.map(|(side, batch)| {
            let images = images_of(side, config, batch, -1.0..1.0);
            let logits = model.forward(images.clone(), Mode::Eval);
            let images: Vec<f32> = images.try_into_vec_as().unwrap();
            (batch, bytes(&images), logits.try_into_vec_as::<f32>().unwrap())
        })
        .collect()
    }

    /// Adds what a model that is written already gives for batches of images.
    pub fn add_cases(
        &mut self,
        name: &str,
        config: &ViTConfig,
        options: &GraphOptions,
        (dtype, output): (&str, &str),
        cases: &[Case],
    ) {
        let path = self.path();
        let value = if dtype == "u1" { 1 } else { 4 };
        let cases: Vec<_> = cases
            .iter()
            .enumerate()
            .map(|(index, (batch, images, expected))| {
                // Images are square.
                let size = (images.len() / (value * batch * config.channels)).isqrt();
                let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                assert!(largest > 0.1 || output != "logits", "{name}: {largest}");
                let file = |kind: &str, content: &[u8]| {
                    let file = path.with_extension(format!("{kind}-{index}"));
                    fs::write(&file, content).unwrap();
                    file
                };
                json!({
                    "images": file("images", images),
                    "shape": [*batch, size, size, config.channels],
                    "expected": file("expected", &bytes(expected)),
                })
            })
            .collect();
        let names = (!options.class_names.is_empty()).then(|| options.class_names.clone());
        self.models.push(json!({
            "name": name,
            "path": path,
            "dtype": dtype,
            "output": output,
            "class_names": names,
            "any_image_size": options.any_image_size,
            "cases": cases,
            // Keras takes long to start, and each of its layers to be traced.
            "keras": self.models.len().is_multiple_of(5) && self.format == "saved-model",
        }));
    }

    /// Runs them all, and fails if one differs by more than `TOLERANCE`.
    pub fn run(self) {
        let differences = self.differences();
        for (name, difference) in &differences {
            println!("{}: {name}: {difference:e}", self.format);
        }
        let wrong: Vec<_> =
            differences.iter().filter(|(_, difference)| *difference > TOLERANCE).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", self.format);
        assert_eq!(differences.len(), self.models.len(), "names are not unique");
    }

    /// The largest difference of each model.
    pub fn differences(&self) -> Vec<(String, f64)> {
        let manifest = self.folder.path().join("manifest.json");
        fs::write(&manifest, Value::from(self.models.clone()).to_string()).unwrap();
        let script = root().join("tests/validation/run_exports.py");
        let output =
            Command::new(python()).arg(script).arg(self.format).arg(manifest).output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {shown}", self.format);
        let stdout = String::from_utf8(output.stdout).unwrap();
        // TensorFlow may say something first.
        let last = stdout.lines().last().unwrap_or_default();
        let found: serde_json::Map<String, Value> = serde_json::from_str(last).unwrap();
        found.into_iter().map(|(name, value)| (name, value.as_f64().unwrap())).collect()
    }
}

pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The interpreter of the validation environment, which is made if it is not there.
pub fn python() -> PathBuf {
    let setup = root().join("tests/validation/setup");
    let output = Command::new(&setup).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {shown}", setup.display());
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
