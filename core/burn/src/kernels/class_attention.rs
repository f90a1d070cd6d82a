//! How much the class token takes from each token in an attention branch, on average over the heads.

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use vitral_kernels::{
    class_attention::{ClassAttention, ClassAttentionGradients},
    layer_norm::{LayerNorm, LayerNormGradients},
    linear::LinearGradients,
};

use crate::composite;

use super::{
    linear::layer,
    memory::Buffer,
    operation::{
        Input, Operation, count, from_last, gradients_of, optional_memory, run, shape, shaped_as,
        values, with_first,
    },
};

const PARAMETERS: usize = composite::ClassAttention::PARAMETERS;
const INPUTS: usize = 1 + PARAMETERS;

/// `[.., batch, tokens, width]` to `[batch, tokens]`. Operands: tokens, LayerNorm's factors and summands, the packed
/// projection and its bias.
pub(super) fn class_attention(
    attention: composite::ClassAttention,
    operands: [Input; INPUTS],
) -> Tensor<2> {
    run(Attention(attention), operands)
}

#[derive(Clone, Debug)]
struct Attention(composite::ClassAttention);

impl Attention {
    /// The kernel's view.
    fn of<'a>(&self, [x, parameters @ ..]: &'a [FlexTensor; INPUTS]) -> ClassAttention<'a> {
        let [weight, bias, qkv, qkv_bias] = parameters;
        ClassAttention {
            batch: from_last(x, 2),
            tokens: from_last(x, 1),
            norm: LayerNorm { weight: values(weight), bias: values(bias), eps: self.0.eps as f32 },
            qkv: layer(qkv, qkv_bias),
            heads: self.0.heads,
        }
    }
}

impl Operation<INPUTS> for Attention {
    type Saved = FlexTensor;

    fn forward(&self, inputs: &[FlexTensor; INPUTS], _: bool) -> (FlexTensor, Option<FlexTensor>) {
        let attention = self.of(inputs);
        let dims = [attention.batch, attention.tokens];
        let mut out = Buffer::<f32>::new(dims.iter().product());
        let mut saved = Buffer::<f32>::new(attention.saved_len());
        attention.forward(values(&inputs[0]), &mut out, &mut saved);
        let len = saved.len();
        (out.into_tensor(dims), Some(saved.into_tensor([len])))
    }

    fn backward(
        self,
        inputs: [FlexTensor; INPUTS],
        mut saved: FlexTensor,
        gradient: FlexTensor,
        _: [bool; INPUTS],
    ) -> [Option<FlexTensor>; INPUTS] {
        let [x, parameters @ ..] = &inputs;
        let mut dx = Buffer::<f32>::new(count(x));
        let mut found: [Buffer; PARAMETERS] = gradients_of(parameters);
        let [weight, bias, qkv, qkv_bias] = &mut found;
        self.of(&inputs).backward(
            values(x),
            saved.storage_mut(),
            values(&gradient),
            &mut dx,
            ClassAttentionGradients {
                norm: LayerNormGradients { weight, bias },
                qkv: LinearGradients { weight: qkv, bias: optional_memory(qkv_bias) },
            },
        );
        with_first(dx.into_tensor(shape(x)), shaped_as(parameters, found)).map(Some)
    }
}
