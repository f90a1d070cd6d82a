//! The tokens that patch dropout, and what merges or leaves out tokens, keeps.

use std::sync::Arc;

use burn::{
    backend::flex::FlexTensor,
    tensor::{DType, Int, Shape, Tensor},
};
use vitral_kernels::kept_tokens::KeptTokens;

use super::{
    memory::Buffer,
    operation::{Input, Operation, from_last, run, shape, values},
};
use crate::{cpu::is_cpu, program::RANK};

/// The first `prefix` tokens of `[.., batch, tokens, width]`, and of those behind them the ones at some places
/// `[.., batch, kept]`: `[batch, prefix + kept, width]`; none if no kernel takes them, which is for `f32` on the CPU.
///
/// # Panics
/// If a place is none.
pub fn kept_tokens(
    tokens: &Tensor<RANK>,
    prefix: usize,
    kept: &Tensor<RANK, Int>,
) -> Option<Tensor<3>> {
    if !is_cpu(&tokens.device()) || tokens.dtype() != DType::F32 {
        return None;
    }
    let [.., count] = kept.dims();
    let places: Vec<i32> = kept.clone().try_into_vec_as().ok()?;
    let places = places.into_iter().map(|place| place as u32).collect();
    Some(run(Kept { prefix, kept: count, places }, [Input::new(tokens.clone())]))
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
