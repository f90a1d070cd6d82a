//! Muon's directions (Jordan 2024): the momentum of a matrix, whose singular values are then brought
//! near one by Newton–Schulz iterations, which are matrix products alone.
//!
//! ```text
//! m = momentum m + (1 - momentum) g
//! u = momentum m + (1 - momentum) g      looking ahead (Nesterov), or m
//! X = u / |u|
//! X = X (a + b XᵀX + c (XᵀX)²)           so many times
//! ```
//!
//! A matrix that is wider than tall is transposed meanwhile, so that the products in the middle are of
//! its shorter side.

use rayon::prelude::*;

use crate::{
    linear::Linear,
    matmul::{View, outer::outer},
    optimizer::squared_norm,
    scratch,
};

/// The polynomial's coefficients `a`, `b` and `c`, which move small singular values as fast as possible
/// and leave all of them between about 0.7 and 1.2 (Jordan 2024).
pub const COEFFICIENTS: [f64; 3] = [3.4445, -4.7750, 2.0315];

/// The least norm that an update is divided by.
pub const LEAST_NORM: f64 = 1e-7;

/// How gradients become directions, the same for all matrices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Muon {
    /// Share of the momentum that goes on.
    pub momentum: f64,
    /// Looks ahead along the momentum.
    pub nesterov: bool,
    /// Newton–Schulz iterations.
    pub iterations: u32,
    /// Multiplies each gradient: what clipping leaves of it.
    pub gradient_scale: f32,
}

/// One matrix, row by row.
#[derive(Debug)]
pub struct Matrix<'a> {
    /// Its gradient, in whose place the direction comes.
    pub gradient: &'a mut [f32],
    /// Its momentum.
    pub momentum: &'a mut [f32],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Multiplies the direction; where it is 0, nothing but the momentum is computed.
    pub factor: f64,
}

impl Muon {
    /// Takes the gradients into the momenta, and puts directions in their place.
    pub fn run(&self, matrices: &mut [Matrix<'_>]) {
        matrices.par_iter_mut().with_max_len(1).for_each(|matrix| self.direction(matrix));
    }

    fn direction(&self, matrix: &mut Matrix<'_>) {
        let Matrix { gradient, momentum, rows, columns, factor } = matrix;
        assert_eq!((gradient.len(), momentum.len()), (*rows * *columns, *rows * *columns));
        let (old, new) = (self.momentum as f32, (1.0 - self.momentum) as f32);
        for (gradient, momentum) in gradient.iter_mut().zip(&mut **momentum) {
            let part = new * self.gradient_scale * *gradient;
            *momentum = old * *momentum + part;
            *gradient = if self.nesterov { old * *momentum + part } else { *momentum };
        }
        if *factor == 0.0 {
            return gradient.fill(0.0);
        }
        orthogonalize(gradient, *rows, *columns, self.iterations);
        gradient.iter_mut().for_each(|value| *value *= *factor as f32);
    }
}

/// Brings the singular values of a matrix near one.
fn orthogonalize(values: &mut [f32], rows: usize, columns: usize, iterations: u32) {
    let is_wide = columns > rows;
    let (tall, side) = if is_wide { (columns, rows) } else { (rows, columns) };
    let mut x = scratch::take(values.len());
    if is_wide {
        transpose(values, &mut x, rows, columns);
    } else {
        x.copy_from_slice(values);
    }
    let norm = squared_norm(&[&x]).sqrt().max(LEAST_NORM);
    x.iter_mut().for_each(|value| *value = (f64::from(*value) / norm) as f32);
    let [a, b, c] = COEFFICIENTS.map(|coefficient| coefficient as f32);
    let mut next = scratch::take(values.len());
    let (mut gram, mut square) = (scratch::take(side * side), scratch::take(side * side));
    for _ in 0..iterations {
        let view = View::new(&x, tall, side);
        outer::<f32, _, _>(view, view, &mut gram);
        // It is its own transpose.
        let view = View::new(&gram, side, side);
        outer::<f32, _, _>(view, view, &mut square);
        for (gram, square) in gram.iter_mut().zip(&*square) {
            *gram = b * *gram + c * square;
        }
        gram.iter_mut().step_by(side + 1).for_each(|diagonal| *diagonal += a);
        let polynomial = Linear { weight: &gram, bias: None, inputs: side, outputs: side };
        polynomial.forward::<f32, f32>(&x, &mut next);
        std::mem::swap(&mut x, &mut next);
    }
    if is_wide {
        transpose(&x, values, columns, rows);
    } else {
        values.copy_from_slice(&x);
    }
}

/// `from`, `[rows, columns]`, to `to`, `[columns, rows]`.
fn transpose(from: &[f32], to: &mut [f32], rows: usize, columns: usize) {
    /// Rows and columns of a piece that stays in the first cache.
    const PIECE: usize = 32;
    for row in (0..rows).step_by(PIECE) {
        for column in (0..columns).step_by(PIECE) {
            for row in row..rows.min(row + PIECE) {
                for column in column..columns.min(column + PIECE) {
                    to[column * rows + row] = from[row * columns + column];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, on_each_instruction_set, values, wide};

    /// `left right`, of `[m, k]` and `[k, n]`.
    fn times(left: &[f64], right: &[f64], [m, k, n]: [usize; 3]) -> Vec<f64> {
        let value = |at: usize| (0..k).map(|i| left[at / n * k + i] * right[i * n + at % n]).sum();
        (0..m * n).map(value).collect()
    }

    fn turned(x: &[f64], rows: usize, columns: usize) -> Vec<f64> {
        (0..x.len()).map(|at| x[at % rows * columns + at / rows]).collect()
    }

    /// The iteration as it is published, in f64: `X = a X + (b XXᵀ + c (XXᵀ)²) X`.
    fn exact(x: &[f64], rows: usize, columns: usize, iterations: u32) -> Vec<f64> {
        let norm = x.iter().map(|value| value * value).sum::<f64>().sqrt().max(LEAST_NORM);
        let mut x: Vec<f64> = x.iter().map(|value| value / norm).collect();
        let [a, b, c] = COEFFICIENTS;
        for _ in 0..iterations {
            let gram = times(&x, &turned(&x, rows, columns), [rows, columns, rows]);
            let square = times(&gram, &gram, [rows; 3]);
            let sum: Vec<f64> = gram.iter().zip(&square).map(|(g, s)| b * g + c * s).collect();
            let moved = times(&sum, &x, [rows, rows, columns]);
            x = x.iter().zip(moved).map(|(x, moved)| a * x + moved).collect();
        }
        x
    }

    #[test]
    fn directions_are_those_of_the_formulas() {
        on_each_instruction_set(|set| {
            for (rows, columns) in [(1, 1), (4, 9), (17, 5), (64, 64), (48, 144), (130, 33)] {
                for nesterov in [true, false] {
                    let muon = Muon { momentum: 0.9, nesterov, iterations: 5, gradient_scale: 0.5 };
                    let len = rows * columns;
                    let (mut momentum, mut exact_momentum) = (vec![0.0; len], vec![0.0; len]);
                    for seed in 1..4 {
                        let start = values(len, seed);
                        let mut gradient = start.clone();
                        let mut matrix = [Matrix {
                            gradient: &mut gradient,
                            momentum: &mut momentum,
                            rows,
                            columns,
                            factor: 0.4,
                        }];
                        muon.run(&mut matrix);
                        let mut ahead = vec![0.0; len];
                        for (at, gradient) in wide(&start).iter().enumerate() {
                            let part = 0.1 * 0.5 * gradient;
                            exact_momentum[at] = 0.9 * exact_momentum[at] + part;
                            ahead[at] = match nesterov {
                                true => 0.9 * exact_momentum[at] + part,
                                false => exact_momentum[at],
                            };
                        }
                        let direction = exact(&ahead, rows, columns, 5);
                        let direction: Vec<f64> = direction.iter().map(|x| 0.4 * x).collect();
                        let name = format!("{set:?} {rows}x{columns} nesterov {nesterov}");
                        assert_close(&name, &gradient, &direction, 1e-5);
                        assert_close(&format!("{name}, m"), &momentum, &exact_momentum, 1e-6);
                    }
                }
            }
        });
    }

    /// Columns of a tall direction are about orthogonal and of length one, whatever the gradient's were.
    #[test]
    fn singular_values_come_near_one() {
        let (rows, columns) = (96, 12);
        let mut x: Vec<f32> = values(rows * columns, 3);
        x.iter_mut().enumerate().for_each(|(at, value)| *value *= 0.1 + (at % columns) as f32);
        orthogonalize(&mut x, rows, columns, 5);
        let x = wide(&x);
        let gram = times(&turned(&x, rows, columns), &x, [columns, rows, columns]);
        // The sum of the squares of the singular values' squares, and of these.
        let trace: f64 = gram.iter().step_by(columns + 1).sum();
        let squares: f64 = gram.iter().map(|value| value * value).sum();
        let (mean, spread) = (trace / 12.0, squares / 12.0 - (trace / 12.0).powi(2));
        assert!((0.5..1.4).contains(&mean), "mean square {mean}");
        assert!(spread < 0.15, "variance of squares {spread}");
    }

    #[test]
    fn a_gradient_of_zero_moves_nothing() {
        let (mut gradient, mut momentum) = ([0.0; 12], [0.0; 12]);
        let muon = Muon { momentum: 0.95, nesterov: true, iterations: 5, gradient_scale: 1.0 };
        let (rows, columns) = (3, 4);
        let (gradient_there, momentum_there) = (&mut gradient, &mut momentum);
        muon.run(&mut [Matrix {
            gradient: gradient_there,
            momentum: momentum_there,
            rows,
            columns,
            factor: 1.0,
        }]);
        assert_eq!((gradient, momentum), ([0.0; 12], [0.0; 12]));
    }

    #[test]
    fn results_do_not_depend_on_the_number_of_threads() {
        let of = |threads: usize| {
            let (rows, columns) = (192, 576);
            let mut x = values(rows * columns, 5);
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| orthogonalize(&mut x, rows, columns, 5));
            x
        };
        on_each_instruction_set(|set| assert!(of(1) == of(3), "{set:?}: the values differ"));
    }
}
