//! Blocks, and halves of them, each as one operation forward and one backward.

use burn::{
    backend::{DispatchTensor, TensorMetadata},
    tensor::{DType, Device, Tensor},
};
use vitral_gpu_kernels::block::{self, Block, Gradients, Half, Kept, Kind, OfHalf};
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

/// The parameters of a half.
const PARAMETERS: usize = Composite::BRANCH;

/// Whether [`half`] and [`block`] take these tokens, `[.., batch, tokens, width]`, in a model that computes in some
/// type, where the first product has so many columns.
pub(super) fn takes(tokens: &Tensor<RANK>, compute: DType, columns: usize) -> bool {
    let [.., batch, rows, width] = tokens.dims();
    let is_counted = u32::try_from(batch * rows * columns.max(width)).is_ok();
    let fits = || block::fits(&operation::on_gpu(tokens.clone().into_dispatch()).device());
    on_gpu(tokens) && tokens.dtype() == compute && width <= WIDEST && is_counted && fits()
}

/// What a half is besides its operands.
pub(in super::super) struct Branch {
    kind: Kind,
    around: Around,
}

impl From<AttentionBranch> for Branch {
    fn from(AttentionBranch { around, heads, head_width }: AttentionBranch) -> Self {
        let scale = (head_width as f64).powf(-0.5) as f32;
        Self { kind: Kind::Attention { heads, scale }, around }
    }
}

impl From<MlpBranch> for Branch {
    fn from(MlpBranch { around, activation, .. }: MlpBranch) -> Self {
        let activation = match activation {
            Activation::Gelu => vitral_gpu_kernels::Activation::Gelu,
            Activation::GeluTanh => vitral_gpu_kernels::Activation::GeluTanh,
        };
        Self { kind: Kind::Mlp(activation), around }
    }
}

/// A half of a block, of operands as [`Composite::AttentionBranch`] and [`Composite::MlpBranch`] have them.
pub(in super::super) fn half(
    branch: Branch,
    x: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> Tensor<RANK> {
    compute::<{ 1 + PARAMETERS }>(vec![branch], x, others)
}

/// A whole block, of operands as [`Composite::Block`] has them.
pub(in super::super) fn block(
    branches: [Branch; 2],
    x: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> Tensor<RANK> {
    compute::<{ 1 + 2 * PARAMETERS }>(branches.into(), x, others)
}

fn compute<const OPERANDS: usize>(
    branches: Vec<Branch>,
    x: Tensor<RANK>,
    others: Vec<Option<DispatchTensor>>,
) -> Tensor<RANK> {
    let device = x.device().without_autodiff();
    let outlines = branches
        .into_iter()
        .zip(others.chunks(PARAMETERS))
        .map(|(branch, operands)| Outline::new(branch, operands, &device));
    let operation = Halves(outlines.collect());
    // In the place of what is left out, the input without a history, which nobody reads there.
    let nothing = x.clone().without_autodiff().into_dispatch();
    let all = std::iter::once(Some(x.into_dispatch())).chain(others);
    let all: Vec<DispatchTensor> = all.map(|one| one.unwrap_or_else(|| nothing.clone())).collect();
    let operands: [DispatchTensor; OPERANDS] =
        all.try_into().unwrap_or_else(|_| unreachable!("halves have so many parameters"));
    run(operation, operands)
}

/// A half without its operands.
#[derive(Clone, Debug)]
struct Outline {
    kind: Kind,
    eps: f32,
    /// Which of its operands are there.
    is_there: [bool; PARAMETERS],
    sample_scales: Option<Values>,
}

impl Outline {
    fn new(branch: Branch, operands: &[Option<DispatchTensor>], device: &Device) -> Self {
        let Branch { kind, around: Around { eps, sample_scales } } = branch;
        let sample_scales = sample_scales
            .map(|scales| operation::on_gpu(scales.on(device).into_dispatch()).float());
        let is_there = std::array::from_fn(|at| operands[at].is_some());
        Self { kind, eps: eps as f32, is_there, sample_scales }
    }

    fn half(&self, operands: [Values; PARAMETERS]) -> Half<Values> {
        let mut at = 0;
        let [norm_weight, norm_bias, first, first_bias, second, second_bias, layer_scale] =
            operands.map(|operand| {
                at += 1;
                self.is_there[at - 1].then_some(operand)
            });
        let needed = |operand: Option<Values>| {
            operand.unwrap_or_else(|| unreachable!("only biases and LayerScale may be left out"))
        };
        Half {
            kind: self.kind,
            eps: self.eps,
            norm: [norm_weight, norm_bias].map(needed),
            weights: [first, second].map(needed),
            biases: [first_bias, second_bias],
            layer_scale,
            sample_scales: self.sample_scales.clone(),
        }
    }
}

/// The gradients of a half's operands, in their order.
fn in_order(of_half: OfHalf<Values>) -> [Option<Values>; PARAMETERS] {
    let OfHalf { norm, weights, biases, layer_scale } = of_half;
    let [norm_weight, norm_bias] = norm.map(Some);
    let ([first, second], [first_bias, second_bias]) = (weights.map(Some), biases);
    [norm_weight, norm_bias, first, first_bias, second, second_bias, layer_scale]
}

#[derive(Clone, Debug)]
struct Halves(Vec<Outline>);

impl Halves {
    fn block<const OPERANDS: usize>(&self, operands: [Values; OPERANDS]) -> Block<Values> {
        let mut operands = operands.into_iter();
        let mut next = || operands.next().unwrap_or_else(|| unreachable!("as many as halves have"));
        let x = next();
        let halves = self.0.iter().map(|outline| outline.half(std::array::from_fn(|_| next())));
        Block { x, halves: halves.collect() }
    }
}

impl<const OPERANDS: usize> Operation<OPERANDS> for Halves {
    type Saved = (Block<Values>, Kept);

    fn forward(&self, operands: [Values; OPERANDS]) -> (Values, Self::Saved) {
        let block = self.block(operands);
        let (out, kept) = block::forward(block.clone());
        (out, (block, kept))
    }

    fn result(&self, operands: [Values; OPERANDS]) -> Values {
        block::result(self.block(operands))
    }

    fn backward(
        self,
        (block, kept): Self::Saved,
        gradient: Values,
        _: [bool; OPERANDS],
    ) -> [Option<Values>; OPERANDS] {
        let Gradients { x, halves } = block::backward(block, kept, gradient);
        let mut all = std::iter::once(Some(x)).chain(halves.into_iter().flat_map(in_order));
        std::array::from_fn(|_| all.next().flatten())
    }
}
