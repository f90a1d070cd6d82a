//! Token reorganization (Liang et al. 2022, "Not All Patches are What You Need: Expediting Vision
//! Transformers via Token Reorganizations", EViT): after the attention of some layers, the patches that the
//! class token attends to most go on, and the others are fused into one token.
//!
//! What counts is the mean over the heads of the class token's attention, as it is without dropout. The
//! choice has no gradient; the fused token is the sum of the others weighted by that attention, and has one
//! through both, as in the authors' program. In later layers the fused token is one of the patches, which
//! may be left out in its turn. Class token, distillation token and registers stay. Of equal attention the
//! patch with the lower index stays, so that a batch is treated the same way wherever it runs.

use vitral_burn::composite::{self, Composite};
use vitral_program::{Dim, ops as op};

pub use crate::config::TokenReorganization;
use crate::{attention::SoftmaxAttention, config::Kept, ops::Ops};

/// Tokens `[B, tokens, width]` to the prefix, those that are kept, by falling attention, and the fused one;
/// by the class token's attention to each, `[B, tokens]` in `f32`.
pub(crate) fn reorganize<O: Ops>(
    ops: &mut O,
    tokens: O::Tensor,
    attention: O::Tensor,
    kept: Kept,
) -> O::Tensor {
    let all = ops.size(&tokens, 1);
    let Some(count) = kept.of(all.saturating_sub(kept.prefix)) else { return tokens };
    let composite = Composite::TokenReorganization(composite::TokenReorganization {
        prefix: kept.prefix,
        kept: count,
        fuse: kept.fuse,
    });
    let by_kernel = ops.composite(composite, &tokens, |_| vec![Some(attention.clone())]);
    if let Some(left) = by_kernel {
        return left;
    }
    // Tokens before the patches count for nothing here, and rank behind whatever patch.
    let of_patches = |prefix, patch| -> Vec<f32> {
        (0..all).map(|token| if token < kept.prefix { prefix } else { patch }).collect()
    };
    let [mask, behind] = [of_patches(0.0, 1.0), of_patches(-1.0, 0.0)];
    let mask = ops.constant(&[all], &mask);
    let attention = ops.mul(attention, mask);
    let behind = ops.constant(&[all], &behind);
    let ranked = ops.detached(attention.clone());
    let ranked = ops.add(ranked, behind);
    let most = op::TopK { k: count.into(), axis: 1 };
    let most = ops.apply_all(most.into(), vec![ranked])[1].clone();
    let prefix = ops.slice(tokens.clone(), 1, 0, kept.prefix);
    let mut parts = vec![prefix, ops.tokens_at(tokens.clone(), most.clone())];
    if kept.fuse {
        let stay = ops.membership(most, all);
        let one = ops.scalar(1.0);
        let go = ops.apply(op::Sub {}, [one, stay]);
        let weights = ops.mul(attention, go);
        let weights = ops.reshape(weights, [Dim::BATCH, 1.into(), all.into()]);
        parts.push(
            ops.in_f32([tokens, weights], |ops, [tokens, weights]| ops.matmul(weights, tokens)),
        );
    }
    ops.concat(parts, 1)
}

/// How much the class token takes from each token on average over the heads: `[B, tokens]`, `f32`. Of the
/// queries and keys `[B, heads, tokens, head_dim]` that attention had.
pub(crate) fn class_attention<O: Ops>(ops: &mut O, [queries, keys]: [O::Tensor; 2]) -> O::Tensor {
    let (tokens, head_dim) = (ops.size(&keys, 2), ops.size(&keys, 3));
    let first = ops.indices(&[1], &[0]);
    let class = ops.apply(op::Gather { axis: 2 }, [queries, first]);
    let scale = (head_dim as f64).powf(-0.5);
    let attention = SoftmaxAttention { scale, bias: None, weight_dropout: 0.0 };
    let weights = attention.exact_weights(ops, class, keys);
    let mean = ops.mean(weights, 1);
    ops.reshape(mean, [Dim::BATCH, tokens.into()])
}

#[cfg(test)]
mod tests;
