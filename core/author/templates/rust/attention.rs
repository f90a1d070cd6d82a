//! TEMPLATE_SUMMARY.

use vitral_sdk::prelude::*;

/// Softmax attention whose scores have a learned temperature in each head.
#[derive(Clone, Debug, Parameters)]
pub struct TemplateType {
    /// The temperature that each head starts with; the lower, the sharper its attention.
    #[parameter(default = 1.0, min = 0.01, max = 100)]
    start: f64,
}

impl Plugin for TemplateType {
    type Parameters = Self;

    const IDENTITY: Identity = identity!("template-name", "TEMPLATE_SUMMARY");

    fn new(parameters: Self) -> Result<Self> {
        Ok(parameters)
    }

    fn examples() -> Vec<Example> {
        vec![Example::new("Sharp from the start").set("start", 0.5)]
    }
}

impl Attention for TemplateType {
    fn trace(&self, layer: &Layer, query: Tensor, key: Tensor, value: Tensor) -> Result<Tensor> {
        let start = Initializer::Constant(1.0 / self.start);
        let sharpness = parameter("sharpness", shape![layer.heads, 1, 1], start, false);
        let scores = label("scores", || {
            query.matmul(key.transpose([0, 1, 3, 2])) / f64::from(layer.head_width).sqrt()
        });
        let weights = label("weights", || (scores * sharpness).softmax(3).dropout(layer.dropout));
        Ok(weights.matmul(value))
    }
}

// TEMPLATE_EXPORT

#[cfg(test)]
mod tests {
    use vitral_testkit::{Attention as Tested, arrays, check_attention};

    use super::*;

    #[test]
    fn it_does_what_any_attention_must() {
        check_attention::<TemplateType>();
    }

    #[test]
    fn each_head_has_a_temperature() {
        let program = Tested::of::<TemplateType>().program();
        let [sharpness] = program.parameters() else { panic!("one parameter") };
        assert_eq!(sharpness.shape.to_string(), "[2, 1, 1]");
    }

    #[test]
    fn weights_add_up_to_one() {
        let tested = Tested::of::<TemplateType>();
        let [query, key, _] = tested.noise(1);
        let ones = arrays::filled(query.shape(), 1.0);
        let output = tested.run(&[query, key, ones.clone()], None);
        arrays::assert_close(output.values(), ones.values(), 1e-12);
    }
}
