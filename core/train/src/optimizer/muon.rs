//! Muon (Jordan 2024): the momentum of a weight matrix, made about orthogonal, with decoupled weight
//! decay. As timm's, it moves each matrix as it is stored, the packed queries, keys and values as one.

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_kernels::muon::{COEFFICIENTS, LEAST_NORM, Matrix, Muon};

use super::{Hyper, blend};
use crate::gradients::squared_norm;

/// How large the update of a matrix is, by its sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpdateScale {
    /// `0.2 sqrt(max(inputs, outputs))`, about as large as AdamW's, so that its learning rates and
    /// weight decays fit (Liu et al. 2025, Moonlight).
    #[default]
    MatchAdamW,
    /// `sqrt(max(1, outputs / inputs))`, for learning rates about 0.02 (Jordan 2024).
    Original,
}

impl UpdateScale {
    /// Of a matrix `[inputs, outputs]`.
    fn factor(self, [inputs, outputs]: [usize; 2]) -> f64 {
        match self {
            Self::MatchAdamW => 0.2 * (inputs.max(outputs) as f64).sqrt(),
            Self::Original => (outputs as f64 / inputs as f64).max(1.0).sqrt(),
        }
    }
}

/// The settings that say how a matrix moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub momentum: f64,
    pub nesterov: bool,
    pub iterations: u32,
    pub update_scale: UpdateScale,
}

/// The sides of a parameter that moves as a matrix: a weight of a block of no less than 4 by 4 values,
/// which is timm's least.
pub(super) fn matrix(name: &str, shape: &[usize]) -> Option<[usize; 2]> {
    let is_hidden = name.starts_with("blocks.") && name.ends_with(".weight");
    match *shape {
        [rows, columns] if is_hidden && rows.min(columns) >= 4 => Some([rows, columns]),
        _ => None,
    }
}

pub(super) fn update(
    value: Tensor<1>,
    gradient: Tensor<1>,
    momentum: &mut Tensor<1>,
    sides: [usize; 2],
    rule: Rule,
    hyper: Hyper,
) -> Tensor<1> {
    blend(momentum, gradient.clone(), rule.momentum);
    let ahead = match rule.nesterov {
        true => momentum.clone() * rule.momentum + gradient * (1.0 - rule.momentum),
        false => momentum.clone(),
    };
    if hyper.learning_rate == 0.0 {
        return value;
    }
    let direction = orthogonalized(ahead, sides, rule.iterations);
    let rate = hyper.learning_rate * rule.update_scale.factor(sides);
    value * (1.0 - hyper.learning_rate * hyper.weight_decay) - direction * rate
}

/// A matrix with singular values near one, as `vitral_kernels::muon` makes it.
fn orthogonalized(values: Tensor<1>, [rows, columns]: [usize; 2], iterations: u32) -> Tensor<1> {
    let norm = squared_norm(&values).sqrt().clamp_min(LEAST_NORM);
    let matrix = (values / norm).reshape([rows, columns]);
    let is_wide = columns > rows;
    let mut x = if is_wide { matrix.transpose() } else { matrix };
    let [a, b, c] = COEFFICIENTS;
    for _ in 0..iterations {
        let gram = x.clone().transpose().matmul(x.clone());
        let polynomial = gram.clone() * b + gram.clone().matmul(gram) * c;
        x = x.clone() * a + x.matmul(polynomial);
    }
    let x = if is_wide { x.transpose() } else { x };
    x.reshape([rows * columns])
}

/// Takes the gradients of matrices into their momenta, and puts scaled directions in their place;
/// `moves` says which parameters have a learning rate.
pub(super) fn directions(
    rule: Rule,
    matrices: &[Option<[usize; 2]>],
    gradients: &mut [FlexTensor],
    momenta: &mut [Vec<FlexTensor>],
    clip: f32,
    moves: impl Fn(usize) -> bool,
) {
    let parameters = matrices.iter().zip(gradients.iter_mut().zip(momenta)).enumerate();
    let mut matrices: Vec<Matrix<'_>> = parameters
        .filter_map(|(index, (sides, (gradient, momenta)))| {
            let [rows, columns] = (*sides)?;
            let factor = if moves(index) { rule.update_scale.factor([rows, columns]) } else { 0.0 };
            Some(Matrix {
                gradient: gradient.storage_mut(),
                momentum: momenta.first_mut()?.storage_mut(),
                rows,
                columns,
                factor,
            })
        })
        .collect();
    let Rule { momentum, nesterov, iterations, .. } = rule;
    Muon { momentum, nesterov, iterations, gradient_scale: clip }.run(&mut matrices);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_matrices_of_blocks_are_matrices() {
        for (name, shape, is_one) in [
            ("blocks.0.attn.qkv.weight", &[16, 48][..], true),
            ("blocks.11.mlp.fc2.weight", &[64, 16], true),
            ("blocks.0.mlp_tokens.fc1.weight", &[16, 8], true),
            ("blocks.0.attn.qkv.bias", &[48], false),
            ("blocks.0.norm1.weight", &[16], false),
            ("blocks.0.attn.rel_pos.table", &[49, 4], false),
            ("blocks.0.attn.heads.weight", &[3, 3], false),
            ("patch_embed.proj.weight", &[48, 16], false),
            ("patch_embed.backbone.stages.0.blocks.0.conv1.weight", &[1, 1, 64, 64], false),
            ("pos_embed", &[1, 5, 16], false),
            ("head.weight", &[16, 10], false),
        ] {
            assert_eq!(matrix(name, shape).is_some(), is_one, "{name}");
        }
    }

    #[test]
    fn updates_are_as_large_as_published() {
        assert_eq!(UpdateScale::MatchAdamW.factor([100, 400]), 4.0);
        assert_eq!(UpdateScale::MatchAdamW.factor([400, 100]), 4.0);
        assert_eq!(UpdateScale::Original.factor([100, 400]), 2.0);
        assert_eq!(UpdateScale::Original.factor([400, 100]), 1.0);
    }
}
