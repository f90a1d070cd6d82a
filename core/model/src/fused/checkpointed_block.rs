//! A block of which nothing but its input is kept for backward (activation checkpointing, Chen et al.
//! 2016): both branches are computed again there, as far as they are needed.

use burn::{backend::flex::FlexTensor, tensor::Tensor};

use super::{
    attention_branch::{self, AttentionParts},
    mlp_branch::{self, MlpParts},
    operation::{Input, Operation, run},
};

const ATTENTION: usize = attention_branch::PARAMETERS;
const MLP: usize = mlp_branch::PARAMETERS;
const INPUTS: usize = 1 + ATTENTION + MLP;

/// The attention branch and then the MLP branch of `x`, `[batch, tokens, width]`, which must be
/// covered by kernels.
pub(crate) fn checkpointed_block(
    x: Tensor<3>,
    attention: AttentionParts,
    mlp: MlpParts,
) -> Tensor<3> {
    let (attention_inputs, attention) = attention.split();
    let (mlp_inputs, mlp) = mlp.split();
    let mut inputs = [Input::new(x)].into_iter().chain(attention_inputs).chain(mlp_inputs);
    let inputs: [Input; INPUTS] = std::array::from_fn(|_| match inputs.next() {
        Some(input) => input,
        None => unreachable!("as many as there are"),
    });
    run(Block { attention, mlp }, inputs)
}

#[derive(Clone, Debug)]
struct Block {
    attention: attention_branch::Branch,
    mlp: mlp_branch::Branch,
}

impl Operation<INPUTS> for Block {
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
    let (attention, mlp) = parameters.split_at(ATTENTION);
    (x, attention, mlp)
}
