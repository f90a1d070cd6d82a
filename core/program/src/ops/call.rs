//! What an op is run on.

use vitral_seed::Seed;

use crate::array::Array;
use crate::types::DType;

/// What an op's reference implementation gets.
pub(crate) struct Call<'c> {
    /// The operands' values.
    pub operands: Vec<&'c Array>,
    /// The results' element types and sizes.
    pub results: Vec<(DType, Vec<usize>)>,
    /// Whether dropout drops.
    pub training: bool,
    /// The node's random stream.
    pub stream: Seed,
}

impl Call<'_> {
    /// The shape of the first result.
    pub fn shape(&self) -> &[usize] {
        self.shape_of(0)
    }

    /// The shape of a result.
    pub fn shape_of(&self, index: usize) -> &[usize] {
        &self.results[index].1
    }

    /// A result of these values. Integers wrap around to 32 bits.
    pub fn result(&self, index: usize, mut values: Vec<f64>) -> Array {
        let (dtype, shape) = &self.results[index];
        if *dtype == DType::I32 {
            for value in &mut values {
                *value = f64::from(*value as i64 as i32);
            }
        }
        Array::computed(*dtype, shape, values)
    }

    /// The only result.
    pub fn one(&self, values: Vec<f64>) -> Vec<Array> {
        vec![self.result(0, values)]
    }

    /// The only result, computed from each element of the first operand.
    pub fn map(&self, function: impl Fn(f64) -> f64) -> Vec<Array> {
        self.one(self.operands[0].values().iter().copied().map(function).collect())
    }
}
