//! The halves of a block, each as one operation forward and one backward.

use burn::{
    backend::DispatchTensor,
    tensor::{DType, Tensor, TensorData},
};
use vitral_gpu_kernels::branch::{self, Branch, Kept, Kind, Settings};
use vitral_kernels::activation::Activation;

use super::{
    layer_norm::WIDEST,
    on_gpu,
    operation::{self, Operation, Values, run},
};
use crate::{
    composite::{Around, AttentionBranch, Composite, MlpBranch},
    program::RANK,
};

/// The input, and the parameters.
const OPERANDS: usize = 1 + Composite::BRANCH;

/// Whether [`attention_branch`] and [`mlp_branch`] take these tokens, `[.., batch, tokens, width]`, in a model that
/// computes in some type, where the first product has so many columns.
pub(super) fn takes(tokens: &Tensor<RANK>, compute: DType, columns: usize) -> bool {
    let [.., batch, rows, width] = tokens.dims();
    let is_counted = u32::try_from(batch * rows * columns.max(width)).is_ok();
    on_gpu(tokens) && tokens.dtype() == compute && width <= WIDEST && is_counted
}

/// The half of a block that has attention, of operands as [`Composite::AttentionBranch`] has them.
pub(in super::super) fn attention_branch(
    AttentionBranch { around, heads, head_width }: AttentionBranch,
    x: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> Tensor<RANK> {
    let scale = (head_width as f64).powf(-0.5) as f32;
    compute(Kind::Attention { heads, scale }, around, x, others)
}

/// The half of a block that has an MLP, of operands as [`Composite::MlpBranch`] has them.
pub(in super::super) fn mlp_branch(
    MlpBranch { around, activation, .. }: MlpBranch,
    x: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> Tensor<RANK> {
    let activation = match activation {
        Activation::Gelu => vitral_gpu_kernels::Activation::Gelu,
        Activation::GeluTanh => vitral_gpu_kernels::Activation::GeluTanh,
    };
    compute(Kind::Mlp(activation), around, x, others)
}

fn compute(
    kind: Kind,
    Around { eps, sample_scales }: Around,
    x: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> Tensor<RANK> {
    let device = x.device().without_autodiff();
    let sample_scales = sample_scales.map(|scales| {
        let count = scales.len();
        let scales = Tensor::<1>::from_data(TensorData::new(scales, [count]), &device);
        operation::on_gpu(scales.into_dispatch()).float()
    });
    let is_there = |at: usize| others[at].is_some();
    let operation = HalfOfBlock {
        settings: Settings { kind, eps: eps as f32 },
        biases: [is_there(3), is_there(5)],
        layer_scale: is_there(6),
        sample_scales,
    };
    // In the place of what is left out, the input without a history, which nobody reads there.
    let nothing = x.clone().without_autodiff().into_dispatch();
    let all = std::iter::once(Some(x.into_dispatch())).chain(others);
    let all: Vec<DispatchTensor> = all.map(|one| one.unwrap_or_else(|| nothing.clone())).collect();
    let operands: [DispatchTensor; OPERANDS] =
        all.try_into().unwrap_or_else(|_| unreachable!("a branch has so many parameters"));
    run(operation, operands)
}

#[derive(Clone, Debug)]
struct HalfOfBlock {
    settings: Settings,
    biases: [bool; 2],
    layer_scale: bool,
    sample_scales: Option<Values>,
}

impl HalfOfBlock {
    fn branch(&self, operands: [Values; OPERANDS]) -> Branch<Values> {
        let [x, norm_weight, norm_bias, first, first_bias, second, second_bias, layer_scale] =
            operands;
        let [has_first, has_second] = self.biases;
        Branch {
            x,
            norm: [norm_weight, norm_bias],
            weights: [first, second],
            biases: [has_first.then_some(first_bias), has_second.then_some(second_bias)],
            layer_scale: self.layer_scale.then_some(layer_scale),
            sample_scales: self.sample_scales.clone(),
        }
    }
}

impl Operation<OPERANDS> for HalfOfBlock {
    type Saved = (Branch<Values>, Kept);

    fn forward(&self, operands: [Values; OPERANDS]) -> (Values, Self::Saved) {
        let branch = self.branch(operands);
        let (out, kept) = branch::forward(branch.clone(), self.settings);
        (out, (branch, kept))
    }

    fn backward(
        self,
        (branch, kept): Self::Saved,
        gradient: Values,
        _: [bool; OPERANDS],
    ) -> [Option<Values>; OPERANDS] {
        let found = branch::backward(branch, kept, gradient, self.settings);
        let [norm_weight, norm_bias] = found.norm;
        let ([first, second], [first_bias, second_bias]) = (found.weights, found.biases);
        [
            Some(found.x),
            Some(norm_weight),
            Some(norm_bias),
            Some(first),
            first_bias,
            Some(second),
            second_bias,
            found.layer_scale,
        ]
    }
}
