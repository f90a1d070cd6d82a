//! The layers that everything else is made of: linear, LayerNorm, LayerScale.

use burn::{
    module::{Module, Param},
    tensor::Tensor,
};
use vitral_program::ops as op;

use crate::{
    init::{Fill, Initializer, Role},
    ops::Ops,
};

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

/// Layer normalisation over the last dimension (Ba, Kiros and Hinton 2016).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[width]`
    pub weight: Param<Tensor<1>>,
    /// `[width]`
    pub bias: Param<Tensor<1>>,
    #[module(skip)]
    pub(crate) eps: f64,
}

impl LayerNorm {
    pub(crate) fn new(init: &Initializer, width: usize, eps: f64) -> Self {
        Self {
            weight: init.parameter("weight", [width], Fill::Constant(1.0)),
            bias: init.parameter("bias", [width], Fill::Constant(0.0)),
            eps,
        }
    }

    /// `[..., width]` to the same.
    pub(crate) fn forward<O: Ops>(&self, ops: &mut O, input: O::Tensor) -> O::Tensor {
        let axes = vec![ops.dims(&input).len().saturating_sub(1)];
        let [weight, bias] = self.parameters(ops);
        let op = op::LayerNormalization { axes, epsilon: self.eps };
        ops.apply_some(op, [Some(input), weight, bias])
    }

    /// Factors and summands, as operands.
    pub(crate) fn parameters<O: Ops>(&self, ops: &mut O) -> [Option<O::Tensor>; 2] {
        [Some(ops.parameter(&self.weight)), Some(ops.parameter(&self.bias))]
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
