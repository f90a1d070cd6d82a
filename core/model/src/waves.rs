//! The sines and cosines of places in a grid: of embeddings, and of rotations.

use crate::{ViTConfig, grid::Grid};

/// `[1, patches, width]`: sines and cosines of column, then of row, as big_vision's
/// `posemb_sincos_2d` with temperature 10000.
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

/// RoPE of a model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rope {
    /// The base of the wavelengths.
    pub(crate) theta: f64,
    /// Tokens before the patches.
    pub(crate) prefix: usize,
    /// Those of them, the last ones, that turn by their places in a square, and the base for them.
    pub(crate) registers: Option<(usize, f64)>,
}

impl ViTConfig {
    /// RoPE, if the model has it.
    pub(crate) fn rotary(&self) -> Option<Rope> {
        let registers = self.rope_registers.map(|theta| (self.register_tokens, theta));
        Some(Rope { theta: self.rope?, prefix: self.prefix_tokens(), registers })
    }
}

/// The angles of a place in a grid: those of its row, then those of its column.
fn angles(place: [f64; 2], head_dim: usize, theta: f64) -> impl Iterator<Item = f64> {
    let quarter = head_dim / 4;
    let of =
        move |at: f64| (0..quarter).map(move |i| at * theta.powf(-(i as f64) / quarter as f64));
    place.into_iter().flat_map(of)
}

/// The angles of the tokens before the patches, `[prefix, head_dim / 2]`.
pub(crate) fn prefix_angles(head_dim: usize, rope: &Rope) -> Vec<f64> {
    let (registers, theta) = rope.registers.unwrap_or((0, 1.0));
    let mut all = vec![0.0; (rope.prefix - registers) * head_dim / 2];
    let side = registers.isqrt();
    for register in 0..registers {
        let place = [register / side, register % side].map(|at| at as f64);
        all.extend(angles(place, head_dim, theta));
    }
    all
}

/// Cosines and sines, `[tokens, head_dim]` each.
pub(crate) fn rotary_values(grid: Grid, head_dim: usize, rope: &Rope) -> [Vec<f32>; 2] {
    let mut all = prefix_angles(head_dim, rope);
    for row in 0..grid.side {
        for column in 0..grid.side {
            let place = [row, column].map(|at| grid.place(at));
            all.extend(angles(place, head_dim, rope.theta));
        }
    }
    // Value i pairs with value i + head_dim / 2, so each angle stands twice.
    [f64::cos as fn(f64) -> f64, f64::sin].map(|function| {
        let rows = all.chunks(head_dim / 2);
        let twice = rows.flat_map(|row| row.iter().chain(row));
        twice.map(|&angle| function(angle) as f32).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sincos_of_the_origin_is_zero_and_one() {
        let values = sincos_values(Grid::own(3), 8);
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

    /// As patches of a grid of 2 x 2 would with that base; what comes before them stays.
    #[test]
    fn registers_turn_as_a_grid_of_their_own() {
        let rope = Rope { theta: 100.0, prefix: 5, registers: Some((4, 7.0)) };
        let [cos, sin] = rotary_values(Grid::own(3), 8, &rope);
        let alone = Rope { theta: 7.0, prefix: 0, registers: None };
        let [alone_cos, alone_sin] = rotary_values(Grid::own(2), 8, &alone);
        assert_eq!((&cos[..8], &sin[..8]), (&[1.0; 8][..], &[0.0; 8][..]));
        assert_eq!((&cos[8..40], &sin[8..40]), (&alone_cos[..], &alone_sin[..]));
        let patches = Rope { registers: None, prefix: 0, ..rope };
        assert_eq!(cos[40..], rotary_values(Grid::own(3), 8, &patches)[0]);
    }
}
