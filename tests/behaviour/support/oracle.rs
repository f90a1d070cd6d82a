//! Reference values computed by google-research/vision_transformer, under its names.

use std::{fs::File, io::BufReader};

use burn::tensor::{Device, Tensor, TensorData};
use npyz::NpyFile;
use vitral_model::{ViTConfig, parameters::ParameterInfo};
use zip::ZipArchive;

use super::root;

/// One NumPy archive of the oracle.
pub struct Archive(ZipArchive<BufReader<File>>);

impl Archive {
    pub fn open(name: &str) -> Self {
        let file = File::open(root().join("tests/fixtures/oracle").join(name)).unwrap();
        Self(ZipArchive::new(BufReader::new(file)).unwrap())
    }

    /// An array's shape and values.
    pub fn array(&mut self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let entry = self.0.by_name(&format!("{name}.npy"));
        let entry = entry.unwrap_or_else(|error| panic!("{name}: {error}"));
        let array = NpyFile::new(entry).unwrap();
        let shape = array.shape().iter().map(|&length| length as usize).collect();
        (shape, array.into_vec().unwrap())
    }

    pub fn tensor<const D: usize>(&mut self, name: &str) -> Tensor<D> {
        let (shape, values) = self.array(name);
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    /// The values of all parameters in our order and layout.
    pub fn parameters(&mut self, infos: &[ParameterInfo]) -> Vec<Vec<f32>> {
        infos
            .iter()
            .map(|info| {
                let values = self.parameter(&info.name);
                assert_eq!(values.len(), info.elements(), "{}", info.name);
                values
            })
            .collect()
    }

    fn parameter(&mut self, name: &str) -> Vec<f32> {
        let parts: Vec<&str> = name.split('.').collect();
        let kernel = |part: &str| if part == "weight" { "kernel" } else { "bias" };
        let norm = |part: &str| if part == "weight" { "scale" } else { "bias" };
        let plain = match parts.as_slice() {
            ["cls_token"] => "cls".into(),
            ["pos_embed"] => "Transformer/posembed_input/pos_embedding".into(),
            ["patch_embed", "proj", part] => format!("embedding/{}", kernel(part)),
            ["norm", part] => format!("Transformer/encoder_norm/{}", norm(part)),
            ["head", part] => format!("head/{}", kernel(part)),
            ["blocks", index, rest @ ..] => {
                let block = format!("Transformer/encoderblock_{index}");
                let attention = format!("{block}/MultiHeadDotProductAttention_0");
                match rest {
                    ["norm1", part] => format!("{block}/LayerNorm_0/{}", norm(part)),
                    ["norm2", part] => format!("{block}/LayerNorm_1/{}", norm(part)),
                    ["mlp", "fc1", part] => format!("{block}/MlpBlock_0/Dense_0/{}", kernel(part)),
                    ["mlp", "fc2", part] => format!("{block}/MlpBlock_0/Dense_1/{}", kernel(part)),
                    ["attn", "proj", part] => format!("{attention}/out/{}", kernel(part)),
                    ["attn", "qkv", part] => return self.packed(&attention, kernel(part)),
                    _ => panic!("{name} has no counterpart"),
                }
            }
            _ => panic!("{name} has no counterpart"),
        };
        self.array(&plain).1
    }

    /// Query, key and value side by side in each row.
    fn packed(&mut self, attention: &str, part: &str) -> Vec<f32> {
        let parts =
            ["query", "key", "value"].map(|name| self.array(&format!("{attention}/{name}/{part}")));
        let rows = if part == "kernel" { parts[0].0[0] } else { 1 };
        let width = parts[0].1.len() / rows;
        (0..rows)
            .flat_map(|row| {
                parts.iter().flat_map(move |(_, values)| &values[row * width..(row + 1) * width])
            })
            .copied()
            .collect()
    }
}

/// The model whose parameters the oracle has.
pub fn tiny_token() -> ViTConfig {
    ViTConfig {
        image_size: 32,
        classes: 10,
        patch_size: Some(8),
        width: Some(32),
        depth: Some(2),
        heads: Some(4),
        mlp_ratio: 2.0,
        ..ViTConfig::default()
    }
}

/// Values as flat tensors on a device.
pub fn to_tensors(values: &[Vec<f32>], device: &Device) -> Vec<Tensor<1>> {
    values.iter().map(|values| Tensor::from_floats(values.as_slice(), device)).collect()
}
