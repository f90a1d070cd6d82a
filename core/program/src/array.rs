//! Plain arrays for the reference implementation, and how they are walked.

use crate::misfit::Misfit;
use crate::types::DType;

/// A tensor's values, row-major. All are kept as `f64`: integers of 32 bits and truth values (0 and
/// 1) are exact in it, and floats have room for finite differences.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    dtype: DType,
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Array {
    /// An array of these values.
    ///
    /// # Errors
    /// If their number is not the shape's, or an `i32` or `bool` value is none.
    pub fn new(
        dtype: DType,
        shape: impl Into<Vec<usize>>,
        values: Vec<f64>,
    ) -> Result<Self, Misfit> {
        let shape = shape.into();
        let count = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        if count != Some(values.len()) {
            return Err(Misfit::new(format!(
                "{} values do not fill the shape {shape:?}",
                values.len()
            )));
        }
        if dtype != DType::F32 {
            values.iter().try_for_each(|&value| dtype.check(value))?;
        }
        Ok(Self { dtype, shape, values })
    }

    /// The type of the elements.
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// The size of each dimension, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values, row-major.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The values, to keep.
    pub fn into_values(self) -> Vec<f64> {
        self.values
    }

    /// Values that an op has computed for a shape.
    pub(crate) fn computed(dtype: DType, shape: &[usize], values: Vec<f64>) -> Self {
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { dtype, shape: shape.to_vec(), values }
    }

    /// The value at an index into a shape that this array broadcasts to.
    pub(crate) fn broadcast(&self, index: &[usize]) -> f64 {
        let own = &index[index.len() - self.shape.len()..];
        let flat = own
            .iter()
            .zip(&self.shape)
            .fold(0, |flat, (&at, &size)| flat * size + if size == 1 { 0 } else { at });
        self.values[flat]
    }

    /// The value at an index.
    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        self.values[flat(index, &self.shape)]
    }
}

/// The position of an index in the values.
pub(crate) fn flat(index: &[usize], shape: &[usize]) -> usize {
    index.iter().zip(shape).fold(0, |flat, (&at, &size)| flat * size + at)
}

/// Visits each index of a shape in row-major order.
pub(crate) fn each(shape: &[usize], mut visit: impl FnMut(&[usize])) {
    let mut index = vec![0; shape.len()];
    for _ in 0..shape.iter().product() {
        visit(&index);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

/// The values of a new array, computed from each index.
pub(crate) fn fill(shape: &[usize], mut value: impl FnMut(&[usize]) -> f64) -> Vec<f64> {
    let mut values = Vec::with_capacity(shape.iter().product());
    each(shape, |index| values.push(value(index)));
    values
}

/// Positions grouped into those that differ along `axes` only: a lane for each index of the other
/// axes, all in row-major order.
pub(crate) fn lanes(shape: &[usize], axes: &[usize]) -> Vec<Vec<usize>> {
    let without: Vec<_> =
        (0..shape.len()).map(|axis| if axes.contains(&axis) { 1 } else { shape[axis] }).collect();
    let mut lanes = vec![Vec::new(); without.iter().product()];
    let mut position = 0;
    each(shape, |index| {
        let lane: Vec<_> =
            index.iter().zip(&without).map(|(&at, &size)| at.min(size - 1)).collect();
        lanes[flat(&lane, &without)].push(position);
        position += 1;
    });
    lanes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_must_fill_the_shape_and_be_of_its_type() {
        assert!(Array::new(DType::F32, [2, 2], vec![0.0; 3]).is_err());
        assert!(Array::new(DType::F32, [usize::MAX, 2], vec![]).is_err());
        assert!(Array::new(DType::I32, [1], vec![0.5]).is_err());
        assert!(Array::new(DType::Bool, [1], vec![2.0]).is_err());
        assert!(Array::new(DType::I32, [], vec![-3.0]).is_ok());
    }

    #[test]
    fn lanes_run_along_their_axes() {
        assert_eq!(lanes(&[2, 3], &[1]), [vec![0, 1, 2], vec![3, 4, 5]]);
        assert_eq!(lanes(&[2, 3], &[0]), [vec![0, 3], vec![1, 4], vec![2, 5]]);
        assert_eq!(lanes(&[2, 2, 2], &[0, 2]), [vec![0, 1, 4, 5], vec![2, 3, 6, 7]]);
    }
}
