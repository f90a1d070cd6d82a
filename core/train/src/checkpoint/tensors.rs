//! Tensors in safetensors files, and on their way to and from a device.

use std::{borrow::Cow, fs::OpenOptions, io, path::Path};

use burn::tensor::{Device, Tensor, TensorData};
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use vitral_files::Kind;
use vitral_model::parameters::ParameterInfo;

use crate::Error;

/// A named tensor in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

impl NamedTensor {
    /// Reads a flat tensor back from its device.
    pub(crate) fn from_device(
        name: String,
        shape: &[usize],
        tensor: &Tensor<1>,
    ) -> Result<Self, Error> {
        let values =
            tensor.try_to_vec_as::<f32>().map_err(|error| Error::Device(error.to_string()))?;
        Ok(Self { name, shape: shape.to_vec(), values })
    }
}

impl View for &NamedTensor {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let values: Vec<[u8; 4]> = self.values.iter().map(|value| value.to_le_bytes()).collect();
        values.into_flattened().into()
    }

    fn data_len(&self) -> usize {
        self.values.len() * 4
    }
}

/// Writes tensors into a new file, one after the other, and flushes it to the disk.
pub(super) fn write(path: &Path, tensors: &[NamedTensor]) -> io::Result<()> {
    let named = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
    safetensors::serialize_to_file(named, None, path).map_err(|error| match error {
        SafeTensorError::IoError(error) => error,
        error => io::Error::other(error),
    })?;
    OpenOptions::new().write(true).open(path)?.sync_all()
}

/// Reads all tensors of a file.
///
/// # Errors
/// What is wrong with the file, in words.
pub(super) fn read(path: &Path) -> Result<Vec<NamedTensor>, String> {
    let bytes = vitral_files::read(path, Kind::TENSORS).map_err(|error| error.to_string())?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| error.to_string())?;
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        if view.dtype() != Dtype::F32 {
            return Err(format!("{name} is {:?}, not F32", view.dtype()));
        }
        let (values, _) = view.data().as_chunks::<4>();
        let values = values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(NamedTensor { name, shape: view.shape().to_vec(), values })
    };
    file.tensors().into_iter().map(tensor).collect()
}

/// Picks the tensors of a model in its order and puts them on a device, flat.
///
/// `prefix` goes before each name.
///
/// # Errors
/// The first tensor that is missing, superfluous or of another shape, in words.
pub(crate) fn to_device(
    tensors: &[NamedTensor],
    infos: &[ParameterInfo],
    prefix: &str,
    device: &Device,
) -> Result<Vec<Tensor<1>>, String> {
    let by_name: std::collections::HashMap<&str, &NamedTensor> =
        tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    infos
        .iter()
        .map(|info| {
            let name = format!("{prefix}{}", info.name);
            let tensor =
                by_name.get(name.as_str()).ok_or_else(|| format!("`{name}` is missing"))?;
            if tensor.shape != info.shape {
                return Err(format!(
                    "`{name}` is {:?}, but the model has {:?}",
                    tensor.shape, info.shape
                ));
            }
            Ok(Tensor::from_data(
                TensorData::new(tensor.values.clone(), [tensor.values.len()]),
                device,
            ))
        })
        .collect()
}
