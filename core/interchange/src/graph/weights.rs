//! A model's weights as bytes, one parameter at a time.

use std::{collections::HashMap, io};

use burn::tensor::Tensor;
use half::f16;
use vitral_model::{ViT, parameters};
use vitral_program::TensorType;

use super::walk::{Builder, unsupported};
use crate::InterchangeError;

/// The weights of a model, by name.
pub(crate) struct Weights {
    tensors: HashMap<String, Tensor<1>>,
    f16: bool,
}

/// One weight that a graph uses.
#[derive(Clone, Debug)]
pub(crate) struct Weight {
    pub name: String,
    pub sizes: Vec<usize>,
    /// Bytes of its values.
    pub bytes: u64,
}

impl Weight {
    /// That of a parameter, in 16 bits or in 32.
    pub(crate) fn of(name: &str, r#type: &TensorType, f16: bool) -> Self {
        let sizes = r#type.shape.sizes().unwrap_or_default();
        let bytes = (sizes.iter().product::<usize>() * width(f16)) as u64;
        Self { name: name.to_owned(), sizes, bytes }
    }
}

/// Bytes of one value.
const fn width(f16: bool) -> usize {
    if f16 { 2 } else { 4 }
}

impl Weights {
    pub(crate) fn of(model: &ViT, f16: bool) -> Self {
        let names = parameters::infos(model).into_iter().map(|info| info.name);
        Self { tensors: names.zip(parameters::values(model)).collect(), f16 }
    }

    /// Whether values have 16 bits.
    pub(crate) const fn f16(&self) -> bool {
        self.f16
    }

    /// The values of a weight, little-endian.
    ///
    /// # Errors
    /// It does not fit 16 bits where it has to, or cannot be read from its device.
    pub(crate) fn bytes<T: Builder>(&self, weight: &Weight) -> Result<Vec<u8>, InterchangeError> {
        let name = &weight.name;
        let tensor = self.tensors.get(name);
        let tensor = tensor.ok_or_else(|| unsupported::<T>(format!("`{name}`: no such weight")))?;
        let values = tensor.try_to_vec_as::<f32>().map_err(|error| InterchangeError::Io {
            path: name.into(),
            source: io::Error::other(error.to_string()),
        })?;
        if !self.f16 {
            return Ok(values.into_iter().flat_map(f32::to_le_bytes).collect());
        }
        let narrow = |value: f32| {
            let narrow = f16::from_f32(value);
            if narrow.is_infinite() && value.is_finite() {
                let problem = format!("{value} of `{name}` in 16 bits: the most is 65504");
                return Err(unsupported::<T>(problem));
            }
            Ok(narrow.to_le_bytes())
        };
        let narrow: Result<Vec<_>, _> = values.into_iter().map(narrow).collect();
        Ok(narrow?.into_iter().flatten().collect())
    }
}
