//! Patches to tokens.

use burn::module::Module;
use vitral_burn::Composite;
use vitral_program::Dim;

use crate::{
    ViTConfig,
    init::{Initializer, Role},
    layers::Linear,
    ops::Ops,
    resnet::ResNet,
};

/// Cuts an image, or what a ResNet makes of it, into square patches and projects each to a token.
///
/// A convolution whose stride is its kernel, written as one matrix product: `proj.weight` is
/// `[patch * patch * channels, width]`, rows in the order (row, column, channel), which is a Flax
/// kernel `[patch, patch, channels, width]` flattened.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// The ResNet of a hybrid.
    pub backbone: Option<ResNet>,
    /// The projection.
    pub proj: Linear,
    #[module(skip)]
    patch: usize,
}

impl PatchEmbed {
    pub(crate) fn new(init: &Initializer, config: &ViTConfig) -> Self {
        let patch = config.patch_size();
        let inputs = patch * patch * config.stem.channels(config.channels);
        Self {
            backbone: ResNet::new(&init.of("backbone"), &config.stem, config.channels),
            proj: Linear::new(&init.of("proj"), Role::PatchEmbedding, inputs, config.width(), true),
            patch,
        }
    }

    /// What is cut into patches, `[B, height, width, channels]`: images, or what the ResNet makes of
    /// them.
    pub(crate) fn features<O: Ops>(&self, ops: &mut O, images: O::Tensor) -> O::Tensor {
        match &self.backbone {
            Some(backbone) => ops.within("backbone", |ops| backbone.forward(ops, images)),
            None => images,
        }
    }

    /// Rows and columns of patches in features.
    pub(crate) fn grid<O: Ops>(&self, ops: &O, features: &O::Tensor) -> [usize; 2] {
        [1, 2].map(|axis| ops.size(features, axis) / self.patch)
    }

    /// Features `[B, height, width, channels]` to `[B, patches, token width]`, patches row by row.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, features: O::Tensor) -> O::Tensor {
        let ([rows, columns], patch) = (self.grid(ops, &features), self.patch);
        let row = patch * ops.size(&features, 3);
        let split = [rows, patch, columns, row].map(Dim::from);
        let patches = ops.reshape(features, [&[Dim::BATCH], &split[..]].concat());
        let patches = ops.transpose(patches, &[0, 1, 3, 2, 4]);
        let flat = [Dim::BATCH, (rows * columns).into(), (patch * row).into()];
        let patches = ops.reshape(patches, flat);
        self.proj.forward(ops, patches)
    }

    /// What [`PatchEmbed::forward`] gives, `positions` `[1, patches, width]` added, behind the tokens
    /// of `prefix` `[1, prefix tokens, width]`, by one kernel, if there is one.
    pub(crate) fn by_kernel<O: Ops>(
        &self,
        ops: &mut O,
        features: &O::Tensor,
        positions: &Option<O::Tensor>,
        prefix: &Option<O::Tensor>,
    ) -> Option<O::Tensor> {
        ops.composite(Composite::PatchEmbedding { patch: self.patch }, features, |ops| {
            let [weight, bias] = self.proj.parameters(ops);
            vec![weight, bias, positions.clone(), prefix.clone()]
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        module::Param,
        tensor::{Device, Tensor, TensorData},
    };
    use vitral_seed::Seed;

    use super::*;
    use crate::{Compute, eager::Eager, init::Init};

    #[test]
    fn patches_hold_their_pixels_row_by_row() {
        let device = Device::flex();
        let config = ViTConfig {
            image_size: 4,
            channels: 2,
            patch_size: Some(2),
            width: Some(8),
            heads: Some(1),
            ..ViTConfig::default()
        };
        let mut embed =
            PatchEmbed::new(&Initializer::new(Seed::new(0), Init::Jax, &device), &config);
        embed.proj.weight = Param::from_tensor(Tensor::eye(8, &device));
        let pixels: Vec<f32> = (0..32).map(|v| v as f32).collect();
        let mut ops = Eager::new(1, &device, Compute::F32);
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [1, 4, 4, 2]), &device);
        let images = ops.batched(images);
        let tokens = embed.forward(&mut ops, images);
        let values: Vec<f32> = Eager::values::<3>(tokens).try_into_vec_as().unwrap();
        assert_eq!(values[..8], [0., 1., 2., 3., 8., 9., 10., 11.]);
        assert_eq!(values[8..16], [4., 5., 6., 7., 12., 13., 14., 15.]);
        assert_eq!(values[24..], [20., 21., 22., 23., 28., 29., 30., 31.]);
    }
}
