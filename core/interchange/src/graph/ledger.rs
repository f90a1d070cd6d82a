//! What a graph keeps while it is made, whatever its format.

use std::collections::HashMap;

use vitral_program::DType;

use super::sizes::Sizes;

/// The names that are taken, the constants that are there, and the sizes that were computed.
#[derive(Default)]
pub(crate) struct Ledger {
    /// Constants by their type's number, sizes and bytes.
    constants: HashMap<(i64, Vec<usize>, Vec<u8>), String>,
    used: HashMap<String, usize>,
    place: String,
    computed: HashMap<String, String>,
    sizes: Sizes,
}

impl Ledger {
    /// Of a program whose sizes stand for these.
    pub(crate) fn new(sizes: Sizes) -> Self {
        Self { sizes, ..Self::default() }
    }

    /// What the program's sizes stand for.
    pub(crate) fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Where in the model the next nodes belong; gives where the last ones did.
    pub(crate) fn move_to(&mut self, place: &str) -> String {
        std::mem::replace(&mut self.place, place.to_owned())
    }

    /// A name for a node of a kind in the present place, which nothing has yet.
    pub(crate) fn name(&mut self, kind: &str) -> String {
        let base = match self.place.as_str() {
            "" => kind.to_owned(),
            place => format!("{place}/{kind}"),
        };
        let used = self.used.entry(base.clone()).or_default();
        *used += 1;
        match *used {
            1 => base,
            count => format!("{base}_{}", count - 1),
        }
    }

    /// The name of a constant, and whether it is new: equal ones are kept once.
    pub(crate) fn constant(&mut self, code: i64, sizes: &[usize], bytes: &[u8]) -> (String, bool) {
        let new = format!("constant_{}", self.constants.len());
        let key = (code, sizes.to_vec(), bytes.to_vec());
        let name = self.constants.entry(key).or_insert_with(|| new.clone());
        (name.clone(), *name == new)
    }

    /// What was computed under a name.
    pub(crate) fn computed(&self, name: &str) -> Option<String> {
        self.computed.get(name).cloned()
    }

    /// Keeps what was computed under a name.
    pub(crate) fn keep(&mut self, name: &str, value: &str) {
        self.computed.insert(name.to_owned(), value.to_owned());
    }
}

/// Values of a type as both formats have them.
pub(crate) fn bytes_of(dtype: DType, values: &[f64]) -> Vec<u8> {
    match dtype {
        DType::F32 => values.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
        DType::I32 => values.iter().flat_map(|&v| (v as i32).to_le_bytes()).collect(),
        DType::Bool => values.iter().map(|&v| u8::from(v != 0.0)).collect(),
    }
}
