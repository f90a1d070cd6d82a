//! The layers that everything else is made of: linear, norms, LayerScale.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use vitral_program::ops as op;

pub use crate::config::Normalization;
use crate::{
    ViTConfig,
    init::{Fill, Initializer, Role},
    ops::Ops,
};

/// The shape of a parameter, which need not have values for it.
pub(crate) fn shape<const D: usize>(parameter: &Param<Tensor<D>>) -> [usize; D] {
    parameter.lazy_shape().dims()
}

/// `x W + b`, with `W` stored `[inputs, outputs]` as Flax stores its kernels.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[inputs, outputs]`
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    pub(crate) fn new(
        init: &Initializer,
        role: Role,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Self {
        let shape = [inputs, outputs];
        Self {
            weight: init.parameter("weight", shape, init.weight_fill(role, shape)),
            bias: bias.then(|| init.parameter("bias", [outputs], init.bias_fill(role, inputs))),
        }
    }

    /// `[..., inputs]` to `[..., outputs]`.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, input: O::Tensor) -> O::Tensor {
        let [weight, bias] = self.parameters(ops);
        ops.apply_some(op::Linear {}, [Some(input), weight, bias])
    }

    /// Weight and bias, as operands.
    pub(crate) fn parameters<O: Ops>(&self, ops: &mut O) -> [Option<O::Tensor>; 2] {
        [Some(ops.parameter(&self.weight)), self.bias.as_ref().map(|bias| ops.parameter(bias))]
    }
}

/// Normalisation over the last dimension.
#[derive(Module, Debug)]
pub struct Norm {
    /// `[width]`
    pub weight: Param<Tensor<1>>,
    /// `[width]`; RMSNorm has none.
    pub bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    eps: f64,
}

impl Norm {
    pub(crate) fn new(init: &Initializer, config: &ViTConfig, width: usize) -> Self {
        Self {
            weight: init.parameter("weight", [width], Fill::Constant(1.0)),
            bias: (config.norm == Normalization::LayerNorm)
                .then(|| init.parameter("bias", [width], Fill::Constant(0.0))),
            eps: config.norm_eps,
        }
    }

    /// `[.., width]` to the same, of the type that products take.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, input: O::Tensor) -> O::Tensor {
        let last = ops.dims(&input).len().saturating_sub(1);
        let [weight, bias] = self.parameters(ops);
        if bias.is_some() {
            let op = op::LayerNormalization { axes: vec![last], epsilon: self.eps };
            let normed = ops.apply_some(op, [Some(input), weight, bias]);
            return ops.rounded(normed);
        }
        let normed = ops.in_f32([input], |ops, [input]| {
            let square = ops.mul(input.clone(), input.clone());
            let mean = ops.mean(square, last);
            let eps = ops.scalar(self.eps);
            let mean = ops.add(mean, eps);
            let root = ops.apply(op::Sqrt {}, [mean]);
            let normed = ops.apply(op::Div {}, [input, root]);
            let weight = ops.parameter(&self.weight);
            ops.mul(normed, weight)
        });
        ops.rounded(normed)
    }

    /// What LayerNorm adds to the variance; none of a norm that kernels do not know.
    pub(crate) fn layer_norm_eps(&self) -> Option<f64> {
        self.bias.as_ref().map(|_| self.eps)
    }

    /// Factors and summands, as operands.
    pub(crate) fn parameters<O: Ops>(&self, ops: &mut O) -> [Option<O::Tensor>; 2] {
        [Some(ops.parameter(&self.weight)), self.bias.as_ref().map(|bias| ops.parameter(bias))]
    }
}

/// A learned factor per channel on a residual branch (Touvron et al. 2021, CaiT).
#[derive(Module, Debug)]
pub struct LayerScale {
    /// `[width]`
    pub gamma: Param<Tensor<1>>,
}

impl LayerScale {
    pub(crate) fn new(init: &Initializer, width: usize, value: f64) -> Self {
        Self { gamma: init.parameter("gamma", [width], Fill::Constant(value)) }
    }

    /// `[batch, tokens, width]` to the same.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, input: O::Tensor) -> O::Tensor {
        let gamma = ops.parameter(&self.gamma);
        ops.mul(input, gamma)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};
    use vitral_seed::Seed;

    use super::*;
    use crate::{Compute, eager::Eager, init::Init};

    /// The root of the mean square of 3 and 4 is 3.5355339.
    #[test]
    fn rms_norm_divides_by_the_root_of_the_mean_square() {
        let device = Device::flex();
        let init = Initializer::new(Seed::new(0), Init::Jax, &device);
        let config = ViTConfig { norm: Normalization::RmsNorm, ..ViTConfig::default() };
        let mut norm = Norm::new(&init, &config, 2);
        norm.weight = Param::from_tensor(Tensor::from_floats([2.0, 0.5], &device));
        let mut ops = Eager::new(1, &device, Compute::F32);
        let input = TensorData::new(vec![3.0f32, 4.0], [1, 2]);
        let input = ops.batched(Tensor::<2>::from_data(input, &device));
        let found = Eager::values::<2>(norm.forward(&mut ops, input));
        let found: Vec<f32> = found.try_into_vec_as().unwrap();
        for (found, exact) in found.into_iter().zip([1.697_056_3, 0.565_685_4]) {
            assert!((found - exact).abs() < 1e-6, "{found} is not {exact}");
        }
    }
}
