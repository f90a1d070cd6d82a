//! Multi-head self-attention: packed projections around the kind of attention that the layer has.

use burn::module::Module;
use vitral_burn::composite::{Composite, PackedAttention};
use vitral_program::ops as op;

use crate::{
    Mode, ViTConfig,
    attention_maps::with_weights,
    init::{Initializer, Role},
    layers::{Linear, Norm, shape},
    ops::Ops,
    position::{RelativePositionBias, RotaryTable},
    program_attention::ProgramAttention,
    token_merging::TokenSizes,
};

/// Multi-head self-attention of one layer.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[width, 3 * inner]`: queries, keys and values, each with its heads side by side. The inner
    /// width is that of all heads: the width of a token, unless some were pruned.
    pub qkv: Linear,
    /// The norm over the head width of the queries.
    pub q_norm: Option<Norm>,
    /// The norm over the head width of the keys.
    pub k_norm: Option<Norm>,
    /// Bias on the scores by relative position.
    pub rel_pos: Option<RelativePositionBias>,
    /// A plugin's attention, in place of softmax attention.
    pub program: Option<ProgramAttention>,
    /// `[inner, width]`
    pub proj: Linear,
    #[module(skip)]
    pub(crate) heads: usize,
    #[module(skip)]
    layer: usize,
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
        let head_width = config.head_width_of(layer);
        let inner = heads * head_width;
        let qk_norm = config.attention_of(layer).qk_norm().unwrap_or(config.qk_norm);
        let norm = |name| qk_norm.then(|| Norm::new(&init.of(name), config, head_width));
        Self {
            qkv: Linear::new(
                &init.of("qkv"),
                Role::Attention { parts: 3 },
                width,
                3 * inner,
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
            proj: Linear::new(&init.of("proj"), Role::Attention { parts: 1 }, inner, width, true),
            heads,
            layer,
            attention_dropout: config.attention_dropout,
            dropout: config.dropout,
        }
    }

    /// Width of one head.
    pub(crate) fn head_dim(&self) -> usize {
        shape(&self.proj.weight)[0] / self.heads
    }

    /// Whether this is plain softmax attention of one packed projection, for which there is a kernel
    /// of the whole branch.
    pub(crate) fn is_plain(&self, turned: bool, mode: Mode) -> bool {
        let noise = |rate| mode.noise(rate).is_some();
        self.program.is_none()
            && self.rel_pos.is_none()
            && self.q_norm.is_none()
            && !turned
            && !noise(self.attention_dropout)
            && !noise(self.dropout)
    }

    /// `[B, tokens, width]` to the same, and queries and keys `[B, heads, tokens, head_dim]` if they are wanted.
    pub(crate) fn forward<O: Ops>(
        &self,
        ops: &mut O,
        tokens: O::Tensor,
        rotary: Option<&RotaryTable<O::Tensor>>,
        sizes: &TokenSizes<O::Tensor>,
        wants_compared: bool,
        mode: Mode,
    ) -> (O::Tensor, Option<[O::Tensor; 2]>) {
        let qkv = self.qkv.forward(ops, tokens);
        let turned = rotary.is_some() || sizes.weigh_scores();
        let packed = (!wants_compared).then(|| self.packed(ops, &qkv, turned, mode)).flatten();
        if let Some(out) = packed {
            return (self.projected(ops, out, mode), None);
        }
        let [mut query, mut key, value] = ops.heads(qkv, self.heads);
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            (query, key) = (q_norm.forward(ops, query), k_norm.forward(ops, key));
        }
        if let Some(rotary) = rotary {
            (query, key) = (rotary.rotate(ops, query), rotary.rotate(ops, key));
        }
        let compared = wants_compared.then(|| [query.clone(), key.clone()]);
        let out = match &self.program {
            Some(program) => {
                let (inputs, mode) = ([query, key, value], mode.of("weights"));
                match ops.keeps_attention() {
                    false => ops.program(program, inputs, self.layer, mode),
                    true => with_weights(ops, program, inputs, self.layer, mode),
                }
            }
            None => {
                let (bias, scale) = (self.bias(ops), self.scale());
                let (query, key) = sizes.in_scores(ops, query, key, scale);
                let attention =
                    SoftmaxAttention { scale, bias, weight_dropout: self.attention_dropout };
                attention.forward(ops, [query, key, value], mode.of("weights"))
            }
        };
        let out = ops.joined(out);
        (self.projected(ops, out, mode), compared)
    }

    /// The heads' results by a kernel that takes the packed projection, if there is one: of queries and keys that
    /// are as they were projected, and weights that all count.
    fn packed<O: Ops>(
        &self,
        ops: &mut O,
        qkv: &O::Tensor,
        turned: bool,
        mode: Mode,
    ) -> Option<O::Tensor> {
        let plain = self.program.is_none()
            && self.q_norm.is_none()
            && !turned
            && mode.of("weights").noise(self.attention_dropout).is_none();
        if !plain {
            return None;
        }
        let attention = PackedAttention { heads: self.heads, scale: self.scale() };
        ops.composite(Composite::PackedAttention(attention), qkv, |ops| vec![self.bias(ops)])
    }

    /// What the heads found, as a part of the tokens.
    fn projected<O: Ops>(&self, ops: &mut O, out: O::Tensor, mode: Mode) -> O::Tensor {
        let out = self.proj.forward(ops, out);
        ops.dropout(out, self.dropout, mode.of("projection"))
    }

    /// What scores are multiplied with.
    fn scale(&self) -> f64 {
        (self.head_dim() as f64).powf(-0.5)
    }

    /// What is added to scores, `[heads, queries, keys]`.
    fn bias<O: Ops>(&self, ops: &mut O) -> Option<O::Tensor> {
        self.rel_pos.as_ref().map(|table| ops.within("rel_pos", |ops| table.bias(ops)))
    }
}

/// `softmax(scale * q kᵀ + bias) v`, all `[B, heads, tokens, head_dim]`.
pub(crate) struct SoftmaxAttention<T> {
    pub(crate) scale: f64,
    /// `[heads, queries, keys]`
    pub(crate) bias: Option<T>,
    /// Share of the weights that are left out.
    pub(crate) weight_dropout: f64,
}

impl<T: Clone> SoftmaxAttention<T> {
    pub(crate) fn forward<O: Ops<Tensor = T>>(
        self,
        ops: &mut O,
        [query, key, value]: [T; 3],
        mode: Mode,
    ) -> T {
        if ops.keeps_attention() {
            let weights = self.exact_weights(ops, query.clone(), key.clone());
            ops.keep_attention(weights, None);
        }
        if mode.noise(self.weight_dropout).is_none() {
            let op = op::ScaledDotProductAttention { scale: self.scale };
            return ops.apply_some(op, [Some(query), Some(key), Some(value), self.bias]);
        }
        let scores = self.scores(ops, query, key);
        let weights = ops.in_f32([scores], |ops, [scores]| {
            let weights = self.weights(ops, scores);
            ops.dropout(weights, self.weight_dropout, mode)
        });
        ops.matmul(weights, value)
    }

    /// What values are weighted with but for noise, in `f32`: `[B, heads, queries, keys]`.
    pub(crate) fn exact_weights<O: Ops<Tensor = T>>(&self, ops: &mut O, query: T, key: T) -> T {
        let exact = [query, key].map(|tensor| ops.unrounded(tensor));
        ops.in_f32(exact, |ops, [query, key]| {
            let scores = self.scores(ops, query, key);
            self.weights(ops, scores)
        })
    }

    /// `scale * q kᵀ`: `[B, heads, queries, keys]`.
    fn scores<O: Ops<Tensor = T>>(&self, ops: &mut O, query: T, key: T) -> T {
        let scale = ops.scalar(self.scale);
        let query = ops.mul(query, scale);
        let keys = ops.transpose(key, &[0, 1, 3, 2]);
        ops.matmul(query, keys)
    }

    /// What values are weighted with.
    fn weights<O: Ops<Tensor = T>>(&self, ops: &mut O, scores: T) -> T {
        let scores = match self.bias.clone() {
            Some(bias) => ops.add(scores, bias),
            None => scores,
        };
        ops.apply(op::Softmax { axis: 3 }, [scores])
    }
}
