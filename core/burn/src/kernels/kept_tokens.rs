//! The tokens that patch dropout keeps.

use std::sync::Arc;

use burn::{
    backend::flex::FlexTensor,
    tensor::{Int, Shape, Tensor},
};
use vitral_kernels::kept_tokens::KeptTokens;

use super::{
    memory::Buffer,
    operation::{Input, Operation, from_last, run, shape, values},
};
use crate::program::RANK;

/// The first `prefix` tokens of `[.., batch, tokens, width]`, and of the patches behind them those at some distinct
/// places `[.., batch, kept]`: `[batch, prefix + kept, width]`. Tokens are as the kernel of
/// [`Composite::PatchEmbedding`](crate::composite::Composite::PatchEmbedding) gives them.
///
/// # Panics
/// If tokens are not `f32` on the CPU, or a place is none.
pub fn kept_tokens(tokens: Tensor<RANK>, prefix: usize, kept: &Tensor<RANK, Int>) -> Tensor<3> {
    let [.., count] = kept.dims();
    let places: Vec<i32> =
        kept.clone().try_into_vec_as().unwrap_or_else(|error| panic!("no places: {error:?}"));
    let places = places.into_iter().map(|place| place as u32).collect();
    run(Kept { prefix, kept: count, places }, [Input::new(tokens)])
}

#[derive(Clone, Debug)]
struct Kept {
    prefix: usize,
    kept: usize,
    places: Arc<[u32]>,
}

impl Operation<1> for Kept {
    /// What the tokens are, and their shape.
    type Saved = (KeptTokens, Shape);

    fn reads_again(&self, _: usize) -> bool {
        false
    }

    fn forward(
        &self,
        [tokens]: &[FlexTensor; 1],
        _: bool,
    ) -> (FlexTensor, Option<(KeptTokens, Shape)>) {
        let (all, width) = (from_last(tokens, 1), from_last(tokens, 0));
        let of = KeptTokens { tokens: all, width, prefix: self.prefix, kept: self.kept };
        let dims = [from_last(tokens, 2), of.left(), width];
        let mut out = Buffer::<f32>::new(dims.iter().product());
        of.forward(values(tokens), &self.places, &mut out);
        (out.into_tensor(dims), Some((of, shape(tokens))))
    }

    fn backward(
        self,
        _: [FlexTensor; 1],
        (of, shape): (KeptTokens, Shape),
        gradient: FlexTensor,
        _: [bool; 1],
    ) -> [Option<FlexTensor>; 1] {
        let mut dtokens = Buffer::<f32>::new(shape.num_elements());
        of.backward(&self.places, values(&gradient), &mut dtokens);
        [Some(dtokens.into_tensor(shape))]
    }
}
