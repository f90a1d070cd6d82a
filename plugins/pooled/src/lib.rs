//! Softmax attention with keys and values pooled in space: each query sees all of the grid, but in
//! less detail (Wang et al. 2022, PVTv2; Fan et al. 2021, MViT).
//!
//! The prefix is not pooled. The pooling is in `pooling`.

mod pooling;

use vitral_sdk::prelude::*;

use pooling::Pooling;

/// Attention to pooled keys and values.
#[derive(Clone, Debug, Parameters)]
pub struct Pooled {
    /// How many patches become one along each side of the grid; 1 pools nothing. A window at the end
    /// of a side that this does not divide is smaller.
    #[parameter(default = 2, min = 1, max = 64)]
    ratio: u32,
    /// How patches are pooled: `average`, or `conv`, a learned depthwise convolution that starts as
    /// the average.
    #[parameter(default = Mode::Average)]
    mode: Mode,
}

/// How patches are pooled.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Their mean.
    Average,
    /// A learned depthwise convolution.
    Conv,
}

impl Plugin for Pooled {
    type Parameters = Self;

    const IDENTITY: Identity =
        identity!("pooled", "Softmax attention to keys and values pooled in space");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("A quarter of the keys, by averages").set("ratio", 2),
            Example::new("Learned pooling").set("ratio", 2).set("mode", "conv"),
        ]
    }
}

impl Attention for Pooled {
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor> {
        let pooling = Pooling::new(layer, self.ratio, self.mode);
        let key = label("keys", || pooling.pooled(key, "key_pool"));
        let value = label("values", || pooling.pooled(value, "value_pool"));
        Ok(attend(layer, query, key, value))
    }
}

/// `softmax(q kᵀ / sqrt(width)) v`, with dropout of the weights.
fn attend(layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Tensor {
    let scale = 1.0 / f64::from(layer.head_width).sqrt();
    if layer.dropout == 0.0 {
        return query.scaled_dot_product_attention(key, value, None, scale);
    }
    let scores = (query * scale).matmul(key.transpose([0, 1, 3, 2]));
    scores.softmax(3).dropout(layer.dropout).matmul(value)
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(Pooled: attention);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::attention::<Pooled>()
}
