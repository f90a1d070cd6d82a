//! From tokens to one vector per image.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Mode, ViTConfig,
    attention::softmax_attention,
    compute::cast_like,
    init::{Fill, Initializer, Role},
    layers::{LayerNorm, Linear},
    mlp::MlpBlock,
    token_merging::TokenSizes,
};

/// How the tokens of an image become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Pool {
    /// The class token (vit_jax `token`).
    #[default]
    ClassToken,
    /// The mean of the patches (vit_jax `gap`, timm `avg`).
    Mean,
    /// The class token, and the mean of the patches behind it: twice as wide (DINOv2's linear
    /// classifiers, Oquab et al. 2023).
    ClassTokenAndMean,
    /// Multi-head attention pooling with a learned query (big_vision `map`, Zhai et al. 2022).
    Map,
}

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
    /// LayerNorm before the MLP.
    pub norm: LayerNorm,
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
            norm: LayerNorm::new(&init.of("norm"), width, config.norm_eps),
            mlp: MlpBlock::new(&init.of("mlp"), config),
            heads: config.heads(),
        }
    }

    pub(crate) const fn heads(&self) -> usize {
        self.heads
    }

    /// `[batch, tokens, width]` to `[batch, 1, width]`.
    pub(crate) fn forward(&self, tokens: Tensor<3>, sizes: &TokenSizes, mode: Mode) -> Tensor<3> {
        let [batch, count, width] = tokens.dims();
        let (heads, head_dim) = (self.heads, width / self.heads);
        let q = self.q.forward(self.latent.val()).reshape([1, 1, heads, head_dim]).swap_dims(1, 2);
        let kv =
            self.kv.forward(tokens).reshape([batch, count, 2 * heads, head_dim]).swap_dims(1, 2);
        // Rounded after it is repeated, as the gradient of that is a sum over the batch.
        let q = cast_like(q.repeat_dim(0, batch), &kv);
        let (k, v) = (kv.clone().narrow(1, 0, heads), kv.narrow(1, heads, heads));
        let scale = (head_dim as f64).powf(-0.5);
        let (q, k) = sizes.in_scores(q, k, scale);
        let pooled = softmax_attention(q, k, v, None, scale, 0.0, mode);
        let pooled = pooled.swap_dims(1, 2).reshape([batch, 1, width]);
        let pooled = self.proj.forward(pooled);
        pooled.clone() + self.mlp.forward(self.norm.forward(pooled), mode.of("pool"))
    }
}
