//! A tensor in memory: a shape and its values, row by row.

use std::fmt;

/// A tensor of `f32`, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values, as many as the dimensions multiply to.
    pub values: Vec<f32>,
}

impl Array {
    /// A tensor of these dimensions.
    ///
    /// # Panics
    /// If the values are not as many as the dimensions say.
    pub fn new(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{shape:?}");
        Self { shape, values }
    }

    /// All zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        let values = vec![0.0; shape.iter().product()];
        Self { shape, values }
    }

    /// The same values under other dimensions.
    pub(crate) fn reshaped(self, shape: impl Into<Vec<usize>>) -> Self {
        Self::new(shape, self.values)
    }

    /// The dimensions in another order: dimension `i` of the result is dimension `order[i]`.
    pub(crate) fn permuted(&self, order: &[usize]) -> Self {
        let strides = strides(&self.shape);
        let shape: Vec<usize> = order.iter().map(|&axis| self.shape[axis]).collect();
        let steps: Vec<usize> = order.iter().map(|&axis| strides[axis]).collect();
        let mut values = Vec::with_capacity(self.values.len());
        let mut at = vec![0; shape.len()];
        let mut from = 0;
        for _ in 0..self.values.len() {
            values.push(self.values[from]);
            for axis in (0..shape.len()).rev() {
                at[axis] += 1;
                from += steps[axis];
                if at[axis] < shape[axis] {
                    break;
                }
                from -= steps[axis] * shape[axis];
                at[axis] = 0;
            }
        }
        Self { shape, values }
    }

    /// Tensors side by side along their last dimension; all have the same other dimensions.
    pub(crate) fn joined(parts: &[Self]) -> Self {
        let widths: Vec<usize> = parts.iter().map(Self::row_width).collect();
        let rows = parts.first().map_or(0, |part| part.values.len() / part.row_width().max(1));
        let mut values = Vec::with_capacity(parts.iter().map(|part| part.values.len()).sum());
        for row in 0..rows {
            for (part, &width) in parts.iter().zip(&widths) {
                values.extend_from_slice(&part.values[row * width..(row + 1) * width]);
            }
        }
        let mut shape = parts.first().map_or_else(Vec::new, |part| part.shape.clone());
        if let Some(last) = shape.last_mut() {
            *last = widths.iter().sum();
        }
        Self { shape, values }
    }

    /// What [`Array::joined`] was made of, in `count` equal parts.
    pub(crate) fn split(&self, count: usize) -> Vec<Self> {
        let width = self.row_width();
        let part = width / count;
        let mut shape = self.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = part;
        }
        (0..count)
            .map(|index| {
                let rows = self.values.chunks(width.max(1));
                let values =
                    rows.flat_map(|row| &row[index * part..(index + 1) * part]).copied().collect();
                Self { shape: shape.clone(), values }
            })
            .collect()
    }

    /// The entries of the last dimension in another order: each is the one of that position here, or
    /// zero.
    pub(crate) fn picked(&self, positions: &[Option<usize>]) -> Self {
        let mut shape = self.shape.clone();
        if let Some(last) = shape.last_mut() {
            *last = positions.len();
        }
        let rows = self.values.chunks(self.row_width().max(1));
        let pick = |row: &[f32]| -> Vec<f32> {
            positions.iter().map(|position| position.map_or(0.0, |from| row[from])).collect()
        };
        Self { shape, values: rows.flat_map(pick).collect() }
    }

    /// What a first dimension counts, one by one.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Self> + '_ {
        let shape = self.shape.get(1..).unwrap_or_default().to_vec();
        let count: usize = shape.iter().product();
        self.values
            .chunks(count.max(1))
            .map(move |values| Self { shape: shape.clone(), values: values.to_vec() })
    }

    fn row_width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Dimensions as people write them: `[768, 3, 16, 16]`.
pub(crate) struct Dimensions<'a>(pub(crate) &'a [usize]);

impl fmt::Display for Dimensions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_picked_in_every_row() {
        let picked = counted(&[2, 3]).picked(&[Some(2), None, Some(0), Some(1)]);
        assert_eq!(picked, Array::new([2, 4], vec![2., 0., 0., 1., 5., 0., 3., 4.]));
    }

    fn counted(shape: &[usize]) -> Array {
        let count: usize = shape.iter().product();
        Array::new(shape, (0..count).map(|value| value as f32).collect())
    }

    #[test]
    fn permuting_moves_dimensions() {
        let turned = counted(&[2, 3]).permuted(&[1, 0]);
        assert_eq!(turned, Array::new([3, 2], vec![0., 3., 1., 4., 2., 5.]));
        let array = counted(&[2, 3, 4, 5]);
        let there = array.permuted(&[2, 3, 1, 0]);
        assert_eq!(there.shape, [4, 5, 3, 2]);
        assert_eq!(there.values[7], 61.0, "[0, 1, 0, 1] was [1, 0, 0, 1]");
        assert_eq!(there.permuted(&[3, 2, 0, 1]), array);
    }

    #[test]
    fn joining_puts_rows_side_by_side_and_splitting_takes_them_apart() {
        let parts = [counted(&[2, 2]), counted(&[2, 2])];
        let joined = Array::joined(&parts);
        assert_eq!(joined, Array::new([2, 4], vec![0., 1., 0., 1., 2., 3., 2., 3.]));
        assert_eq!(joined.split(2), parts);
    }
}
