//! Multi-head self-attention: packed projections around the kind of attention that the layer has.

use burn::{
    module::{Module, Param},
    tensor::{Tensor, activation},
};

use crate::{
    Mode, ViTConfig,
    compute::in_f32,
    drop::dropout,
    fused::{self, AttentionParts, ResidualParts},
    init::{Initializer, Role},
    layers::{LayerNorm, Linear},
    position::{RelativePositionBias, RotaryTable},
    program_attention::ProgramAttention,
    token_merging::TokenSizes,
};

/// Multi-head self-attention of one layer.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[width, 3 * width]`: queries, keys and values, each with its heads side by side.
    pub qkv: Linear,
    /// LayerNorm over the head width of the queries.
    pub q_norm: Option<LayerNorm>,
    /// LayerNorm over the head width of the keys.
    pub k_norm: Option<LayerNorm>,
    /// Bias on the scores by relative position.
    pub rel_pos: Option<RelativePositionBias>,
    /// A plugin's attention, in place of softmax attention.
    pub program: Option<ProgramAttention>,
    /// `[width, width]`
    pub proj: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    attention_dropout: f64,
    #[module(skip)]
    dropout: f64,
}

impl Attention {
    pub(crate) fn new(
        init: &Initializer,
        config: &ViTConfig,
        layer: usize,
        program: Option<ProgramAttention>,
    ) -> Self {
        let (width, heads) = (config.width(), config.heads_of(layer));
        let qk_norm = config.attention_of(layer).qk_norm().unwrap_or(config.qk_norm);
        let norm =
            |name| qk_norm.then(|| LayerNorm::new(&init.of(name), width / heads, config.norm_eps));
        Self {
            qkv: Linear::new(
                &init.of("qkv"),
                Role::Attention { parts: 3 },
                width,
                3 * width,
                config.qkv_bias,
            ),
            q_norm: norm("q_norm"),
            k_norm: norm("k_norm"),
            rel_pos: (config.relative_position_bias && program.is_none()).then(|| {
                RelativePositionBias::new(
                    &init.of("rel_pos"),
                    config.grid(),
                    config.prefix_tokens(),
                    heads,
                )
            }),
            program,
            proj: Linear::new(&init.of("proj"), Role::Attention { parts: 1 }, width, width, true),
            heads,
            attention_dropout: config.attention_dropout,
            dropout: config.dropout,
        }
    }

    /// Width of one head.
    pub(crate) fn head_dim(&self) -> usize {
        self.proj.weight.dims()[0] / self.heads
    }

    /// Whether this is plain softmax attention of one packed projection, for which there is a kernel
    /// of the whole branch.
    pub(crate) fn is_plain(&self, rotary: Option<&RotaryTable>, mode: Mode) -> bool {
        let noise = |rate| mode.noise(rate).is_some();
        self.program.is_none()
            && self.rel_pos.is_none()
            && self.q_norm.is_none()
            && rotary.is_none()
            && !noise(self.attention_dropout)
            && !noise(self.dropout)
    }

    /// What a kernel of the whole branch takes, if [`Attention::is_plain`].
    pub(crate) fn parts(&self, residual: ResidualParts) -> AttentionParts {
        AttentionParts {
            residual,
            qkv_weight: self.qkv.weight.val(),
            qkv_bias: self.qkv.bias.as_ref().map(Param::val),
            proj_weight: self.proj.weight.val(),
            proj_bias: self.proj.bias.as_ref().map(Param::val),
            heads: self.heads,
        }
    }

    /// `[batch, tokens, width]` to the same, and the keys `[batch, heads, tokens, head_dim]`.
    pub(crate) fn forward(
        &self,
        tokens: Tensor<3>,
        rotary: Option<&RotaryTable>,
        sizes: &TokenSizes,
        mode: Mode,
    ) -> (Tensor<3>, Tensor<4>) {
        let [batch, count, width] = tokens.dims();
        let (heads, head_dim) = (self.heads, width / self.heads);
        let qkv =
            self.qkv.forward(tokens).reshape([batch, count, 3 * heads, head_dim]).swap_dims(1, 2);
        let mut q = qkv.clone().narrow(1, 0, heads);
        let mut k = qkv.clone().narrow(1, heads, heads);
        let v = qkv.narrow(1, 2 * heads, heads);
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            (q, k) = (q_norm.forward(q), k_norm.forward(k));
        }
        if let Some(rotary) = rotary {
            (q, k) = (rotary.rotate(q), rotary.rotate(k));
        }
        let keys = k.clone();
        let out = match &self.program {
            Some(program) => program.forward(q, k, v, mode.of("weights")),
            None => {
                let bias = self.rel_pos.as_ref().map(RelativePositionBias::bias);
                let scale = (head_dim as f64).powf(-0.5);
                let (q, k) = sizes.in_scores(q, k, scale);
                softmax_attention(q, k, v, bias, scale, self.attention_dropout, mode.of("weights"))
            }
        };
        let out = out.swap_dims(1, 2).reshape([batch, count, width]);
        (dropout(self.proj.forward(out), self.dropout, mode.of("projection")), keys)
    }
}

/// `softmax(scale * q kᵀ + bias) v`, all `[batch, heads, tokens, head_dim]`.
pub(crate) fn softmax_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    bias: Option<Tensor<4>>,
    scale: f64,
    weight_dropout: f64,
    mode: Mode,
) -> Tensor<4> {
    if mode.noise(weight_dropout).is_none() {
        return fused::softmax_attention(q, k, v, bias, scale);
    }
    let weights = in_f32((q * scale).matmul(k.swap_dims(2, 3)), |scores| {
        let scores = match bias {
            Some(bias) => scores + bias,
            None => scores,
        };
        dropout(activation::softmax(scores, 3), weight_dropout, mode)
    });
    weights.matmul(v)
}
