//! Attention whose cost is linear in the tokens: the softmax's kernel is replaced by a product of
//! feature maps, `exp(q kᵀ)` by `phi(q) phi(k)ᵀ`, so that keys and values are summed up once for all
//! queries.
//!
//! Feature maps are in `features`, the random projection of one of them in `projection`.

mod features;
mod projection;

use vitral_sdk::prelude::*;

/// Linear attention.
#[derive(Clone, Debug, Parameters)]
pub struct Linear {
    /// The feature map: `elu` is `elu(x) + 1` (Katharopoulos et al. 2020); `favor` approximates the
    /// softmax with positive orthogonal random features (Choromanski et al. 2021).
    #[parameter(default = Kernel::Elu)]
    kernel: Kernel,
    /// How many random features `favor` has: more approximate better and cost more.
    #[parameter(default = 128, min = 1, max = 4096)]
    features: u32,
    /// What the random features of `favor` are drawn from, together with the layer's index.
    #[parameter(default = 0, min = 0, max = 4294967295)]
    seed: u32,
}

/// Which feature map.
#[derive(Choice, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// `elu(x) + 1`.
    Elu,
    /// Positive orthogonal random features.
    Favor,
}

impl Plugin for Linear {
    type Parameters = Self;

    const IDENTITY: Identity = identity!("linear", "Attention with a cost linear in the tokens");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("The feature map of linear transformers").set("kernel", "elu"),
            Example::new("Performer's approximation of the softmax")
                .set("kernel", "favor")
                .set("features", 128)
                .set("seed", 1),
        ]
    }
}

impl Attention for Linear {
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor> {
        let (query, key) = match self.kernel {
            Kernel::Elu => label("elu(x) + 1", || (features::elu(query), features::elu(key))),
            Kernel::Favor => label("random features", || {
                features::favor(query, key, layer, self.features, self.seed)
            }),
        };
        Ok(attend(query, key, dropped(layer, value), self.floor()))
    }
}

impl Linear {
    /// What is added to the sum of a query's weights. With `favor` they cannot all vanish.
    fn floor(&self) -> f64 {
        match self.kernel {
            Kernel::Elu => features::EPSILON,
            Kernel::Favor => 0.0,
        }
    }
}

/// Values with dropout of attention weights. The weights themselves are never there, so that a key
/// is dropped for all queries at once: its value counts for nothing, and the others for more.
fn dropped(layer: &Layer, value: Tensor) -> Tensor {
    if layer.dropout == 0.0 {
        return value;
    }
    label("dropout of keys", || {
        let each_key = constant(shape![B, layer.heads, layer.tokens(), 1], &[1.0]);
        value * each_key.dropout(layer.dropout)
    })
}

/// `q (kᵀ v) / (q sum(k))` of features `[B, heads, tokens, features]`.
fn attend(query: Tensor, key: Tensor, value: Tensor, floor: f64) -> Tensor {
    let key = key.transpose([0, 1, 3, 2]);
    let weighted = label("weighted values", || query.matmul(key.matmul(value)));
    let weights = label("sum of weights", || {
        let sum = query.matmul(key.reduce_sum([3], true));
        if floor > 0.0 { sum + floor } else { sum }
    });
    weighted / weights
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(Linear: attention);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::attention::<Linear>()
}
