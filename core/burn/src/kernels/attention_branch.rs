//! The attention half of a block: `x + scale * gamma * (attention(layer_norm(x) Wqkv + b) Wproj + b)` for
//! `x` `[.., batch, tokens, width]`.

use burn::backend::flex::FlexTensor;
use vitral_kernels::attention_branch::{AttentionBranch, AttentionBranchGradients, AttentionSaved};

use crate::composite;

use super::{
    branch::{Gradients, Half, parts},
    memory::{Buffer, Stored},
    operation::values,
    residual::{NormKept, NormMemory, Settings},
};

/// The attention half of a block.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    settings: Settings,
    heads: usize,
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

impl Attention {
    pub(super) fn new(branch: composite::AttentionBranch) -> Self {
        Self { settings: Settings::new(branch.around), heads: branch.heads }
    }

    /// The kernel's view of the branch, of an input of the shape of `x`.
    fn of<'a>(&'a self, x: &FlexTensor, parameters: &'a [FlexTensor]) -> AttentionBranch<'a> {
        let (residual, [qkv, proj]) = parts(&self.settings, x, parameters);
        AttentionBranch { residual, qkv, proj, heads: self.heads }
    }
}

impl<T: Stored> Half<T> for Attention {
    type Kept = Kept;

    fn forward(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        out: &mut [f32],
        keep: bool,
    ) -> Option<Kept> {
        let branch = self.of(x, parameters);
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
        branch.forward(values(x), out, saved);
        kept.map(|([of_qkv, attended], logsumexp, norm)| Kept {
            qkv: of_qkv.into_tensor([rows, qkv]),
            attended: attended.into_tensor([rows, inner]),
            logsumexp: logsumexp.into_tensor([rows, self.heads]),
            norm: norm.map(NormMemory::into_kept),
        })
    }

    fn backward(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        mut kept: Kept,
        gradient: &FlexTensor,
        dx: &mut [f32],
        Gradients { norm, layers: [qkv, proj], layer_scale }: Gradients<'_>,
    ) {
        let saved = AttentionSaved {
            qkv: kept.qkv.storage_mut::<T>(),
            attended: kept.attended.storage_mut(),
            logsumexp: kept.logsumexp.storage_mut(),
            norm: kept.norm.as_mut().map(NormKept::lend),
        };
        let gradients = AttentionBranchGradients { norm, qkv, proj, layer_scale };
        let branch = self.of(gradient, parameters);
        branch.backward(values(x), saved, values(gradient), dx, gradients);
    }
}
