//! Images to tokens with their positions, behind the tokens that every image starts with.

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use vitral_kernels::{
    linear::LinearGradients,
    patch_embedding::{PatchEmbedding, PatchEmbeddingGradients},
};

use super::{
    linear::layer,
    memory::Buffer,
    operation::{
        Input, Operation, count, from_last, optional_memory, optional_values, run, shape, values,
    },
};

/// `[.., batch, height, width, channels]` to `[batch, tokens, width]`; the images must be covered by
/// kernels, and filled by patches. Operands: images, projection, its bias, positions and first tokens.
pub(super) fn patch_embedding(patch: usize, operands: [Input; 5]) -> Tensor<3> {
    run(Embedding { patch }, operands)
}

#[derive(Clone, Debug)]
struct Embedding {
    patch: usize,
}

impl Embedding {
    fn of<'a>(&self, inputs: &'a [FlexTensor; 5]) -> PatchEmbedding<'a> {
        let [images, weight, bias, positions, prefix] = inputs;
        PatchEmbedding {
            batch: from_last(images, 3),
            grid: [2, 1].map(|dimension| from_last(images, dimension) / self.patch),
            patch: self.patch,
            channels: from_last(images, 0),
            proj: layer(weight, bias),
            positions: optional_values(positions),
            prefix: values(prefix),
        }
    }
}

impl Operation<5> for Embedding {
    type Saved = ();

    fn forward(&self, inputs: &[FlexTensor; 5], _: bool) -> (FlexTensor, Option<()>) {
        let embedding = self.of(inputs);
        let dims = [embedding.batch, embedding.tokens(), embedding.proj.outputs];
        let mut out = Buffer::new(dims.iter().product());
        embedding.forward(values(&inputs[0]), &mut out);
        (out.into_tensor(dims), Some(()))
    }

    fn backward(
        self,
        inputs: [FlexTensor; 5],
        (): (),
        gradient: FlexTensor,
        [wants_images, ..]: [bool; 5],
    ) -> [Option<FlexTensor>; 5] {
        let [images, parameters @ ..] = &inputs;
        let mut dimages = wants_images.then(|| Buffer::new(count(images)));
        let mut found = parameters.each_ref().map(|input| Buffer::new(count(input)));
        let [weight, bias, positions, prefix] = &mut found;
        self.of(&inputs).backward(
            values(images),
            values(&gradient),
            dimages.as_deref_mut(),
            PatchEmbeddingGradients {
                proj: LinearGradients { weight, bias: optional_memory(bias) },
                positions: optional_memory(positions),
                prefix,
            },
        );
        let [weight, bias, positions, prefix] = found;
        let tensor = |buffer: Buffer, of: &FlexTensor| Some(buffer.into_tensor(shape(of)));
        [
            dimages.map(|buffer| buffer.into_tensor(shape(images))),
            tensor(weight, &inputs[1]),
            tensor(bias, &inputs[2]),
            tensor(positions, &inputs[3]),
            tensor(prefix, &inputs[4]),
        ]
    }
}
