//! A block of which nothing but its input is kept for backward (activation checkpointing, Chen et al.
//! 2016): both branches are computed again there, as far as they are needed.

use burn::{backend::flex::FlexTensor, tensor::Tensor};

use half::bf16;

use crate::{composite, program::RANK};

use super::{
    attention_branch::Attention,
    branch::{Branch, PARAMETERS},
    memory::Stored,
    mlp_branch::Mlp,
    multiplied::Multiplied,
    operation::{Input, Operation, run},
};

/// How many inputs the operation has: `x`, and the parameters of both branches.
pub(super) const INPUTS: usize = 1 + 2 * PARAMETERS;

/// The attention branch and then the MLP branch of `x`, `[.., batch, tokens, width]`, which must be
/// covered by kernels.
pub(super) fn checkpointed_block(
    attention: composite::AttentionBranch,
    mlp: composite::MlpBranch,
    multiplied: Multiplied,
    operands: [Input; INPUTS],
) -> Tensor<RANK> {
    match multiplied {
        Multiplied::F32 => run(Block::<f32>::new(attention, mlp), operands),
        Multiplied::Bf16 => run(Block::<bf16>::new(attention, mlp), operands),
    }
}

#[derive(Clone, Debug)]
struct Block<T> {
    attention: Branch<Attention, T>,
    mlp: Branch<Mlp, T>,
}

impl<T: Stored> Block<T> {
    fn new(attention: composite::AttentionBranch, mlp: composite::MlpBranch) -> Self {
        let attention = Branch::new(Attention::new(attention));
        Self { attention, mlp: Branch::new(Mlp::new(mlp)) }
    }
}

impl<T: Stored> Operation<INPUTS> for Block<T> {
    type Saved = ();

    fn forward(&self, inputs: &[FlexTensor; INPUTS], _: bool) -> (FlexTensor, Option<()>) {
        let (x, attention, mlp) = cut(inputs);
        let (middle, _) = self.attention.compute(x, attention, false);
        let (out, _) = self.mlp.compute(&middle, mlp, false);
        (out, Some(()))
    }

    fn backward(
        self,
        inputs: [FlexTensor; INPUTS],
        (): (),
        gradient: FlexTensor,
        _: [bool; INPUTS],
    ) -> [Option<FlexTensor>; INPUTS] {
        let (x, attention, mlp) = cut(&inputs);
        let (middle, kept) = self.attention.compute(x, attention, true);
        let Some(kept) = kept else { unreachable!("it was told to keep it") };
        let (gradient, of_mlp) = self.mlp.differentiate(&middle, mlp, None, &gradient);
        drop(middle);
        let (dx, of_attention) = self.attention.differentiate(x, attention, kept, &gradient);
        let mut found = [dx].into_iter().chain(of_attention).chain(of_mlp);
        std::array::from_fn(|_| found.next())
    }
}

/// The input, and the parameters of both branches.
fn cut(inputs: &[FlexTensor; INPUTS]) -> (&FlexTensor, &[FlexTensor], &[FlexTensor]) {
    let [x, parameters @ ..] = inputs;
    let (attention, mlp) = parameters.split_at(PARAMETERS);
    (x, attention, mlp)
}
