//! Ops with an inner structure: products, normalisation, windows.

use super::given::{integer, integers, number, text};
use super::{Sizes, Tensor, one};

/// Where the channels of images stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `[images, height, width, channels]`
    #[default]
    Nhwc,
    /// `[images, channels, height, width]`
    Nchw,
}

impl Layout {
    const fn name(self) -> &'static str {
        match self {
            Self::Nhwc => "nhwc",
            Self::Nchw => "nchw",
        }
    }
}

/// How [`Tensor::conv2d`] goes over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// Zeros added around the image: at the top, bottom, left and right.
    pub padding: [u32; 4],
    /// Steps from window to window along height and width.
    pub strides: [u32; 2],
    /// Steps from place to place within a window along height and width.
    pub dilations: [u32; 2],
    /// Into how many groups the channels fall, each seeing only itself.
    pub groups: u32,
    /// Where the channels stand in input and result.
    pub layout: Layout,
}

impl Default for Convolution {
    fn default() -> Self {
        Self {
            padding: [0; 4],
            strides: [1; 2],
            dilations: [1; 2],
            groups: 1,
            layout: Layout::Nhwc,
        }
    }
}

impl Tensor {
    /// The matrix product, `[.., n, k]` and `[.., k, m]` to `[.., n, m]`. Leading dimensions
    /// broadcast.
    #[must_use]
    pub fn matmul(self, other: Self) -> Self {
        one("matmul", [], &[self, other])
    }

    /// A linear layer, `self @ weight + bias`: `[.., in]`, weight `[in, out]` and bias `[out]` to
    /// `[.., out]`.
    #[must_use]
    pub fn linear(self, weight: Self, bias: Option<Self>) -> Self {
        let operands = [Some(self), Some(weight), bias];
        one("linear", [], &present(&operands))
    }

    /// `softmax(scale q kT + bias) v`, where this is `q`: `[.., n, d]`, keys `[.., m, d]` and values
    /// `[.., m, e]` to `[.., n, e]`. The bias broadcasts to `[.., n, m]`.
    #[must_use]
    pub fn scaled_dot_product_attention(
        self,
        key: Self,
        value: Self,
        bias: Option<Self>,
        scale: f64,
    ) -> Self {
        let operands = [Some(self), Some(key), Some(value), bias];
        one("scaledDotProductAttention", [("scale", number(scale))], &present(&operands))
    }

    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, with mean and variance over axes in
    /// ascending order. Scale and bias have the shape of this along the axes alone.
    ///
    /// # Panics
    /// If there is a bias without a scale.
    #[must_use]
    pub fn layer_normalization(
        self,
        scale: Option<Self>,
        bias: Option<Self>,
        axes: impl Sizes,
        epsilon: f64,
    ) -> Self {
        assert!(scale.is_some() || bias.is_none(), "layer_normalization has a bias but no scale");
        let attributes = [("axes", integers(axes)), ("epsilon", number(epsilon))];
        one("layerNormalization", attributes, &present(&[Some(self), scale, bias]))
    }

    /// A convolution: images, a filter `[out, in / groups, height, width]` and a bias `[out]` to
    /// images with `out` channels.
    #[must_use]
    pub fn conv2d(self, filter: Self, bias: Option<Self>, how: Convolution) -> Self {
        let attributes = [
            ("padding", integers(how.padding)),
            ("strides", integers(how.strides)),
            ("dilations", integers(how.dilations)),
            ("groups", integer(how.groups)),
            ("inputLayout", text(how.layout.name())),
        ];
        one("conv2d", attributes, &present(&[Some(self), Some(filter), bias]))
    }

    /// The mean over windows of height and width `window`, `strides` apart, in every channel by
    /// itself. Padding (at the top, bottom, left and right) does not count.
    #[must_use]
    pub fn average_pool2d(
        self,
        window: [u32; 2],
        strides: [u32; 2],
        padding: [u32; 4],
        layout: Layout,
    ) -> Self {
        let attributes = [
            ("windowDimensions", integers(window)),
            ("padding", integers(padding)),
            ("strides", integers(strides)),
            ("layout", text(layout.name())),
        ];
        one("averagePool2d", attributes, &[self])
    }
}

fn present(operands: &[Option<Tensor>]) -> Vec<Tensor> {
    operands.iter().copied().flatten().collect()
}
