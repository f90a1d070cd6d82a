//! Images to tokens with their positions, behind the tokens that every image starts with.

use std::marker::PhantomData;

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use half::bf16;
use vitral_kernels::{
    linear::LinearGradients,
    patch_embedding::{PatchEmbedding, PatchEmbeddingGradients},
};

use super::{
    linear::layer,
    memory::{Buffer, Stored},
    multiplied::Multiplied,
    operation::{
        Input, Operation, count, from_last, optional_memory, optional_values, run, shape, values,
        values_of,
    },
};

/// `[.., batch, height, width, channels]` to `[batch, tokens, width]`; the images must be covered by
/// kernels, and filled by patches. Operands: images, projection, its bias, positions and first tokens.
/// Images are of the type that products are in, and tokens `f32`.
pub(super) fn patch_embedding(
    patch: usize,
    multiplied: Multiplied,
    operands: [Input; 5],
) -> Tensor<3> {
    match multiplied {
        Multiplied::F32 => run(Embedding::<f32> { patch, multiplied: PhantomData }, operands),
        Multiplied::Bf16 => run(Embedding::<bf16> { patch, multiplied: PhantomData }, operands),
    }
}

#[derive(Clone, Debug)]
struct Embedding<T> {
    patch: usize,
    multiplied: PhantomData<T>,
}

impl<T: Stored> Embedding<T> {
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

impl<T: Stored> Operation<5> for Embedding<T> {
    type Saved = ();

    fn forward(&self, inputs: &[FlexTensor; 5], _: bool) -> (FlexTensor, Option<()>) {
        let embedding = self.of(inputs);
        let dims = [embedding.batch, embedding.tokens(), embedding.proj.outputs];
        let mut out = Buffer::<f32>::new(dims.iter().product());
        embedding.forward(values_of::<T>(&inputs[0]), &mut out);
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
        let mut dimages = wants_images.then(|| Buffer::<T>::new(count(images)));
        let mut found = parameters.each_ref().map(|input| Buffer::<f32>::of_gradient(count(input)));
        let [weight, bias, positions, prefix] = &mut found;
        self.of(&inputs).backward(
            values_of::<T>(images),
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
