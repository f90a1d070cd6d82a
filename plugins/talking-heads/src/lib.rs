//! Talking heads: what each head computes is mixed with the others' before and after the softmax
//! (Shazeer et al. 2020; in vision transformers, Touvron et al. 2021, CaiT).
//!
//! Both mixings start as the identity, so that training starts from softmax attention. Every token
//! is like any other here, the prefix included.

use vitral_sdk::prelude::*;

/// Softmax attention whose heads are mixed.
#[derive(Clone, Debug, Parameters)]
pub struct TalkingHeads {
    /// Whether scores are mixed, before the softmax.
    #[parameter(default = true)]
    scores: bool,
    /// Whether weights are mixed, after the softmax.
    #[parameter(default = true)]
    weights: bool,
}

impl Plugin for TalkingHeads {
    type Parameters = Self;

    const IDENTITY: Identity =
        identity!("talking-heads", "Softmax attention whose heads are mixed by learned weights");

    fn new(parameters: Self) -> Result<Self> {
        if !parameters.scores && !parameters.weights {
            bail!(
                "with both `scores` and `weights` off no heads talk: turn one on, or use softmax \
                 attention"
            );
        }
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example::new("CaiT's: before and after the softmax"),
            Example::new("After the softmax only").set("scores", false),
        ]
    }
}

impl Attention for TalkingHeads {
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor> {
        let scale = 1.0 / f64::from(layer.head_width).sqrt();
        let mut scores = label("scores", || (query * scale).matmul(key.transpose([0, 1, 3, 2])));
        if self.scores {
            scores = label("scores mixed", || mixed(layer, scores, "mix_scores"));
        }
        let mut weights = scores.softmax(3);
        if self.weights {
            weights = label("weights mixed", || mixed(layer, weights, "mix_weights"));
        }
        if layer.dropout > 0.0 {
            weights = weights.dropout(layer.dropout);
        }
        Ok(weights.matmul(value))
    }
}

/// `(I + P) x` along the heads of `[B, heads, tokens, tokens]`, with `P` learned from zero.
fn mixed(layer: &Layer, x: Tensor, name: &str) -> Tensor {
    let (heads, tokens) = (layer.heads, layer.tokens());
    let change = parameter(name, shape![heads, heads], Initializer::Constant(0.0), true);
    let identity: Vec<_> = (0..heads)
        .flat_map(|to| (0..heads).map(move |from| f64::from(u8::from(from == to))))
        .collect();
    let mix = constant(shape![heads, heads], &identity) + change;
    let flat = mix.matmul(x.reshape(shape![B, heads, tokens * tokens]));
    flat.reshape(shape![B, heads, tokens, tokens])
}

#[cfg(not(feature = "compiled-in"))]
vitral_sdk::export!(TalkingHeads: attention);

/// The plugin, for programs that link it in.
pub fn plugin() -> &'static vitral_sdk::abi::c::Plugin {
    vitral_sdk::native::attention::<TalkingHeads>()
}
