//! The tokens that token reorganization leaves.

use std::sync::Arc;

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use vitral_kernels::token_reorganization::TokenReorganization;

use crate::composite;

use super::{
    memory::Buffer,
    operation::{Input, Operation, count, from_last, run, shape, values},
};

/// Tokens `[.., batch, tokens, width]` and the class token's attention to them `[.., batch, tokens]` to
/// `[batch, left, width]`.
pub(super) fn token_reorganization(
    reorganization: composite::TokenReorganization,
    operands: [Input; 2],
) -> Tensor<3> {
    run(Reorganization(reorganization), operands)
}

#[derive(Clone, Debug)]
struct Reorganization(composite::TokenReorganization);

impl Reorganization {
    fn of(&self, tokens: &FlexTensor) -> TokenReorganization {
        let composite::TokenReorganization { prefix, kept, fuse } = self.0;
        let (tokens, width) = (from_last(tokens, 1), from_last(tokens, 0));
        TokenReorganization { tokens, width, prefix, kept, fuse }
    }
}

impl Operation<2> for Reorganization {
    /// The places of each sample's patches: those that stay, and those that go.
    type Saved = Arc<[u32]>;

    fn forward(
        &self,
        [tokens, attention]: &[FlexTensor; 2],
        _: bool,
    ) -> (FlexTensor, Option<Arc<[u32]>>) {
        let (of, batch) = (self.of(tokens), from_last(tokens, 2));
        let dims = [batch, of.left(), of.width];
        let mut out = Buffer::<f32>::new(dims.iter().product());
        let mut order = vec![0; batch * of.patches()];
        of.forward(values(tokens), values(attention), &mut out, &mut order);
        (out.into_tensor(dims), Some(order.into()))
    }

    fn backward(
        self,
        [tokens, attention]: [FlexTensor; 2],
        order: Arc<[u32]>,
        gradient: FlexTensor,
        _: [bool; 2],
    ) -> [Option<FlexTensor>; 2] {
        let [mut dtokens, mut dattention] =
            [&tokens, &attention].map(|input| Buffer::<f32>::new(count(input)));
        self.of(&tokens).backward(
            values(&tokens),
            values(&attention),
            &order,
            values(&gradient),
            &mut dtokens,
            &mut dattention,
        );
        [Some(dtokens.into_tensor(shape(&tokens))), Some(dattention.into_tensor(shape(&attention)))]
    }
}
