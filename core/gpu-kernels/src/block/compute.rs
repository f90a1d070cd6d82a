//! The launches of a block, forward and backward.

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

use super::{
    Block, Gradients, Half, Kind, Next, OfHalf, Saved, last_three,
    residual::{self, Around},
    weights::rounded,
};
use crate::{
    attention, bias,
    column_sums::{Columns, sums_of_parts},
    layer_norm::{self, Besides, Norm},
    memory::new_beside,
};

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

impl Half<CubeTensor> {
    fn norm(&self) -> Norm {
        Norm { parameters: self.norm.clone(), eps: self.eps }
    }

    fn around(&self, tokens: usize) -> Around {
        Around {
            bias: self.biases[1].clone(),
            layer_scale: self.layer_scale.clone(),
            sample_scales: self.sample_scales.clone(),
            tokens,
        }
    }
}

/// The result, and with `keep` what backward needs of each half.
pub(super) fn forward(
    block: Block<CubeTensor>,
    keep: bool,
) -> (CubeTensor, Vec<Saved<CubeTensor>>) {
    let Block { x, halves } = block;
    let shape = x.meta.shape().clone();
    let [batch, tokens, width] = last_three(&shape);
    let (rows, dtype) = (batch * tokens, x.dtype);
    let weights = halves.iter().flat_map(|half| half.weights.clone()).collect();
    let mut weights = Next(rounded(weights, dtype).into_iter());
    let mut x = shaped(x, [rows, width]);
    let mut normed = Some(layer_norm::forward(x.clone(), halves[0].norm()));
    let mut saved = Vec::with_capacity(halves.len());
    for (number, half) in halves.iter().enumerate() {
        let normed_x = normed.take().unwrap_or_else(|| unreachable!("there is one for each half"));
        let weights = weights.two();
        let [first, second] = weights.clone();
        let projected = product(normed_x[0].clone(), first, dtype);
        let (between, taken, logsumexp) = match half.kind {
            Kind::Attention { heads, scale } => {
                let qkv = match half.biases[0].clone() {
                    Some(bias) => bias::shifted(projected, bias),
                    None => projected,
                };
                let [_, packed] = qkv.meta.shape().dims();
                let qkv = shaped(qkv, [batch, tokens, packed]);
                let (out, sums) = attention::forward(qkv.clone(), None, heads, scale);
                ([qkv, out.clone()], shaped(out, [rows, packed / 3]), Some(sums))
            }
            Kind::Mlp(activation) => {
                let bias = half.biases[0].clone();
                let hidden = bias::activated(projected.clone(), bias, activation);
                ([projected, hidden.clone()], hidden, None)
            }
        };
        let last = product(taken, second, dtype);
        let next = halves.get(number + 1).map(Half::norm);
        let (out, normed_out) =
            residual::forward(x.clone(), last.clone(), half.around(tokens), next);
        let before = std::mem::replace(&mut x, out);
        normed = normed_out;
        if keep {
            saved.push(Saved {
                x: (number > 0).then_some(before),
                normed: normed_x,
                weights,
                between,
                logsumexp,
                last: half.layer_scale.is_some().then_some(last),
            });
        }
    }
    (shaped(x, shape), saved)
}

pub(super) fn backward(
    block: Block<CubeTensor>,
    saved: Vec<Saved<CubeTensor>>,
    gradient: CubeTensor,
) -> Gradients<CubeTensor> {
    let Block { x, halves } = block;
    let shape = x.meta.shape().clone();
    let [batch, tokens, width] = last_three(&shape);
    let rows = batch * tokens;
    let first = shaped(x, [rows, width]);
    let mut gradient = shaped(gradient, [rows, width]);
    let mut found = Vec::with_capacity(halves.len());
    for (half, mut saved) in halves.into_iter().zip(saved).rev() {
        let x = saved.x.take().unwrap_or_else(|| first.clone());
        let (dx, of_half) = of_half(half, x, saved, gradient, [batch, tokens]);
        gradient = dx;
        found.push(of_half);
    }
    found.reverse();
    Gradients { x: shaped(gradient, shape), halves: summed(found) }
}

/// The gradients of a half: of what goes into it, `[rows, width]`, and of its tensors.
fn of_half(
    half: Half<CubeTensor>,
    x: CubeTensor,
    saved: Saved<CubeTensor>,
    gradient: CubeTensor,
    [batch, tokens]: [usize; 2],
) -> (CubeTensor, OfHalf<CubeTensor, Columns>) {
    let around = half.around(tokens);
    let Half { kind, norm: [norm_weight, _], biases: [first_bias, second_bias], .. } = half;
    let Saved { normed: [normed, statistics], weights: [first, second], between, .. } = saved;
    let (rows, dtype) = (batch * tokens, x.dtype);
    let of_last = residual::backward(gradient.clone(), saved.last, around);
    let [projected, taken] = between;
    let [inner, _] = second.meta.shape().dims();
    // Attention's gradient has to do with its results; that of an activation does not.
    let attended = saved.logsumexp.map(|logsumexp| (taken.clone(), logsumexp));
    let taken = shaped(taken, [rows, inner]);
    let dsecond = product(transposed(taken), of_last.product.clone(), DType::F32);
    let dtaken = product(of_last.product, transposed(second), dtype);
    let (dprojected, activated_dbias) = match (kind, attended) {
        (Kind::Attention { scale, .. }, Some((out, logsumexp))) => {
            let gradient = shaped(dtaken, [batch, tokens, inner]);
            let results = attention::Results { out, logsumexp, gradient };
            let dqkv = attention::backward(projected, None, results, scale);
            (shaped(dqkv, [rows, 3 * inner]), None)
        }
        (Kind::Mlp(activation), _) => {
            bias::backward(projected, first_bias.clone(), dtaken, activation)
        }
        (Kind::Attention { .. }, None) => unreachable!("forward has kept it"),
    };
    // The gradient of the bias in front of attention is left to LayerNorm's, whose rows are the same.
    let is_left = first_bias.is_some() && activated_dbias.is_none();
    let besides = Besides {
        gradient: Some(gradient),
        summed: second_bias.is_some() && of_last.bias.is_none(),
        other: is_left.then(|| dprojected.clone()),
    };
    let dfirst = product(transposed(normed), dprojected.clone(), DType::F32);
    let dnormed = product(dprojected, transposed(first), dtype);
    let of_norm = layer_norm::backward(x, norm_weight, statistics, dnormed, besides);
    let of_half = OfHalf {
        norm: of_norm.norm,
        weights: [dfirst, dsecond],
        biases: [activated_dbias.or(of_norm.other), of_last.bias.or(of_norm.gradient)],
        layer_scale: of_last.layer_scale,
    };
    (of_norm.x, of_half)
}

/// The same with all sums of parts added up.
fn summed(halves: Vec<OfHalf<CubeTensor, Columns>>) -> Vec<OfHalf<CubeTensor>> {
    let in_parts = |of: &OfHalf<CubeTensor, Columns>| {
        let others = of.biases.iter().flatten().chain(&of.layer_scale);
        of.norm.iter().chain(others).cloned().collect::<Vec<_>>()
    };
    let lists: Vec<Columns> = halves.iter().flat_map(in_parts).collect();
    let mut sums = Next(sums_of_parts(&lists).into_iter());
    let add_up = |of: OfHalf<CubeTensor, Columns>| OfHalf {
        norm: sums.two(),
        weights: of.weights,
        biases: of.biases.map(|bias| sums.some(bias.is_some())),
        layer_scale: sums.some(of.layer_scale.is_some()),
    };
    halves.into_iter().map(add_up).collect()
}
