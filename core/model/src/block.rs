//! One block: what mixes tokens (attention, or an MLP-Mixer's MLP over tokens) and an MLP, each behind
//! a LayerNorm and on a residual branch.

use burn::{module::Module, tensor::Tensor};

use crate::{
    Mode, ViTConfig,
    attention::Attention,
    drop::{drop_path, drop_path_factors},
    fused::{self, AttentionParts, MlpParts, ResidualParts},
    init::Initializer,
    layers::{LayerNorm, LayerScale},
    mlp::MlpBlock,
    position::RotaryTable,
    program_attention::ProgramAttention,
    token_merging::TokenSizes,
    token_mixing::mix_tokens,
};

/// A pre-norm block of a transformer or an MLP-Mixer: it has either `attn` or `mlp_tokens`.
#[derive(Module, Debug)]
pub struct Block {
    /// LayerNorm before attention or token mixing.
    pub norm1: LayerNorm,
    /// Multi-head attention.
    pub attn: Option<Attention>,
    /// The MLP over the tokens of each channel, in the place of attention.
    pub mlp_tokens: Option<MlpBlock>,
    /// LayerScale of that branch.
    pub ls1: Option<LayerScale>,
    /// LayerNorm before the MLP.
    pub norm2: LayerNorm,
    /// The MLP.
    pub mlp: MlpBlock,
    /// LayerScale of the MLP branch.
    pub ls2: Option<LayerScale>,
    #[module(skip)]
    drop_path: f64,
    /// Tokens to merge away after attention.
    #[module(skip)]
    merged: usize,
}

impl Block {
    pub(crate) fn new(
        init: &Initializer,
        config: &ViTConfig,
        layer: usize,
        program: Option<ProgramAttention>,
    ) -> Self {
        let (width, eps) = (config.width(), config.norm_eps);
        let scale =
            |name| config.layer_scale.map(|value| LayerScale::new(&init.of(name), width, value));
        Self {
            norm1: LayerNorm::new(&init.of("norm1"), width, eps),
            attn: (!config.is_mixer())
                .then(|| Attention::new(&init.of("attn"), config, layer, program)),
            mlp_tokens: MlpBlock::over_tokens(&init.of("mlp_tokens"), config),
            ls1: scale("ls1"),
            norm2: LayerNorm::new(&init.of("norm2"), width, eps),
            mlp: MlpBlock::new(&init.of("mlp"), config),
            ls2: scale("ls2"),
            drop_path: config.drop_path_of(layer),
            merged: config.merged_of(layer),
        }
    }

    /// `[batch, tokens, width]` to the same, or to fewer tokens where it merges some.
    pub(crate) fn forward(
        &self,
        tokens: Tensor<3>,
        rotary: Option<&RotaryTable>,
        sizes: &mut TokenSizes,
        mode: Mode,
    ) -> Tensor<3> {
        let path = mode.of("drop_path1");
        let tokens = match (&self.attn, &self.mlp_tokens) {
            (Some(attn), _) => match self.attention_parts(&tokens, rotary, sizes, mode) {
                Some(parts) => fused::attention_branch(tokens, parts),
                None => {
                    let normed = self.norm1.forward(tokens.clone());
                    let (branch, keys) = attn.forward(normed, rotary, sizes, mode.of("attention"));
                    let tokens = tokens + self.finish(branch, self.ls1.as_ref(), path);
                    sizes.merge(tokens, &keys, self.merged)
                }
            },
            (None, Some(mlp)) => {
                let normed = self.norm1.forward(tokens.clone());
                let branch = mix_tokens(mlp, normed, mode.of("mlp_tokens"));
                tokens + self.finish(branch, self.ls1.as_ref(), path)
            }
            (None, None) => tokens,
        };
        match self.mlp_parts(&tokens, mode) {
            Some(parts) => fused::mlp_branch(tokens, parts),
            None => {
                let normed = self.norm2.forward(tokens.clone());
                let branch = self.mlp.forward(normed, mode.of("mlp"));
                tokens + self.finish(branch, self.ls2.as_ref(), mode.of("drop_path2"))
            }
        }
    }

    /// What both branches take, where kernels run them.
    pub(crate) fn parts(
        &self,
        tokens: &Tensor<3>,
        rotary: Option<&RotaryTable>,
        sizes: &TokenSizes,
        mode: Mode,
    ) -> Option<(AttentionParts, MlpParts)> {
        let attention = self.attention_parts(tokens, rotary, sizes, mode)?;
        Some((attention, self.mlp_parts(tokens, mode)?))
    }

    fn attention_parts(
        &self,
        tokens: &Tensor<3>,
        rotary: Option<&RotaryTable>,
        sizes: &TokenSizes,
        mode: Mode,
    ) -> Option<AttentionParts> {
        let attn = self.attn.as_ref()?;
        let plain = self.merged == 0
            && !sizes.weigh_scores()
            && attn.is_plain(rotary, mode.of("attention"));
        (plain && fused::covers(tokens)).then(|| {
            let path = mode.of("drop_path1");
            attn.parts(self.around(tokens, &self.norm1, self.ls1.as_ref(), path))
        })
    }

    fn mlp_parts(&self, tokens: &Tensor<3>, mode: Mode) -> Option<MlpParts> {
        let activation = self.mlp.plain(mode.of("mlp")).filter(|_| fused::covers(tokens))?;
        let path = mode.of("drop_path2");
        let around = self.around(tokens, &self.norm2, self.ls2.as_ref(), path);
        Some(self.mlp.parts(around, activation))
    }

    /// What lies around a branch that runs as one kernel.
    fn around(
        &self,
        tokens: &Tensor<3>,
        norm: &LayerNorm,
        scale: Option<&LayerScale>,
        path: Mode,
    ) -> ResidualParts {
        ResidualParts {
            norm_weight: norm.weight.val(),
            norm_bias: norm.bias.val(),
            eps: norm.eps,
            layer_scale: scale.map(|scale| scale.gamma.val()),
            sample_scales: drop_path_factors(tokens.dims()[0], self.drop_path, path),
        }
    }

    fn finish(&self, branch: Tensor<3>, scale: Option<&LayerScale>, mode: Mode) -> Tensor<3> {
        let branch = match scale {
            Some(scale) => scale.forward(branch),
            None => branch,
        };
        drop_path(branch, self.drop_path, mode)
    }
}
