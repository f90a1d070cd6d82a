//! The launches of a branch, forward and backward.

use burn::{
    backend::ops::FloatTensorOps,
    tensor::{DType, Shape},
};
use burn_cubecl::{
    CubeBackend,
    kernel::matmul::{MatmulStrategy, matmul},
    ops::reshape,
    tensor::CubeTensor,
};

use super::{Branch, Gradients, Kind, Saved, Settings, last_three, residual, weights::rounded};
use crate::{attention, bias, layer_norm, memory::new_beside};

/// `a b`, of two matrices, in a type.
fn product(a: CubeTensor, b: CubeTensor, dtype: DType) -> CubeTensor {
    let ([rows, _], [_, columns]) = (a.meta.shape().dims(), b.meta.shape().dims());
    let out = new_beside(&a, [rows, columns], dtype);
    matmul(a, b, Some(out), MatmulStrategy::default(), dtype)
        .unwrap_or_else(|error| panic!("no kernel multiplies these matrices: {error:?}"))
}

fn transposed(matrix: CubeTensor) -> CubeTensor {
    CubeBackend::float_swap_dims(matrix, 0, 1)
}

fn shaped(tensor: CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    reshape(tensor, shape.into())
}

pub(super) fn forward(
    branch: Branch<CubeTensor>,
    settings: Settings,
) -> (CubeTensor, Saved<CubeTensor>) {
    let Branch { x, norm, weights, biases: [first_bias, second_bias], .. } = branch;
    let shape = x.meta.shape().clone();
    let [batch, tokens, width] = last_three(&shape);
    let (rows, dtype) = (batch * tokens, x.dtype);
    let flat = shaped(x, [rows, width]);
    let (normed, statistics) = layer_norm::forward(flat.clone(), norm, settings.eps);
    let weights = rounded(weights, dtype);
    let [first, second] = weights.clone();
    let projected = product(normed.clone(), first, dtype);
    let (between, taken, logsumexp) = match settings.kind {
        Kind::Attention { heads, scale } => {
            let qkv = match first_bias {
                Some(bias) => bias::shifted(projected, bias),
                None => projected,
            };
            let [_, packed] = qkv.meta.shape().dims();
            let qkv = shaped(qkv, [batch, tokens, packed]);
            let (out, sums) = attention::forward(qkv.clone(), None, heads, scale);
            ([qkv, out.clone()], shaped(out, [rows, packed / 3]), Some(sums))
        }
        Kind::Mlp(activation) => {
            let hidden = bias::activated(projected.clone(), first_bias, activation);
            ([projected, hidden.clone()], hidden, None)
        }
    };
    let last = product(taken, second, dtype);
    let around = residual::Around {
        bias: second_bias,
        layer_scale: branch.layer_scale,
        sample_scales: branch.sample_scales,
        tokens,
    };
    let is_scaled = around.layer_scale.is_some();
    let out = residual::forward(flat, last.clone(), around);
    let saved = Saved {
        normed: [normed, statistics],
        weights,
        between,
        logsumexp,
        last: is_scaled.then_some(last),
    };
    (shaped(out, shape), saved)
}

pub(super) fn backward(
    branch: Branch<CubeTensor>,
    saved: Saved<CubeTensor>,
    gradient: CubeTensor,
    settings: Settings,
) -> Gradients<CubeTensor> {
    let Branch { x, norm: [norm_weight, _], biases: [first_bias, second_bias], .. } = branch;
    let Saved { normed: [normed, statistics], weights: [first, second], between, .. } = saved;
    let shape = x.meta.shape().clone();
    let [batch, tokens, width] = last_three(&shape);
    let (rows, dtype) = (batch * tokens, x.dtype);
    let gradient = shaped(gradient, [rows, width]);
    let has_bias = second_bias.is_some();
    let around = residual::Around {
        bias: second_bias,
        layer_scale: branch.layer_scale,
        sample_scales: branch.sample_scales,
        tokens,
    };
    let of_last = residual::backward(gradient.clone(), saved.last, around);
    let [projected, taken] = between;
    let [inner, _] = second.meta.shape().dims();
    let taken_rows = shaped(taken.clone(), [rows, inner]);
    let dsecond = product(transposed(taken_rows), of_last.product.clone(), DType::F32);
    let dtaken = product(of_last.product, transposed(second), dtype);
    let (dprojected, first_dbias) = match (settings.kind, saved.logsumexp) {
        (Kind::Attention { scale, .. }, Some(logsumexp)) => {
            let gradient = shaped(dtaken, [batch, tokens, inner]);
            let results = attention::Results { out: taken, logsumexp, gradient };
            let dqkv = attention::backward(projected, None, results, scale);
            let dqkv = shaped(dqkv, [rows, 3 * inner]);
            let dbias = first_bias.map(|_| bias::column_sums(dqkv.clone()));
            (dqkv, dbias)
        }
        (Kind::Mlp(activation), _) => bias::backward(projected, first_bias, dtaken, activation),
        (Kind::Attention { .. }, None) => unreachable!("forward has kept it"),
    };
    let dfirst = product(transposed(normed), dprojected.clone(), DType::F32);
    let dnormed = product(dprojected, transposed(first), dtype);
    let flat = shaped(x, [rows, width]);
    let wants_sums = has_bias && of_last.bias.is_none();
    let of_norm =
        layer_norm::backward(flat, norm_weight, statistics, dnormed, Some(gradient), wants_sums);
    Gradients {
        x: shaped(of_norm.x, shape),
        norm: [of_norm.weight, of_norm.bias],
        weights: [dfirst, dsecond],
        biases: [first_dbias, of_last.bias.or(of_norm.beside)],
        layer_scale: of_last.layer_scale,
    }
}
