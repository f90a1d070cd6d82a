//! Constants of a model on a device, made once: in each forward pass they are the same, and a device that repeats a
//! step on its own is sent nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use burn::tensor::Device;
use vitral_burn::program::{self, Value};
use vitral_program::{DType, TensorType, ops as op};

/// The constants of a model; on the device where they were first asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables(Arc<Mutex<HashMap<Key, (Device, Value)>>>);

/// What a constant is known by.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    /// The bits of its values, so that no two have the same.
    Values(TensorType, Vec<u64>),
}

impl Tables {
    /// The table of a name.
    pub(crate) fn named(
        &self,
        name: String,
        dtype: DType,
        sizes: &[usize],
        device: &Device,
        values: impl FnOnce() -> Vec<f64>,
    ) -> Value {
        self.get(Key::Name(name), device, || {
            Value::from_host(dtype, program::padded(sizes), &values(), device)
        })
    }

    /// The values of a constant, as [`program::constant`] has them.
    pub(crate) fn constant(&self, constant: &op::Constant, device: &Device) -> Value {
        let bits = constant.values.iter().map(|value| value.to_bits()).collect();
        let key = Key::Values(constant.r#type.clone(), bits);
        self.get(key, device, || program::constant(constant, device))
    }

    fn get(&self, key: Key, device: &Device, make: impl FnOnce() -> Value) -> Value {
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match tables.get(&key) {
            Some((on, value)) if on == device => value.clone(),
            _ => {
                let value = make();
                tables.insert(key, (device.clone(), value.clone()));
                value
            }
        }
    }
}
