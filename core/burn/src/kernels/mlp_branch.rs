//! The feed-forward half of a block.

use std::marker::PhantomData;

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use half::bf16;
use vitral_kernels::{
    activation::Activation,
    layer_norm::LayerNormGradients,
    linear::LinearGradients,
    mlp_branch::{MlpBranch, MlpGradients, MlpSaved},
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

/// `x + scale * gamma * (act(layer_norm(x) W1 + b1) W2 + b2)` for `x` `[.., batch, tokens, width]`,
/// which must be covered by kernels.
pub(super) fn mlp_branch(
    branch: composite::MlpBranch,
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

/// What forward keeps for backward: what goes into the activation, and of the LayerNorm what stands for
/// the input.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    hidden: FlexTensor,
    norm: Option<NormKept>,
}

/// A branch whose products are in type `T`.
#[derive(Clone, Debug)]
pub(super) struct Branch<T> {
    settings: Settings,
    activation: Activation,
    multiplied: PhantomData<T>,
}

impl<T: Stored> Branch<T> {
    pub(super) fn new(branch: composite::MlpBranch) -> Self {
        Self {
            settings: Settings::new(branch.around),
            activation: branch.activation,
            multiplied: PhantomData,
        }
    }

    /// The kernel's view of the branch, of an input of the shape of `x`.
    fn of<'a>(&'a self, x: &FlexTensor, parameters: &'a [FlexTensor]) -> MlpBranch<'a> {
        let [norm_weight, norm_bias, fc1, fc1_bias, fc2, fc2_bias, layer_scale] = parameters else {
            unreachable!("a branch has so many parameters")
        };
        MlpBranch {
            residual: self.settings.around(x, [norm_weight, norm_bias], layer_scale),
            fc1: layer(fc1, fc1_bias),
            fc2: layer(fc2, fc2_bias),
            activation: self.activation,
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
        let (rows, width) = (branch.residual.kept_rows(), branch.fc1.outputs);
        let mut kept = keep.then(|| {
            let norm = NormMemory::<T>::new(rows, branch.fc1.inputs);
            (Buffer::<T>::new(rows * width), norm)
        });
        let saved = kept
            .as_mut()
            .map(|(hidden, norm)| MlpSaved { hidden, norm: norm.as_mut().map(NormMemory::lend) });
        branch.forward(values(x), &mut out, saved);
        let kept = kept.map(|(hidden, norm)| Kept {
            hidden: hidden.into_tensor([rows, width]),
            norm: norm.map(NormMemory::into_kept),
        });
        (out.into_tensor(shape(x)), kept)
    }

    /// The gradients of the input and of the parameters, from that of the result. What was not kept is
    /// computed again from the input, which is not read if its norm was kept.
    pub(super) fn differentiate(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        mut kept: Option<Kept>,
        gradient: &FlexTensor,
    ) -> (FlexTensor, [FlexTensor; PARAMETERS]) {
        let mut dx = Buffer::<f32>::new(count(gradient));
        let mut found = gradients_of(parameters);
        let [norm_weight, norm_bias, fc1, fc1_bias, fc2, fc2_bias, layer_scale] = &mut found;
        self.of(gradient, parameters).backward(
            values(x),
            kept.as_mut().map(|kept| MlpSaved {
                hidden: kept.hidden.storage_mut::<T>(),
                norm: kept.norm.as_mut().map(NormKept::lend),
            }),
            values(gradient),
            &mut dx,
            MlpGradients {
                norm: LayerNormGradients { weight: norm_weight, bias: norm_bias },
                fc1: LinearGradients { weight: fc1, bias: optional_memory(fc1_bias) },
                fc2: LinearGradients { weight: fc2, bias: optional_memory(fc2_bias) },
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
        let (dx, found) = self.differentiate(x, parameters, Some(kept), &gradient);
        with_first(dx, found).map(Some)
    }
}
