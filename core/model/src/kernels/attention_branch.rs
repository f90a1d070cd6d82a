//! The attention half of a block.

use std::marker::PhantomData;

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use half::bf16;
use vitral_kernels::{
    attention_branch::{AttentionBranch, AttentionBranchGradients, AttentionSaved},
    layer_norm::LayerNormGradients,
    linear::LinearGradients,
};

use crate::{
    composite::{self, Composite},
    program::RANK,
};

use super::{
    linear::layer,
    memory::{Buffer, Stored},
    multiplied::Multiplied,
    operation::{
        Input, Operation, count, gradients_of, optional_memory, run, shape, shaped_as, values,
        with_first,
    },
    residual::Settings,
};

/// `x + scale * gamma * (attention(layer_norm(x) Wqkv + b) Wproj + b)` for `x`
/// `[.., batch, tokens, width]`, which must be covered by kernels.
pub(super) fn attention_branch(
    branch: composite::AttentionBranch,
    multiplied: Multiplied,
    operands: [Input; 1 + PARAMETERS],
) -> Tensor<RANK> {
    match multiplied {
        Multiplied::F32 => run(Branch::<f32>::new(branch), operands),
        Multiplied::Bf16 => run(Branch::<bf16>::new(branch), operands),
    }
}

/// How many parameters the branch has at most.
pub(super) const PARAMETERS: usize = Composite::BRANCH;

/// A branch whose products are in type `T`.
#[derive(Clone, Debug)]
pub(super) struct Branch<T> {
    settings: Settings,
    heads: usize,
    multiplied: PhantomData<T>,
}

/// What forward keeps for backward: the packed projection, the heads' results and their sums.
pub(super) type Kept = [FlexTensor; 3];

impl<T: Stored> Branch<T> {
    pub(super) fn new(branch: composite::AttentionBranch) -> Self {
        Self {
            settings: Settings::new(branch.around),
            heads: branch.heads,
            multiplied: PhantomData,
        }
    }

    /// The kernel's view of the branch.
    fn of<'a>(&'a self, x: &FlexTensor, parameters: &'a [FlexTensor]) -> AttentionBranch<'a> {
        let [norm_weight, norm_bias, qkv, qkv_bias, proj, proj_bias, layer_scale] = parameters
        else {
            unreachable!("a branch has so many parameters")
        };
        AttentionBranch {
            residual: self.settings.around(x, [norm_weight, norm_bias], layer_scale),
            qkv: layer(qkv, qkv_bias),
            proj: layer(proj, proj_bias),
            heads: self.heads,
        }
    }

    /// The result for `x`, and with `keep` what backward needs.
    pub(super) fn compute(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        keep: bool,
    ) -> (FlexTensor, Option<Kept>) {
        let branch = self.of(x, parameters);
        let mut out = Buffer::<f32>::new(count(x));
        let rows = branch.residual.kept_rows();
        let (qkv, width) = (branch.qkv.outputs, branch.proj.inputs);
        let mut kept = keep.then(|| {
            let kept = [qkv, width].map(|size| Buffer::<T>::new(rows * size));
            (kept, Buffer::<f32>::new(rows * self.heads))
        });
        let saved = kept.as_mut().map(|([qkv, attended], logsumexp)| AttentionSaved {
            qkv,
            attended,
            logsumexp,
        });
        branch.forward(values(x), &mut out, saved);
        let kept = kept.map(|([of_qkv, attended], logsumexp)| {
            [
                of_qkv.into_tensor([rows, qkv]),
                attended.into_tensor([rows, width]),
                logsumexp.into_tensor([rows, self.heads]),
            ]
        });
        (out.into_tensor(shape(x)), kept)
    }

    /// The gradients of `x` and of the parameters, from that of the result.
    pub(super) fn differentiate(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        mut kept: Kept,
        gradient: &FlexTensor,
    ) -> (FlexTensor, [FlexTensor; PARAMETERS]) {
        let mut dx = Buffer::<f32>::new(count(x));
        let mut found = gradients_of(parameters);
        let [norm_weight, norm_bias, qkv, qkv_bias, proj, proj_bias, layer_scale] = &mut found;
        let [kept_qkv, attended, logsumexp] = &mut kept;
        self.of(x, parameters).backward(
            values(x),
            AttentionSaved {
                qkv: kept_qkv.storage_mut::<T>(),
                attended: attended.storage_mut(),
                logsumexp: logsumexp.storage_mut(),
            },
            values(gradient),
            &mut dx,
            AttentionBranchGradients {
                norm: LayerNormGradients { weight: norm_weight, bias: norm_bias },
                qkv: LinearGradients { weight: qkv, bias: optional_memory(qkv_bias) },
                proj: LinearGradients { weight: proj, bias: optional_memory(proj_bias) },
                layer_scale: optional_memory(layer_scale),
            },
        );
        (dx.into_tensor(shape(x)), shaped_as(parameters, found))
    }
}

impl<T: Stored> Operation<8> for Branch<T> {
    type Saved = Kept;

    fn forward(&self, inputs: &[FlexTensor; 8], keep: bool) -> (FlexTensor, Option<Kept>) {
        let [x, parameters @ ..] = inputs;
        self.compute(x, parameters, keep)
    }

    fn backward(
        self,
        inputs: [FlexTensor; 8],
        kept: Kept,
        gradient: FlexTensor,
        _: [bool; 8],
    ) -> [Option<FlexTensor>; 8] {
        let [x, parameters @ ..] = &inputs;
        let (dx, found) = self.differentiate(x, parameters, kept, &gradient);
        with_first(dx, found).map(Some)
    }
}
