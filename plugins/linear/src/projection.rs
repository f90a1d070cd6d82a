//! A random projection whose rows are orthogonal in blocks: plain arithmetic with a small generator
//! of its own, so that every build draws the same.

use std::f64::consts::TAU;

use vitral_sdk::math;

/// Rows of this width: within each block of `width` rows they are orthogonal, and each has the
/// length of a normal vector of its own, so that a row by itself is normally distributed.
pub(crate) fn projection(width: u32, rows: u32, seed: u32, layer: u32) -> Vec<Vec<f64>> {
    let mut normal = Normal(u64::from(seed) << 32 | u64::from(layer));
    let (width, count) = (width as usize, rows as usize);
    let mut rows = Vec::with_capacity(count);
    while rows.len() < count {
        let block = orthonormal(&mut normal, width);
        let missing = count - rows.len();
        rows.extend(block.into_iter().take(missing).map(|direction| {
            let vector = normal.vector(width);
            let length = dot(&vector, &vector).sqrt();
            direction.into_iter().map(|x| x * length).collect()
        }));
    }
    rows
}

/// As many orthonormal vectors as they have elements, in directions that are uniformly random: by
/// Gram and Schmidt, with a second pass for what rounding leaves.
fn orthonormal(normal: &mut Normal, width: usize) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(width);
    while basis.len() < width {
        let mut vector = normal.vector(width);
        for _ in 0..2 {
            for direction in &basis {
                let along = dot(&vector, direction);
                for (x, d) in vector.iter_mut().zip(direction) {
                    *x -= along * d;
                }
            }
        }
        let length = dot(&vector, &vector).sqrt();
        // A vector that the others span is drawn again.
        if length > 1e-6 {
            basis.push(vector.into_iter().map(|x| x / length).collect());
        }
    }
    basis
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Normally distributed numbers: SplitMix64 and Box and Muller's transformation.
struct Normal(u64);

impl Normal {
    fn vector(&mut self, width: usize) -> Vec<f64> {
        (0..width).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> f64 {
        // The logarithm's argument is above 0.
        let radius = (-2.0 * math::log(1.0 - self.uniform())).sqrt();
        radius * math::cos(TAU * self.uniform())
    }

    /// From 0 to below 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_block_are_orthogonal() {
        let rows = projection(8, 20, 3, 1);
        assert_eq!(rows.len(), 20);
        for (i, a) in rows.iter().enumerate() {
            for (j, b) in rows.iter().enumerate().filter(|(j, _)| i / 8 == j / 8 && i != *j) {
                assert!(dot(a, b).abs() < 1e-12, "{i} and {j}");
            }
        }
    }

    #[test]
    fn elements_are_normally_distributed() {
        let rows = projection(16, 4096, 0, 0);
        let values: Vec<_> = rows.into_iter().flatten().collect();
        let moment =
            |power: i32| values.iter().map(|x| x.powi(power)).sum::<f64>() / values.len() as f64;
        assert!(moment(1).abs() < 0.02, "{}", moment(1));
        assert!((moment(2) - 1.0).abs() < 0.02, "{}", moment(2));
        assert!((moment(4) - 3.0).abs() < 0.1, "{}", moment(4));
    }

    #[test]
    fn seeds_and_layers_draw_their_own_and_always_the_same() {
        assert_eq!(projection(4, 6, 1, 2), projection(4, 6, 1, 2));
        assert_ne!(projection(4, 6, 1, 2), projection(4, 6, 2, 2));
        assert_ne!(projection(4, 6, 1, 2), projection(4, 6, 1, 3));
        assert_eq!(projection(1, 3, 0, 0).len(), 3);
    }
}
