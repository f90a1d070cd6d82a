//! From tokens to one vector per image.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use vitral_program::Dim;

pub use crate::config::Pool;
use crate::{
    Mode, ViTConfig,
    attention::SoftmaxAttention,
    init::{Fill, Initializer, Role},
    layers::{Linear, Norm, shape},
    mlp::MlpBlock,
    ops::Ops,
    token_merging::TokenSizes,
};

/// Multi-head attention pooling: a learned query attends to all tokens, then an MLP refines it.
#[derive(Module, Debug)]
pub struct AttentionPool {
    /// `[1, 1, width]`: the learned query.
    pub latent: Param<Tensor<3>>,
    /// `[width, width]`
    pub q: Linear,
    /// `[width, 2 * width]`: keys, then values.
    pub kv: Linear,
    /// `[width, width]`
    pub proj: Linear,
    /// The norm before the MLP.
    pub norm: Norm,
    /// The MLP.
    pub mlp: MlpBlock,
    #[module(skip)]
    heads: usize,
}

impl AttentionPool {
    pub(crate) fn new(init: &Initializer, config: &ViTConfig) -> Self {
        let width = config.width();
        let limit = (6.0 / (1 + width) as f64).sqrt();
        let attention = |name, outputs, parts| {
            Linear::new(&init.of(name), Role::Attention { parts }, width, outputs, true)
        };
        Self {
            latent: init.parameter("latent", [1, 1, width], Fill::Uniform { limit }),
            q: attention("q", width, 1),
            kv: attention("kv", 2 * width, 2),
            proj: attention("proj", width, 1),
            norm: Norm::new(&init.of("norm"), config, width),
            mlp: MlpBlock::new(&init.of("mlp"), config, config.mlp_dim()),
            heads: config.heads(),
        }
    }

    /// `[B, tokens, width]` to `[B, 1, width]`.
    pub(crate) fn forward<O: Ops>(
        &self,
        ops: &mut O,
        tokens: O::Tensor,
        sizes: &TokenSizes<O::Tensor>,
        mode: Mode,
    ) -> O::Tensor {
        let (heads, width) = (self.heads, shape(&self.q.weight)[0]);
        let head_dim = width / heads;
        let latent = ops.parameter(&self.latent);
        let query = self.q.forward(ops, latent);
        let query = ops.reshape(query, [1, heads, 1, head_dim].map(Dim::from));
        let query = ops.expand(query, [Dim::BATCH, heads.into(), 1.into(), head_dim.into()]);
        // Rounded after it is repeated, as the gradient of that is a sum over the batch.
        let query = ops.rounded(query);
        let kv = self.kv.forward(ops, tokens);
        let [key, value] = ops.heads(kv, heads);
        let scale = (head_dim as f64).powf(-0.5);
        let (query, key) = sizes.in_scores(ops, query, key, scale);
        let attention = SoftmaxAttention { scale, bias: None, weight_dropout: 0.0 };
        let pooled = attention.forward(ops, [query, key, value], mode);
        let pooled = ops.reshape(pooled, [Dim::BATCH, 1.into(), width.into()]);
        let pooled = self.proj.forward(ops, pooled);
        let normed = self.norm.forward(ops, pooled.clone());
        let refined = ops.within("mlp", |ops| self.mlp.forward(ops, normed, mode.of("pool")));
        ops.add(pooled, refined)
    }
}
