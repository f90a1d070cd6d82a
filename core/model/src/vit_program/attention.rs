//! A block, and what mixes its tokens.

use vitral_program::{Tensor, ops};

use super::{VitProgramError, merging::Sizes, trace::Trace};
use crate::{
    ViT,
    attention::Attention,
    block::Block,
    layers::LayerScale,
    position::{RelativePositionBias, relative_indices, rotary_values},
    resized_positions::Grid,
};

impl Block {
    /// `[B, tokens, width]` to the same, or to fewer tokens where it merges some.
    pub(super) fn traced(
        &self,
        model: &ViT,
        trace: &mut Trace,
        tokens: Tensor,
        sizes: &mut Sizes,
        layer: usize,
    ) -> Result<Tensor, VitProgramError> {
        let normed = self.norm1.traced(trace, "norm1", tokens);
        let (branch, keys) = match (&self.attn, &self.mlp_tokens) {
            (Some(attn), _) => {
                let (branch, keys) = trace
                    .within("attn", |trace| attn.traced(model, trace, normed, sizes, layer))?;
                (branch, Some(keys))
            }
            (None, Some(mlp)) => {
                let channels = trace.transpose(normed, &[0, 2, 1]);
                let mixed = mlp.traced(trace, "mlp_tokens", channels);
                (trace.transpose(mixed, &[0, 2, 1]), None)
            }
            (None, None) => return Ok(tokens),
        };
        let mut tokens = residual(trace, tokens, branch, "ls1", self.ls1.as_ref());
        if let Some(keys) = keys {
            tokens = trace.within("merging", |trace| {
                sizes.merge(trace, tokens, keys, model.config().merged_of(layer))
            });
        }
        let normed = self.norm2.traced(trace, "norm2", tokens);
        let branch = self.mlp.traced(trace, "mlp", normed);
        Ok(residual(trace, tokens, branch, "ls2", self.ls2.as_ref()))
    }
}

fn residual(
    trace: &mut Trace,
    tokens: Tensor,
    branch: Tensor,
    name: &str,
    scale: Option<&LayerScale>,
) -> Tensor {
    let branch = match scale {
        Some(scale) => trace.within(name, |trace| {
            let gamma = trace.parameter("gamma", &scale.gamma);
            trace.apply(ops::Mul {}, &[branch, gamma])
        }),
        None => branch,
    };
    trace.apply(ops::Add {}, &[tokens, branch])
}

impl Attention {
    /// `[B, tokens, width]` to the same, and the keys `[B, heads, tokens, head width]`.
    fn traced(
        &self,
        model: &ViT,
        trace: &mut Trace,
        tokens: Tensor,
        sizes: &Sizes,
        layer: usize,
    ) -> Result<(Tensor, Tensor), VitProgramError> {
        let config = model.config();
        let heads = config.heads_of(layer);
        let qkv = self.qkv.traced(trace, "qkv", tokens);
        let [mut query, mut key, value] = trace.split(qkv).map(|part| trace.heads(part, heads));
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            query = q_norm.traced(trace, "q_norm", query);
            key = k_norm.traced(trace, "k_norm", key);
        }
        if let Some(theta) = config.rope {
            let (grid, prefix, head_dim) = (config.grid(), config.prefix_tokens(), self.head_dim());
            let tables = if trace.any_size() {
                trace.rotary(grid, prefix, head_dim, theta)
            } else {
                let shape = [trace.tokens(), head_dim];
                rotary_values(Grid::own(grid), prefix, head_dim, theta)
                    .map(|values| trace.constant(&shape, &values))
            };
            [query, key] = [query, key].map(|input| rotated(trace, input, tables));
        }
        let out = match &self.program {
            Some(program) => trace
                .within(program.program().name(), |trace| {
                    trace.inlined(program.program(), [query, key, value])
                })
                .map_err(|plugin| VitProgramError::Random { layer, plugin })?,
            None => {
                let bias = match &self.rel_pos {
                    Some(table) => {
                        Some(trace.within("rel_pos", |trace| table.traced(trace, config)))
                    }
                    None => sizes.bias(trace),
                };
                let scale = (self.head_dim() as f64).powf(-0.5);
                let op = ops::ScaledDotProductAttention { scale };
                trace.apply(op, &[&[query, key, value], bias.as_slice()].concat())
            }
        };
        let out = trace.joined(out);
        Ok((self.proj.traced(trace, "proj", out), key))
    }
}

/// Queries or keys turned by a table of cosines and one of sines.
fn rotated(trace: &mut Trace, input: Tensor, [cos, sin]: [Tensor; 2]) -> Tensor {
    let [first, second] = trace.split(input);
    let opposite = trace.apply(ops::Neg {}, &[second]);
    let turned = trace.concat(&[opposite, first], 3);
    let along = trace.apply(ops::Mul {}, &[input, cos]);
    let across = trace.apply(ops::Mul {}, &[turned, sin]);
    trace.apply(ops::Add {}, &[along, across])
}

impl RelativePositionBias {
    /// `[heads, tokens, tokens]`
    fn traced(&self, trace: &mut Trace, config: &crate::ViTConfig) -> Tensor {
        let table = trace.parameter("table", &self.table);
        let (heads, tokens) = (self.table.dims()[1], trace.tokens());
        let index = relative_indices(config.grid(), config.prefix_tokens());
        let index = trace.indices(&[tokens, tokens], &index);
        let bias = trace.apply(ops::Gather { axis: 0 }, &[table, index]);
        debug_assert_eq!(trace.size(bias, 2), heads);
        trace.transpose(bias, &[2, 0, 1])
    }
}
