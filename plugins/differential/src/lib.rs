//! The differential transformer's attention (Ye et al. 2024): each head takes the difference of two
//! softmaxes, so that what both attend to in common, noise, cancels.
//!
//! Queries and keys of a head are halved; the two halves have a softmax each, and the values stay
//! whole. Every token is like any other here, the prefix included.

mod lambda;

use vitral_sdk::prelude::*;

/// What keeps the root mean square away from zero.
const EPSILON: f64 = 1e-5;

/// The difference of two softmax attentions.
#[derive(Clone, Debug, Parameters)]
pub struct Differential {
    /// How much of the second softmax is taken away at the start of training, in deep layers.
    #[parameter(default = 0.8, min = 0.0, max = 0.99)]
    lambda: f64,
    /// Whether shallow layers start with less, as in the paper: a quarter of it in the first layer,
    /// then ever closer to all of it, as in `0.8 - 0.6 exp(-0.3 layer)`.
    #[parameter(default = true)]
    by_depth: bool,
}

impl Plugin for Differential {
    type Parameters = Self;

    const IDENTITY: Identity =
        identity!("differential", "Attention by the difference of two softmaxes");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("As in the paper"),
            Example::new("The same start in every layer").set("lambda", 0.5).set("by_depth", false),
        ]
    }
}

impl Attention for Differential {
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor> {
        let width = layer.head_width;
        if !width.is_multiple_of(2) {
            bail!(
                "differential attention halves each head, but layer {}'s heads are {width} wide: \
                 choose a number of heads that makes them even",
                layer.index
            );
        }
        let start = lambda::start(self.lambda, self.by_depth, layer.index);
        let lambda = label("lambda", || lambda::lambda(width / 2, start));
        let difference = attend(layer, query, key, value, lambda);
        Ok(label("norm", || normalized(width, difference, 1.0 - start)))
    }
}

/// `(softmax(q1 k1ᵀ / sqrt(d)) - lambda softmax(q2 k2ᵀ / sqrt(d))) v`, with dropout of the
/// differences. The halves are `d` wide.
fn attend(layer: &Layer, query: Tensor, key: Tensor, value: Tensor, lambda: Tensor) -> Tensor {
    let half = layer.head_width / 2;
    let scale = 1.0 / f64::from(half).sqrt();
    let halves = |x: Tensor| x.split([half, half], 3);
    let (query, key) = (halves(query), halves(key));
    if layer.dropout == 0.0 {
        let [first, second] =
            [0, 1].map(|at| query[at].scaled_dot_product_attention(key[at], value, None, scale));
        return first - lambda * second;
    }
    let [first, second] = [0, 1].map(|at| {
        let scores = (query[at] * scale).matmul(key[at].transpose([0, 1, 3, 2]));
        scores.softmax(3)
    });
    (first - lambda * second).dropout(layer.dropout).matmul(value)
}

/// Each head's output over its root mean square, times a learned gain and a fixed factor.
fn normalized(width: u32, x: Tensor, factor: f64) -> Tensor {
    let gain = parameter("norm", shape![width], Initializer::Constant(1.0), false);
    let mean_square = x.reduce_sum_square([3], true) * (1.0 / f64::from(width));
    x / (mean_square + EPSILON).sqrt() * (gain * factor)
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(Differential: attention);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::attention::<Differential>()
}
