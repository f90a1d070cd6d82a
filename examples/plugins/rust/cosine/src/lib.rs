//! Attention by the angle between queries and keys (Henry et al. 2020, arXiv:2010.04245).

use vitral_sdk::prelude::*;

/// Softmax attention over cosines, times a learned scale in each head.
#[derive(Debug, Parameters)]
pub struct Cosine {
    /// The scale that each head starts with; the larger, the sharper its attention.
    #[parameter(default = 10, min = 0.01, max = 100)]
    start: f64,
}

impl Plugin for Cosine {
    type Parameters = Self;
    const IDENTITY: Identity =
        identity!("cosine", "Softmax attention over cosines, with a learned scale in each head");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![Example::new("Even at the start").set("start", 1)]
    }
}

/// Vectors of length 1.
fn unit(x: Tensor) -> Tensor {
    x / (x.reduce_sum_square([3], true) + 1e-6).sqrt()
}

impl Attention for Cosine {
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor> {
        let start = Initializer::Constant(self.start);
        let scale = parameter("scale", shape![layer.heads, 1, 1], start, false);
        let scores =
            label("scores", || unit(query).matmul(unit(key).transpose([0, 1, 3, 2])) * scale);
        let weights = label("weights", || scores.softmax(3).dropout(layer.dropout));
        Ok(weights.matmul(value))
    }
}

vitral_sdk::export!(Cosine: attention);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_passes_its_checks() {
        vitral_testkit::check_attention::<Cosine>();
    }
}
