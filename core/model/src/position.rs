//! Where a patch is: position embeddings added to tokens, rotations of queries and keys, and
//! biases on attention scores.

use burn::{
    module::{Module, Param},
    tensor::{Device, Int, Tensor, TensorData},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    compute::in_f32,
    init::{Fill, Initializer},
    resized_positions::Grid,
};

/// The position embedding that is added to the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Position {
    /// A learned vector per position, the class token's included (Dosovitskiy et al. 2021).
    #[default]
    Learned,
    /// Fixed sines and cosines of row and column (Beyer, Zhai and Kolesnikov 2022); the class
    /// token gets none.
    SinCos2d,
    /// Nothing is added; for use with `rope` or `relative_position_bias`.
    None,
}

/// `[1, grid * grid, width]`: sines and cosines of column, then of row, as big_vision's
/// `posemb_sincos_2d` with temperature 10000.
pub(crate) fn sincos_2d(grid: Grid, width: usize, device: &Device) -> Tensor<3> {
    let values = sincos_values(grid, width);
    Tensor::from_data(TensorData::new(values, [1, grid.side * grid.side, width]), device)
}

/// The values of [`sincos_2d`].
pub(crate) fn sincos_values(grid: Grid, width: usize) -> Vec<f32> {
    let quarter = width / 4;
    let omega = |i: usize| 10_000f64.powf(-(i as f64) / (quarter.max(2) - 1) as f64);
    let mut values = Vec::with_capacity(grid.side * grid.side * width);
    for row in 0..grid.side {
        for column in 0..grid.side {
            for (at, function) in [
                (column, f64::sin as fn(f64) -> f64),
                (column, f64::cos),
                (row, f64::sin),
                (row, f64::cos),
            ] {
                values.extend((0..quarter).map(|i| function(grid.place(at) * omega(i)) as f32));
            }
        }
    }
    values
}

/// The rotations of 2-D RoPE (Su et al. 2021, axial as in EVA-02 and DINOv3): the first half of the
/// angles turns with the row, the second with the column. Tokens before the patches do not turn.
#[derive(Module, Debug)]
pub struct RotaryTable {
    /// `[1 or batch, 1, tokens, head_dim]`
    cos: Tensor<4>,
    /// `[1 or batch, 1, tokens, head_dim]`
    sin: Tensor<4>,
}

/// Cosines and sines, `[tokens, head_dim]` each.
pub(crate) fn rotary_values(
    grid: Grid,
    prefix: usize,
    head_dim: usize,
    theta: f64,
) -> [Vec<f32>; 2] {
    let quarter = head_dim / 4;
    let mut angles = vec![0f64; prefix * head_dim / 2];
    for row in 0..grid.side {
        for column in 0..grid.side {
            for at in [row, column] {
                let at = grid.place(at);
                angles.extend((0..quarter).map(|i| at * theta.powf(-(i as f64) / quarter as f64)));
            }
        }
    }
    // Value i pairs with value i + head_dim / 2, so each angle stands twice.
    [f64::cos as fn(f64) -> f64, f64::sin].map(|function| {
        let rows = angles.chunks(head_dim / 2);
        let twice = rows.flat_map(|row| row.iter().chain(row));
        twice.map(|&angle| function(angle) as f32).collect()
    })
}

impl RotaryTable {
    /// `theta` is the base of the wavelengths; `head_dim` must be a multiple of 4.
    pub(crate) fn new(
        grid: Grid,
        prefix: usize,
        head_dim: usize,
        theta: f64,
        device: &Device,
    ) -> Self {
        let tokens = prefix + grid.side * grid.side;
        let [cos, sin] = rotary_values(grid, prefix, head_dim, theta).map(|values| {
            Tensor::from_data(TensorData::new(values, [1, 1, tokens, head_dim]), device)
        });
        Self { cos, sin }
    }

    /// The table of images that keep only the patches `kept`, `[batch, kept]`, after `prefix` tokens.
    pub(crate) fn keeping(&self, kept: &Tensor<2, Int>, prefix: usize) -> Self {
        let [batch, count] = kept.dims();
        let pick = |table: &Tensor<4>| {
            let [_, _, tokens, head_dim] = table.dims();
            let patches = table
                .clone()
                .narrow(2, prefix, tokens - prefix)
                .reshape([tokens - prefix, head_dim]);
            let patches = patches.select(0, kept.clone().reshape([batch * count]));
            let patches = patches.reshape([batch, 1, count, head_dim]);
            if prefix == 0 {
                return patches;
            }
            let head = table.clone().narrow(2, 0, prefix).repeat_dim(0, batch);
            Tensor::cat(vec![head, patches], 2)
        };
        Self { cos: pick(&self.cos), sin: pick(&self.sin) }
    }

    /// Width of the heads that it turns.
    pub(crate) fn head_dim(&self) -> usize {
        self.cos.dims()[3]
    }

    /// Turns queries or keys, `[batch, heads, tokens, head_dim]`.
    pub(crate) fn rotate(&self, input: Tensor<4>) -> Tensor<4> {
        let half = input.dims()[3] / 2;
        in_f32(input, |input| {
            let first = input.clone().narrow(3, 0, half);
            let second = input.clone().narrow(3, half, half);
            let turned = Tensor::cat(vec![second.neg(), first], 3);
            input * self.cos.clone() + turned * self.sin.clone()
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
    /// `[tokens * tokens]`: each pair's row in the table.
    index: Tensor<1, Int>,
    #[module(skip)]
    tokens: usize,
}

impl RelativePositionBias {
    pub(crate) fn new(init: &Initializer, grid: usize, prefix: usize, heads: usize) -> Self {
        let distances = (2 * grid - 1) * (2 * grid - 1);
        let entries = distances + if prefix > 0 { 3 } else { 0 };
        let tokens = prefix + grid * grid;
        let index: Vec<i32> =
            relative_indices(grid, prefix).into_iter().map(|row| row as i32).collect();
        Self {
            table: init.parameter("table", [entries, heads], Fill::Normal { std: 0.02 }),
            index: Tensor::from_data(TensorData::new(index, [tokens * tokens]), init.device()),
            tokens,
        }
    }

    /// `[1, heads, tokens, tokens]`, to be added to the attention scores.
    pub(crate) fn bias(&self) -> Tensor<4> {
        let heads = self.table.dims()[1];
        self.table
            .val()
            .select(0, self.index.clone())
            .reshape([1, self.tokens, self.tokens, heads])
            .permute([0, 3, 1, 2])
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
    use super::*;

    #[test]
    fn sincos_of_the_origin_is_zero_and_one() {
        let values: Vec<f32> =
            sincos_2d(Grid::own(3), 8, &Device::flex()).try_into_vec_as().unwrap();
        assert_eq!(values[..8], [0., 0., 1., 1., 0., 0., 1., 1.]);
        // Row 1, column 2: sin(2), then the lowest frequency, which is 1/10000.
        let at = &values[5 * 8..6 * 8];
        let expected = [
            2f64.sin(),
            2e-4f64.sin(),
            2f64.cos(),
            2e-4f64.cos(),
            1f64.sin(),
            1e-4f64.sin(),
            1f64.cos(),
            1e-4f64.cos(),
        ];
        for (value, expected) in at.iter().zip(expected) {
            assert!((f64::from(*value) - expected).abs() < 1e-7);
        }
    }

    /// The property that RoPE exists for: a score depends on the difference of positions only.
    #[test]
    fn rotated_scores_depend_on_relative_position() {
        let device = Device::flex();
        let (grid, head_dim) = (4, 8);
        let table = RotaryTable::new(Grid::own(grid), 1, head_dim, 100.0, &device);
        let tokens = 1 + grid * grid;
        let same = |values: [f32; 8]| {
            let all = values.repeat(tokens);
            table.rotate(Tensor::from_data(TensorData::new(all, [1, 1, tokens, head_dim]), &device))
        };
        let q = same([0.3, -0.2, 0.9, 0.1, -0.5, 0.4, 0.2, -0.7]);
        let k = same([0.1, 0.8, -0.3, 0.5, 0.6, -0.9, 0.2, 0.4]);
        let scores: Vec<f32> = q.matmul(k.swap_dims(2, 3)).try_into_vec_as().unwrap();
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
