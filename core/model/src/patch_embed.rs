//! Patches to tokens.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};

use crate::{
    ViTConfig,
    fused::{self, EmbeddingParts},
    init::{Initializer, Role},
    layers::Linear,
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

    /// Side of a patch in pixels.
    pub(crate) const fn patch(&self) -> usize {
        self.patch
    }

    /// `[batch, height, width, channels]` to `[batch, patches, token width]`, patches row by row.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<3> {
        let images = self.features(images);
        let [batch, height, width, channels] = images.dims();
        let p = self.patch;
        let (rows, columns) = (height / p, width / p);
        let patches = images
            .reshape([batch, rows, p, columns, p * channels])
            .swap_dims(2, 3)
            .reshape([batch, rows * columns, p * p * channels]);
        self.proj.forward(patches)
    }

    /// What is cut into patches: images, or what the ResNet makes of them.
    fn features(&self, images: Tensor<4>) -> Tensor<4> {
        match &self.backbone {
            Some(backbone) => backbone.forward(images),
            None => images,
        }
    }

    /// What [`PatchEmbed::forward`] gives, `positions` `[1, patches, width]` added, behind the tokens
    /// of `prefix` `[1, prefix tokens, width]`, by a kernel that must cover the images.
    pub(crate) fn tokens(
        &self,
        images: Tensor<4>,
        positions: Option<Tensor<3>>,
        prefix: Option<Tensor<3>>,
    ) -> Tensor<3> {
        let parts = EmbeddingParts {
            patch: self.patch,
            weight: self.proj.weight.val(),
            bias: self.proj.bias.as_ref().map(Param::val),
            positions,
            prefix,
        };
        fused::patch_embedding(self.features(images), parts)
    }
}

#[cfg(test)]
mod tests {
    use burn::{
        module::Param,
        tensor::{Device, TensorData},
    };
    use vitral_seed::Seed;

    use super::*;
    use crate::init::Init;

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
        let tokens =
            embed.forward(Tensor::from_data(TensorData::new(pixels, [1, 4, 4, 2]), &device));
        let values: Vec<f32> = tokens.try_into_vec_as().unwrap();
        assert_eq!(values[..8], [0., 1., 2., 3., 8., 9., 10., 11.]);
        assert_eq!(values[8..16], [4., 5., 6., 7., 12., 13., 14., 15.]);
        assert_eq!(values[24..], [20., 21., 22., 23., 28., 29., 30., 31.]);
    }
}
