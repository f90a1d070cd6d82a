//! Runs an exported model with the runtime that it is for, and compares it with the model itself.

use std::{path::Path, process::Command};

use burn::tensor::{Tensor, TensorData, activation};
use half::f16;
use vitral_files::{Access, Existing, Kind, Scratch, write};
use vitral_model::{Compute, Mode, ViT, parameters, vit_program::Output};

use super::options::GraphOptions;
use crate::InterchangeError;

const SCRIPT: &str = include_str!("verify.py");
/// The script's exit code where Python lacks the runtime.
const NO_RUNTIME: i32 = 3;
/// Batches that are compared.
const BATCHES: [usize; 2] = [1, 3];

/// A format of graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphFormat {
    /// Run by onnxruntime.
    Onnx,
    /// Run by TensorFlow.
    SavedModel,
}

impl GraphFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::SavedModel => "saved-model",
        }
    }

    const fn package(self) -> &'static str {
        match self {
            Self::Onnx => "onnxruntime",
            Self::SavedModel => "tensorflow",
        }
    }
}

/// How far an exported model is from the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verified {
    /// The largest difference of any output.
    pub difference: f32,
    /// The largest output, which says what that means.
    pub largest: f32,
}

impl Verified {
    /// Whether the difference is what rounding in 32 bits explains.
    pub fn is_close(&self) -> bool {
        self.difference <= 1e-4 * self.largest.max(1.0)
    }
}

/// Runs what was written with these options in `python`, which must have the format's runtime, on noise in
/// place of images, and compares. Weights in 16 bits are compared with a model whose weights are rounded
/// alike.
///
/// # Errors
/// Python or the runtime is not there, or it does not run the file.
pub fn verify(
    model: &ViT,
    path: &Path,
    format: GraphFormat,
    options: &GraphOptions,
    python: &Path,
) -> Result<Verified, InterchangeError> {
    let temporary = std::env::temp_dir();
    let folder = Scratch::create(None).map_err(InterchangeError::io(&temporary))?;
    let model = if options.f16 { rounded(model)? } else { model.clone() };
    let model = model.computing_in(Compute::F32);
    let mut verified = Verified { difference: 0.0, largest: 0.0 };
    let sides = sides(&model, options);
    for (side, batch) in sides.iter().flat_map(|&side| BATCHES.map(|batch| (side, batch))) {
        let shape = [batch, side, side, model.config().channels];
        let noise = noise(shape);
        let pixels = options.interface.normalize.is_some();
        let (dtype, bytes) = match pixels {
            true => ("u1", noise.clone()),
            false => {
                let values = noise.iter().map(|&pixel| f32::from(pixel) / 127.5 - 1.0);
                ("<f4", values.flat_map(f32::to_le_bytes).collect())
            }
        };
        let expected = expected(&model, &noise, shape, options)?;
        let [images, result] = ["images", "result"].map(|name| folder.path().join(name));
        write(&images, &bytes, Existing::Replace, Access::Private)
            .map_err(InterchangeError::io(&images))?;
        let output = Command::new(python)
            // Isolated: modules of the folder that it happens to run in are none of Python's.
            .args(["-I", "-c", SCRIPT, format.name()])
            .arg(path)
            .arg(dtype)
            .args([&images, &result])
            .args(shape.map(|size| size.to_string()))
            .output()
            .map_err(InterchangeError::io(python))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            let problem = match output.status.code() {
                Some(NO_RUNTIME) => format!(
                    "{} has no {} to verify with ({last}): install it there, or name another \
                     Python",
                    python.display(),
                    format.package()
                ),
                _ => format!("{} cannot run it: {last}", format.package()),
            };
            return Err(InterchangeError::Unverified { path: path.into(), problem });
        }
        let found =
            vitral_files::read(&result, Kind::TENSORS).map_err(InterchangeError::io(&result))?;
        let (found, _) = found.as_chunks::<4>();
        if found.len() != expected.len() {
            let (found, wanted) = (found.len(), expected.len());
            let problem = format!("it gives {found} numbers where the model gives {wanted}");
            return Err(InterchangeError::Unverified { path: path.into(), problem });
        }
        for (found, expected) in found.iter().map(|found| f32::from_le_bytes(*found)).zip(expected)
        {
            let difference = (found - expected).abs();
            // Not a number is as far as can be.
            let difference = if difference.is_nan() { f32::INFINITY } else { difference };
            verified.difference = verified.difference.max(difference);
            verified.largest = verified.largest.max(expected.abs());
        }
    }
    Ok(verified)
}

/// Sizes of images that are compared: the model's and, where it takes any, a larger and a smaller one.
fn sides(model: &ViT, options: &GraphOptions) -> Vec<usize> {
    let (own, patch) = (model.config().image_size, model.config().patch_size());
    match options.any_image_size {
        true => vec![own, own + patch, (own / patch).div_ceil(2) * patch],
        false => vec![own],
    }
}

/// Pixels without a pattern, the same each time.
fn noise(shape: [usize; 4]) -> Vec<u8> {
    let count = shape.iter().product();
    // A linear congruential generator with Knuth's constants.
    let mut state = shape[0] as u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..count).map(|_| next()).collect()
}

/// What the model gives for pixels.
fn expected(
    model: &ViT,
    pixels: &[u8],
    shape: [usize; 4],
    options: &GraphOptions,
) -> Result<Vec<f32>, InterchangeError> {
    let channels = shape[3];
    let values = pixels.iter().enumerate().map(|(at, &pixel)| match &options.interface.normalize {
        Some((mean, std)) => {
            let channel = at % channels;
            (f32::from(pixel) - 255.0 * mean[channel]) / (255.0 * std[channel])
        }
        None => f32::from(pixel) / 127.5 - 1.0,
    });
    let values: Vec<f32> = values.collect();
    let device = parameters::values(model).first().map(Tensor::device).unwrap_or_default();
    let images = Tensor::from_data(TensorData::new(values, shape), &device);
    let logits = model.forward(images, Mode::Eval);
    let outputs = match options.interface.output {
        Output::Logits => logits,
        Output::Softmax => activation::softmax(logits, 1),
        Output::Sigmoid => activation::sigmoid(logits),
    };
    host(outputs.reshape([-1]))
}

/// The model with weights that 16 bits hold.
fn rounded(model: &ViT) -> Result<ViT, InterchangeError> {
    let rounded = parameters::values(model).into_iter().map(|values| {
        let device = values.device();
        let values = host(values)?.into_iter().map(|value| f16::from_f32(value).to_f32());
        Ok(Tensor::from_floats(&values.collect::<Vec<_>>()[..], &device))
    });
    let rounded = rounded.collect::<Result<Vec<_>, InterchangeError>>()?;
    Ok(parameters::with_values(model.clone(), rounded))
}

fn host(values: Tensor<1>) -> Result<Vec<f32>, InterchangeError> {
    values.try_into_vec_as().map_err(|error| InterchangeError::Unverified {
        path: "the model".into(),
        problem: error.to_string(),
    })
}
