//! Softmax attention in local windows, shifted in every second layer: Swin's (Liu et al. 2021).
//!
//! Patches are brought into windows by reshaping and transposing, with queries, keys and values side
//! by side, so that it is done once (`fold`). Which patches of a window see each other follows from
//! its geometry (`grid`); the learned bias and the mask are one tensor (`bias`).

mod bias;
mod fold;
mod grid;

use vitral_sdk::prelude::*;

use grid::Grid;

/// Softmax attention in local windows.
#[derive(Clone, Debug, Parameters)]
pub struct Window {
    /// Side of a window, in patches. A grid with a shorter side has one window along it.
    #[parameter(default = 7, min = 1, max = 64)]
    size: u32,
    /// Which layers have their windows moved by half a window, so that neighbours exchange
    /// something: every second one (from the second on), none or all.
    #[parameter(default = Shift::Alternate)]
    shift: Shift,
    /// Whether each head learns a bias for every offset between two patches of a window.
    #[parameter(default = true)]
    bias: bool,
}

/// Which layers have shifted windows.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// Every second layer, from the second on.
    Alternate,
    /// None.
    Never,
    /// All.
    Always,
}

impl Plugin for Window {
    type Parameters = Self;

    const IDENTITY: Identity = identity!("window", "Softmax attention in shifted local windows");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("Swin's windows of 7 x 7, shifted in every second layer").set("size", 7),
            Example::new("Small windows that never move, without a bias")
                .set("size", 4)
                .set("shift", "never")
                .set("bias", false),
        ]
    }
}

impl Attention for Window {
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor> {
        let shifted = match self.shift {
            Shift::Alternate => layer.index % 2 == 1,
            Shift::Never => false,
            Shift::Always => true,
        };
        let grid = Grid::new(layer.grid_height, layer.grid_width, self.size, shifted);
        let softmax = Softmax::new(layer);
        let bias = bias::bias(&grid, layer, self.bias);
        if grid.windows() == 1 {
            return Ok(softmax.attend(query, key, value, bias, 4));
        }
        let (folded, prefix) = fold::fold(&grid, layer, [query, key, value]);
        let patches = label("attention in windows", || {
            softmax.attend(folded.query, folded.key, folded.value, bias, 5)
        });
        let patches = label("out of windows", || fold::unfold(&grid, layer, patches));
        let Some(prefix) = prefix else { return Ok(patches) };
        Ok(label("prefix sees everything", || {
            concat(&[softmax.attend(prefix, key, value, None, 4), patches], 2)
        }))
    }
}

/// Softmax attention as the layer wants it.
struct Softmax {
    scale: f64,
    dropout: f64,
}

impl Softmax {
    fn new(layer: &Layer) -> Self {
        Self { scale: 1.0 / f64::from(layer.head_width).sqrt(), dropout: layer.dropout }
    }

    /// `softmax(scale q kᵀ + bias) v` on tensors of this rank, with dropout of the weights.
    fn attend(
        &self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Option<Tensor>,
        rank: usize,
    ) -> Tensor {
        if self.dropout == 0.0 {
            return query.scaled_dot_product_attention(key, value, bias, self.scale);
        }
        let mut order: Vec<_> = (0..rank).collect();
        order.swap(rank - 2, rank - 1);
        let mut scores = (query * self.scale).matmul(key.transpose(order));
        if let Some(bias) = bias {
            scores = scores + bias;
        }
        scores.softmax(rank - 1).dropout(self.dropout).matmul(value)
    }
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(Window: attention);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::attention::<Window>()
}
