//! One block: what mixes tokens (attention, or an MLP-Mixer's MLP over tokens) and an MLP, each behind
//! a norm and on a residual branch.

use burn::module::Module;
use vitral_burn::{
    composite::{Around, AttentionBranch, ClassAttention, Composite, MlpBranch},
    recording::Drawn,
};

use crate::{
    Mode, ViTConfig,
    attention::Attention,
    config::Kept,
    drop::drop_path_factors,
    init::Initializer,
    layers::{LayerScale, Norm, shape},
    mlp::MlpBlock,
    ops::Ops,
    position::RotaryTable,
    program_attention::ProgramAttention,
    token_merging::TokenSizes,
    token_mixing::mix_tokens,
    token_reorganization::{class_attention, reorganize},
};

/// What the drop paths of a block's two branches draw from.
const DROP_PATHS: [&str; 2] = ["drop_path1", "drop_path2"];

/// What runs the blocks of a model.
pub(crate) trait Blocks: Ops {
    /// A block, of which only the input is kept for backward if it is `checkpointed`.
    fn block(
        &mut self,
        block: &Block,
        tokens: Self::Tensor,
        rotary: Option<&RotaryTable<Self::Tensor>>,
        sizes: &mut TokenSizes<Self::Tensor>,
        _checkpointed: bool,
        mode: Mode,
    ) -> Self::Tensor {
        block.forward(self, tokens, rotary, sizes, mode)
    }
}

/// A pre-norm block of a transformer or an MLP-Mixer: it has either `attn` or `mlp_tokens`. A branch that
/// was pruned away is not there, nor are its norm and scale.
#[derive(Module, Debug)]
pub struct Block {
    /// The norm before attention or token mixing.
    pub norm1: Option<Norm>,
    /// Multi-head attention.
    pub attn: Option<Attention>,
    /// The MLP over the tokens of each channel, in the place of attention.
    pub mlp_tokens: Option<MlpBlock>,
    /// LayerScale of that branch.
    pub ls1: Option<LayerScale>,
    /// The norm before the MLP.
    pub norm2: Option<Norm>,
    /// The MLP.
    pub mlp: Option<MlpBlock>,
    /// LayerScale of the MLP branch.
    pub ls2: Option<LayerScale>,
    #[module(skip)]
    drop_path: f64,
    /// Tokens to merge away after attention.
    #[module(skip)]
    merged: usize,
    /// What is kept of the tokens after attention; none if all are.
    #[module(skip)]
    kept: Option<Kept>,
}

impl Block {
    pub(crate) fn new(
        init: &Initializer,
        config: &ViTConfig,
        layer: usize,
        program: Option<ProgramAttention>,
    ) -> Self {
        let (width, hidden) = (config.width(), config.hidden_of(layer));
        let has_heads = !config.is_mixer() && config.heads_of(layer) > 0;
        let (mixes, has_mlp) = (config.is_mixer() || has_heads, hidden > 0);
        let norm = |name: &str| Norm::new(&init.of(name), config, width);
        let scale = |name: &str| {
            config.layer_scale.map(|value| LayerScale::new(&init.of(name), width, value))
        };
        Self {
            norm1: mixes.then(|| norm("norm1")),
            attn: has_heads.then(|| Attention::new(&init.of("attn"), config, layer, program)),
            mlp_tokens: MlpBlock::over_tokens(&init.of("mlp_tokens"), config),
            ls1: if mixes { scale("ls1") } else { None },
            norm2: has_mlp.then(|| norm("norm2")),
            mlp: has_mlp.then(|| MlpBlock::new(&init.of("mlp"), config, hidden)),
            ls2: if has_mlp { scale("ls2") } else { None },
            drop_path: config.drop_path_of(layer),
            merged: config.merged_of(layer),
            kept: config.kept_of(layer),
        }
    }

    /// Whether both branches were pruned away.
    pub(crate) const fn is_empty(&self) -> bool {
        self.norm1.is_none() && self.norm2.is_none()
    }

    /// What the branches of a batch's samples are multiplied with, as far as it is drawn.
    pub(crate) fn drop_path_factors(
        &self,
        batch: usize,
        mode: Mode,
    ) -> impl Iterator<Item = Drawn> {
        let branches = [&self.norm1, &self.norm2].into_iter().zip(DROP_PATHS);
        let there = branches.filter(|(norm, _)| norm.is_some());
        there.filter_map(move |(_, name)| drop_path_factors(batch, self.drop_path, mode.of(name)))
    }

    /// `[B, tokens, width]` to the same, or to fewer tokens where it merges or leaves out some.
    pub(crate) fn forward<O: Ops>(
        &self,
        ops: &mut O,
        tokens: O::Tensor,
        rotary: Option<&RotaryTable<O::Tensor>>,
        sizes: &mut TokenSizes<O::Tensor>,
        mode: Mode,
    ) -> O::Tensor {
        let attention = self.plain_attention(ops, rotary.is_some(), sizes, mode);
        let mlp = self.plain_mlp(ops, mode);
        if let (Some(attention), Some(mlp), None) = (&attention, &mlp, self.kept) {
            let whole = Composite::Block(attention.clone(), mlp.clone());
            if let Some(tokens) = ops.composite(whole, &tokens, |ops| self.parameters(ops)) {
                return tokens;
            }
        }
        let by_kernel = attention.and_then(|plain| self.mixed_by_kernel(ops, &tokens, plain));
        let tokens = match by_kernel {
            Some(tokens) => tokens,
            None => self.mixed(ops, tokens, rotary, sizes, mode),
        };
        let by_kernel = mlp.and_then(|plain| {
            let composite = Composite::MlpBranch(plain);
            ops.composite(composite, &tokens, |ops| self.mlp_parameters(ops))
        });
        if let Some(tokens) = by_kernel {
            return tokens;
        }
        let (Some(norm), Some(mlp)) = (&self.norm2, &self.mlp) else { return tokens };
        let normed = norm.forward(ops, tokens.clone());
        let branch = ops.within("mlp", |ops| mlp.forward(ops, normed, mode.of("mlp")));
        self.residual(ops, tokens, branch, self.ls2.as_ref(), mode.of(DROP_PATHS[1]))
    }

    /// The half that lets tokens see each other by the kernel of that branch, if there is one; and, where tokens are
    /// left out, by one that tells where the class token looks.
    fn mixed_by_kernel<O: Ops>(
        &self,
        ops: &mut O,
        tokens: &O::Tensor,
        plain: AttentionBranch,
    ) -> Option<O::Tensor> {
        let attention = match self.kept {
            Some(_) => Some(self.class_attention(ops, tokens, &plain)?),
            None => None,
        };
        let composite = Composite::AttentionBranch(plain);
        let mixed = ops.composite(composite, tokens, |ops| self.attention_parameters(ops))?;
        match (attention, self.kept) {
            (Some(attention), Some(kept)) => {
                Some(ops.within("reorganization", |ops| reorganize(ops, mixed, attention, kept)))
            }
            _ => Some(mixed),
        }
    }

    /// The class token's attention in a plain branch, `[B, tokens]`, by a kernel, if there is one.
    fn class_attention<O: Ops>(
        &self,
        ops: &mut O,
        tokens: &O::Tensor,
        plain: &AttentionBranch,
    ) -> Option<O::Tensor> {
        let attention = ClassAttention { eps: plain.around.eps, heads: plain.heads };
        ops.composite(Composite::ClassAttention(attention), tokens, |ops| {
            let mut parameters = self.attention_parameters(ops);
            parameters.truncate(ClassAttention::PARAMETERS);
            parameters
        })
    }

    /// The half that lets tokens see each other.
    fn mixed<O: Ops>(
        &self,
        ops: &mut O,
        tokens: O::Tensor,
        rotary: Option<&RotaryTable<O::Tensor>>,
        sizes: &mut TokenSizes<O::Tensor>,
        mode: Mode,
    ) -> O::Tensor {
        let path = mode.of(DROP_PATHS[0]);
        let Some(norm) = &self.norm1 else { return tokens };
        match (&self.attn, &self.mlp_tokens) {
            (Some(attn), _) => {
                let normed = norm.forward(ops, tokens.clone());
                let compares = self.merged > 0 || self.kept.is_some();
                let (branch, compared) = ops.within("attn", |ops| {
                    attn.forward(ops, normed, rotary, sizes, compares, mode.of("attention"))
                });
                let tokens = self.residual(ops, tokens, branch, self.ls1.as_ref(), path);
                match (compared, self.kept) {
                    (None, _) => tokens,
                    (Some(compared), Some(kept)) => ops.within("reorganization", |ops| {
                        let attention = class_attention(ops, compared);
                        reorganize(ops, tokens, attention, kept)
                    }),
                    (Some([_, keys]), None) => {
                        ops.within("merging", |ops| sizes.merge(ops, tokens, keys, self.merged))
                    }
                }
            }
            (None, Some(mlp)) => {
                let normed = norm.forward(ops, tokens.clone());
                let branch = ops.within("mlp_tokens", |ops| {
                    mix_tokens(ops, mlp, normed, mode.of("mlp_tokens"))
                });
                self.residual(ops, tokens, branch, self.ls1.as_ref(), path)
            }
            (None, None) => tokens,
        }
    }

    /// A branch, scaled and possibly dropped, on what it is a branch of.
    fn residual<O: Ops>(
        &self,
        ops: &mut O,
        tokens: O::Tensor,
        branch: O::Tensor,
        scale: Option<&LayerScale>,
        mode: Mode,
    ) -> O::Tensor {
        let branch = match scale {
            Some(scale) => scale.forward(ops, branch),
            None => branch,
        };
        let branch = ops.drop_path(branch, self.drop_path, mode);
        ops.add(tokens, branch)
    }

    /// The whole block by one kernel that keeps nothing but its input for backward, if both branches
    /// are plain and there is one.
    pub(crate) fn checkpointed_by_kernel<O: Ops>(
        &self,
        ops: &mut O,
        tokens: &O::Tensor,
        turned: bool,
        sizes: &TokenSizes<O::Tensor>,
        mode: Mode,
    ) -> Option<O::Tensor> {
        if self.kept.is_some() {
            return None;
        }
        let plain = Composite::CheckpointedBlock(
            self.plain_attention(ops, turned, sizes, mode)?,
            self.plain_mlp(ops, mode)?,
        );
        ops.composite(plain, tokens, |ops| self.parameters(ops))
    }

    /// The attention half, if it is what kernels are for.
    fn plain_attention<O: Ops>(
        &self,
        ops: &O,
        turned: bool,
        sizes: &TokenSizes<O::Tensor>,
        mode: Mode,
    ) -> Option<AttentionBranch> {
        let attn = self.attn.as_ref()?;
        let plain = self.merged == 0
            && !sizes.weigh_scores()
            && attn.is_plain(turned, mode.of("attention"));
        let around = self.around(ops, self.norm1.as_ref()?, mode.of(DROP_PATHS[0]));
        around.filter(|_| plain).map(|around| AttentionBranch {
            around,
            heads: attn.heads,
            head_width: attn.head_dim(),
        })
    }

    /// The MLP half, if it is what kernels are for.
    fn plain_mlp<O: Ops>(&self, ops: &O, mode: Mode) -> Option<MlpBranch> {
        let mlp = self.mlp.as_ref()?;
        let activation = mlp.plain(mode.of("mlp"))?;
        let around = self.around(ops, self.norm2.as_ref()?, mode.of(DROP_PATHS[1]))?;
        let [_, hidden] = shape(&mlp.fc1.weight);
        Some(MlpBranch { around, activation, hidden })
    }

    fn around<O: Ops>(&self, ops: &O, norm: &Norm, path: Mode) -> Option<Around> {
        let eps = norm.layer_norm_eps()?;
        Some(Around { eps, sample_scales: ops.drop_path_factors(self.drop_path, path) })
    }

    /// Those of both halves.
    fn parameters<O: Ops>(&self, ops: &mut O) -> Vec<Option<O::Tensor>> {
        [self.attention_parameters(ops), self.mlp_parameters(ops)].concat()
    }

    fn attention_parameters<O: Ops>(&self, ops: &mut O) -> Vec<Option<O::Tensor>> {
        let (Some(norm), Some(attn)) = (&self.norm1, &self.attn) else { return Vec::new() };
        let layers = [norm.parameters(ops), attn.qkv.parameters(ops)];
        let scale = self.ls1.as_ref().map(|scale| ops.parameter(&scale.gamma));
        let last = attn.proj.parameters(ops);
        layers.into_iter().chain([last]).flatten().chain([scale]).collect()
    }

    fn mlp_parameters<O: Ops>(&self, ops: &mut O) -> Vec<Option<O::Tensor>> {
        let (Some(norm), Some(mlp)) = (&self.norm2, &self.mlp) else { return Vec::new() };
        let layers = [norm.parameters(ops), mlp.fc1.parameters(ops)];
        let last = mlp.fc2.parameters(ops);
        let scale = self.ls2.as_ref().map(|scale| ops.parameter(&scale.gamma));
        layers.into_iter().chain([last]).flatten().chain([scale]).collect()
    }
}
