//! Where a patch is: position embeddings added to tokens, rotations of queries and keys, and
//! biases on attention scores.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use vitral_program::{DType, Dim, ops as op};

pub use crate::config::Position;
use crate::{
    grid::Grid,
    init::{Fill, Initializer},
    ops::Ops,
    waves::Rope,
};

/// The rotations of 2-D RoPE (Su et al. 2021, axial as in EVA-02 and DINOv3): the first half of the
/// angles turns with the row, the second with the column. Tokens before the patches do not turn, unless registers have a
/// square of their own.
#[derive(Clone, Debug)]
pub(crate) struct RotaryTable<T> {
    /// Cosines and sines, `[tokens, head_dim]` or `[B, 1, tokens, head_dim]` each.
    pub(crate) waves: [T; 2],
}

impl<T: Clone> RotaryTable<T> {
    /// `head_dim` must be a multiple of 4.
    pub(crate) fn new<O: Ops<Tensor = T>>(
        ops: &mut O,
        grid: Grid,
        head_dim: usize,
        rope: &Rope,
    ) -> Self {
        Self { waves: ops.rotary(grid, head_dim, rope) }
    }

    /// The table of images that keep only the patches `kept`, `[B, kept]`, after `prefix` tokens.
    pub(crate) fn keeping<O: Ops<Tensor = T>>(self, ops: &mut O, kept: &T, prefix: usize) -> Self {
        let waves = self.waves.map(|table| {
            let (tokens, head_dim) = (ops.size(&table, 0), ops.size(&table, 1));
            let count = ops.size(kept, 1);
            let patches = ops.slice(table.clone(), 0, prefix, tokens - prefix);
            let patches = ops.apply(op::Gather { axis: 0 }, [patches, kept.clone()]);
            let mut parts = Vec::with_capacity(2);
            if prefix > 0 {
                let first = ops.slice(table, 0, 0, prefix);
                let first = ops.reshape(first, [1, prefix, head_dim].map(Dim::from));
                parts.push(ops.expand(first, [Dim::BATCH, prefix.into(), head_dim.into()]));
            }
            parts.push(patches);
            let all = ops.concat(parts, 1);
            ops.reshape(all, [Dim::BATCH, 1.into(), (prefix + count).into(), head_dim.into()])
        });
        Self { waves }
    }

    /// Turns queries or keys, `[B, heads, tokens, head_dim]`.
    pub(crate) fn rotate<O: Ops<Tensor = T>>(&self, ops: &mut O, input: T) -> T {
        ops.in_f32([input], |ops, [input]| {
            let [cos, sin] = self.waves.clone();
            let [first, second] = ops.split(input.clone(), 3);
            let opposite = ops.apply(op::Neg {}, [second]);
            let turned = ops.concat(vec![opposite, first], 3);
            let along = ops.mul(input, cos);
            let across = ops.mul(turned, sin);
            ops.add(along, across)
        })
    }
}

/// A learned bias for each head and each distance between two patches (Liu et al. 2021, Swin).
/// Tokens before the patches have three further entries, as in BEiT (Bao et al. 2022): from them,
/// to them, and among them.
#[derive(Module, Debug)]
pub struct RelativePositionBias {
    /// `[(2 grid - 1)^2 (+ 3), heads]`
    pub table: Param<Tensor<2>>,
    #[module(skip)]
    grid: usize,
    #[module(skip)]
    prefix: usize,
}

impl RelativePositionBias {
    pub(crate) fn new(init: &Initializer, grid: usize, prefix: usize, heads: usize) -> Self {
        let distances = (2 * grid - 1) * (2 * grid - 1);
        let entries = distances + if prefix > 0 { 3 } else { 0 };
        let fill = Fill::Normal { std: 0.02 };
        Self { table: init.parameter("table", [entries, heads], fill), grid, prefix }
    }

    /// `[heads, tokens, tokens]`, to be added to the attention scores.
    pub(crate) fn bias<O: Ops>(&self, ops: &mut O) -> O::Tensor {
        let Self { grid, prefix, .. } = *self;
        let tokens = prefix + grid * grid;
        let table = ops.parameter(&self.table);
        let name = format!("relative positions {grid} {prefix}");
        let index = ops.table(name, DType::I32, &[tokens, tokens], || {
            relative_indices(grid, prefix).into_iter().map(|row| row as f64).collect()
        });
        let bias = ops.apply(op::Gather { axis: 0 }, [table, index]);
        ops.transpose(bias, &[2, 0, 1])
    }
}

/// Each pair's row in the table, `[tokens, tokens]`.
pub(crate) fn relative_indices(grid: usize, prefix: usize) -> Vec<usize> {
    let tokens = prefix + grid * grid;
    let pairs = 0..tokens * tokens;
    pairs.map(|pair| relative_index(pair / tokens, pair % tokens, grid, prefix)).collect()
}

fn relative_index(query: usize, key: usize, grid: usize, prefix: usize) -> usize {
    let side = 2 * grid - 1;
    match (query.checked_sub(prefix), key.checked_sub(prefix)) {
        (Some(q), Some(k)) => {
            let rows = q / grid + grid - 1 - k / grid;
            let columns = q % grid + grid - 1 - k % grid;
            rows * side + columns
        }
        (None, Some(_)) => side * side,
        (Some(_), None) => side * side + 1,
        (None, None) => side * side + 2,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{Compute, eager::Eager};

    /// The property that RoPE exists for: a score depends on the difference of positions only.
    #[test]
    fn rotated_scores_depend_on_relative_position() {
        let (grid, head_dim) = (4, 8);
        let tokens = 1 + grid * grid;
        let mut ops = Eager::new(1, &Device::flex(), Compute::F32);
        let table = RotaryTable::new(
            &mut ops,
            Grid::own(grid),
            head_dim,
            &Rope { theta: 100.0, prefix: 1, registers: None },
        );
        let mut same = |values: [f32; 8]| {
            let all = ops.constant(&[1, 1, tokens, head_dim], &values.repeat(tokens));
            table.rotate(&mut ops, all)
        };
        let q = same([0.3, -0.2, 0.9, 0.1, -0.5, 0.4, 0.2, -0.7]);
        let k = same([0.1, 0.8, -0.3, 0.5, 0.6, -0.9, 0.2, 0.4]);
        let k = ops.transpose(k, &[0, 1, 3, 2]);
        let scores = ops.matmul(q, k);
        let scores: Vec<f32> = Eager::values::<4>(scores).try_into_vec_as().unwrap();
        let score = |q: usize, k: usize| scores[(1 + q) * tokens + 1 + k];
        assert!((score(0, 5) - score(5, 10)).abs() < 1e-5, "one down, one right");
        assert!((score(2, 3) - score(9, 10)).abs() < 1e-5, "one right");
        assert!((score(0, 1) - score(0, 4)).abs() > 1e-3, "right is not down");
        assert!(
            (scores[0] - 0.3 * 0.1 + 0.2 * 0.8 + 0.9 * 0.3 - 0.1 * 0.5 + 0.5 * 0.6 + 0.4 * 0.9
                - 0.04
                + 0.28)
                .abs()
                < 1e-5
        );
    }

    #[test]
    fn relative_index_numbers_each_distance_once() {
        let grid = 3;
        let mut seen = std::collections::BTreeMap::new();
        for q in 0..9usize {
            for k in 0..9usize {
                let distance = ((q / 3) as i32 - (k / 3) as i32, (q % 3) as i32 - (k % 3) as i32);
                let index = relative_index(q + 2, k + 2, grid, 2);
                assert_eq!(*seen.entry(index).or_insert(distance), distance);
            }
        }
        assert_eq!(seen.len(), 25);
        assert_eq!(*seen.last_key_value().unwrap().0, 24);
        assert_eq!(
            [
                relative_index(0, 2, grid, 2),
                relative_index(2, 1, grid, 2),
                relative_index(0, 1, grid, 2)
            ],
            [25, 26, 27]
        );
    }
}
