//! The feed-forward half of a block: `x + scale * gamma * (act(layer_norm(x) W1 + b1) W2 + b2)` for `x`
//! `[.., batch, tokens, width]`.

use burn::backend::flex::FlexTensor;
use vitral_kernels::{
    activation::Activation,
    mlp_branch::{MlpBranch, MlpGradients, MlpSaved},
};

use crate::composite;

use super::{
    branch::{Gradients, Half, parts},
    memory::{Buffer, Stored},
    operation::values,
    residual::{NormKept, NormMemory, Settings},
};

/// The feed-forward half of a block.
#[derive(Clone, Debug)]
pub(super) struct Mlp {
    settings: Settings,
    activation: Activation,
}

/// What forward keeps for backward: what goes into the activation, and of the LayerNorm what stands for
/// the input.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    hidden: FlexTensor,
    norm: Option<NormKept>,
}

impl Mlp {
    pub(super) fn new(branch: composite::MlpBranch) -> Self {
        Self { settings: Settings::new(branch.around), activation: branch.activation }
    }

    /// The kernel's view of the branch, of an input of the shape of `x`.
    fn of<'a>(&'a self, x: &FlexTensor, parameters: &'a [FlexTensor]) -> MlpBranch<'a> {
        let (residual, [fc1, fc2]) = parts(&self.settings, x, parameters);
        MlpBranch { residual, fc1, fc2, activation: self.activation }
    }
}

impl<T: Stored> Half<T> for Mlp {
    /// Backward computes again from the input what was not kept.
    type Kept = Option<Kept>;

    fn forward(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        out: &mut [f32],
        keep: bool,
    ) -> Option<Self::Kept> {
        let branch = self.of(x, parameters);
        let (rows, width) = (branch.residual.kept_rows(), branch.fc1.outputs);
        let mut kept = keep.then(|| {
            let norm = NormMemory::<T>::new(rows, branch.fc1.inputs);
            (Buffer::<T>::new(rows * width), norm)
        });
        let saved = kept
            .as_mut()
            .map(|(hidden, norm)| MlpSaved { hidden, norm: norm.as_mut().map(NormMemory::lend) });
        branch.forward(values(x), out, saved);
        kept.map(|(hidden, norm)| {
            let hidden = hidden.into_tensor([rows, width]);
            Some(Kept { hidden, norm: norm.map(NormMemory::into_kept) })
        })
    }

    fn backward(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        mut kept: Self::Kept,
        gradient: &FlexTensor,
        dx: &mut [f32],
        Gradients { norm, layers: [fc1, fc2], layer_scale }: Gradients<'_>,
    ) {
        let saved = kept.as_mut().map(|kept| MlpSaved {
            hidden: kept.hidden.storage_mut::<T>(),
            norm: kept.norm.as_mut().map(NormKept::lend),
        });
        let gradients = MlpGradients { norm, fc1, fc2, layer_scale };
        let branch = self.of(gradient, parameters);
        branch.backward(values(x), saved, values(gradient), dx, gradients);
    }
}
