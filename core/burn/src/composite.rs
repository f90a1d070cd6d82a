//! Parts of a model that a kernel may run as a whole.

use vitral_kernels::activation::Activation;

use crate::recording::Drawn;

/// A part of a model with what it is besides its operands. What it computes is said by the layer that
/// asks for it, in smaller ops; what runs it where is said by [`kernels`](crate::kernels).
#[derive(Clone, Debug)]
pub enum Composite {
    /// `x + scale * gamma * (attention(layer_norm(x) Wqkv + b) Wproj + b)` of `x` `[B, tokens, width]`,
    /// with softmax attention of heads that together need not be as wide. Its input is `x`, and its other operands are
    /// [`Composite::BRANCH`] parameters: LayerNorm's factors and summands, `Wqkv`, its bias or none, `Wproj`, its bias
    /// or none, and LayerScale or none.
    AttentionBranch(AttentionBranch),
    /// `x + scale * gamma * (activation(layer_norm(x) W1 + b) W2 + b)`, with operands likewise.
    MlpBranch(MlpBranch),
    /// The one and then the other. Operands: the parameters of the first, and those of the second.
    Block(AttentionBranch, MlpBranch),
    /// The same, of which nothing but the input is kept for backward.
    CheckpointedBlock(AttentionBranch, MlpBranch),
    /// `softmax(scale * q kᵀ + bias) v` of the packed projection `[B, tokens, 3 * inner]`, which has queries, keys
    /// and values, each with its heads side by side: `[B, tokens, inner]`. Its only operand is the bias
    /// `[heads, tokens, tokens]` or none.
    PackedAttention(PackedAttention),
    /// How much the class token, which is the first, takes from each token of `x` `[B, tokens, width]` on average over
    /// the heads of such a branch: `[B, tokens]` in `f32`. Operands: LayerNorm's factors and summands, `Wqkv`, and its
    /// bias or none.
    ClassAttention(ClassAttention),
    /// Tokens `[B, tokens, width]` to those before the patches, the patches with the most attention, by falling
    /// attention, and the sum of the others weighted by theirs. Its other operand is that attention `[B, tokens]`;
    /// its order has no gradient.
    TokenReorganization(TokenReorganization),
    /// Square patches to tokens with positions, behind those that come first. Its inputs are images
    /// `[B, height, width, channels]`; operands: the projection and its bias or none, positions
    /// `[1, patches, width]` or none, and the first tokens `[1, prefix, width]` or none.
    PatchEmbedding {
        /// Side of a patch in pixels.
        patch: usize,
    },
    /// The largest of each 3 x 3 values, two apart, of `[B, channels, height, width]`,
    /// whose values are zero or more. Padding is TensorFlow's `SAME`.
    MaxPool,
}

impl Composite {
    /// How many parameters each branch has, those counted that are left out.
    pub const BRANCH: usize = 7;

    /// Whether attention is in it.
    pub const fn has_attention(&self) -> bool {
        matches!(
            self,
            Self::AttentionBranch(_)
                | Self::Block(..)
                | Self::CheckpointedBlock(..)
                | Self::PackedAttention(_)
                | Self::ClassAttention(_)
        )
    }
}

/// What an attention branch is besides its operands.
#[derive(Clone, Debug)]
pub struct AttentionBranch {
    /// What lies around it.
    pub around: Around,
    /// Heads.
    pub heads: usize,
    /// Values of a head.
    pub head_width: usize,
}

/// What softmax attention is besides its operands.
#[derive(Clone, Copy, Debug)]
pub struct PackedAttention {
    /// Heads, which share the width.
    pub heads: usize,
    /// What scores are multiplied with.
    pub scale: f64,
}

/// What the class token's attention is besides its operands.
#[derive(Clone, Copy, Debug)]
pub struct ClassAttention {
    /// Added to LayerNorm's variance.
    pub eps: f64,
    /// Heads.
    pub heads: usize,
}

impl ClassAttention {
    /// How many parameters it has, one counted that is left out.
    pub const PARAMETERS: usize = 4;
}

/// What is left of tokens.
#[derive(Clone, Copy, Debug)]
pub struct TokenReorganization {
    /// Tokens before the patches, which stay.
    pub prefix: usize,
    /// Patches that stay.
    pub kept: usize,
    /// Whether there is a token for the others.
    pub fuse: bool,
}

/// What an MLP branch is besides its operands.
#[derive(Clone, Debug)]
pub struct MlpBranch {
    /// What lies around it.
    pub around: Around,
    /// What lies between its layers.
    pub activation: Activation,
    /// Neurons between its layers.
    pub hidden: usize,
}

/// What lies around a residual branch and is no operand.
#[derive(Clone, Debug)]
pub struct Around {
    /// Added to LayerNorm's variance.
    pub eps: f64,
    /// Drop path's factor of each sample.
    pub sample_scales: Option<Drawn>,
}
