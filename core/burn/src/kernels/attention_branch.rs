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
    residual::{NormKept, NormMemory, Settings},
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

/// What forward keeps for backward: the packed projection, the heads' results and their sums, and of the
/// LayerNorm what stands for the input.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    qkv: FlexTensor,
    attended: FlexTensor,
    logsumexp: FlexTensor,
    norm: Option<NormKept>,
}

impl<T: Stored> Branch<T> {
    pub(super) fn new(branch: composite::AttentionBranch) -> Self {
        Self {
            settings: Settings::new(branch.around),
            heads: branch.heads,
            multiplied: PhantomData,
        }
    }

    /// The kernel's view of the branch, of an input of the shape of `x`.
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
        let (qkv, inner) = (branch.qkv.outputs, branch.proj.inputs);
        let mut kept = keep.then(|| {
            let kept = [qkv, inner].map(|size| Buffer::<T>::new(rows * size));
            let norm = NormMemory::<T>::new(rows, branch.qkv.inputs);
            (kept, Buffer::<f32>::new(rows * self.heads), norm)
        });
        let saved = kept.as_mut().map(|([qkv, attended], logsumexp, norm)| AttentionSaved {
            qkv,
            attended,
            logsumexp,
            norm: norm.as_mut().map(NormMemory::lend),
        });
        branch.forward(values(x), &mut out, saved);
        let kept = kept.map(|([of_qkv, attended], logsumexp, norm)| Kept {
            qkv: of_qkv.into_tensor([rows, qkv]),
            attended: attended.into_tensor([rows, inner]),
            logsumexp: logsumexp.into_tensor([rows, self.heads]),
            norm: norm.map(NormMemory::into_kept),
        });
        (out.into_tensor(shape(x)), kept)
    }

    /// The gradients of the input and of the parameters, from that of the result. The input itself is not
    /// read if its norm was kept.
    pub(super) fn differentiate(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        mut kept: Kept,
        gradient: &FlexTensor,
    ) -> (FlexTensor, [FlexTensor; PARAMETERS]) {
        let mut dx = Buffer::<f32>::new(count(gradient));
        let mut found = gradients_of(parameters);
        let [norm_weight, norm_bias, qkv, qkv_bias, proj, proj_bias, layer_scale] = &mut found;
        self.of(gradient, parameters).backward(
            values(x),
            AttentionSaved {
                qkv: kept.qkv.storage_mut::<T>(),
                attended: kept.attended.storage_mut(),
                logsumexp: kept.logsumexp.storage_mut(),
                norm: kept.norm.as_mut().map(NormKept::lend),
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
        (dx.into_tensor(shape(gradient)), shaped_as(parameters, found))
    }
}

impl<T: Stored> Operation<8> for Branch<T> {
    type Saved = Kept;

    fn reads_again(&self, input: usize) -> bool {
        input > 0 || !T::KEEPS_NORM
    }

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
