//! The feed-forward half of a block.

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use vitral_kernels::{
    activation::Activation,
    layer_norm::LayerNormGradients,
    linear::LinearGradients,
    mlp_branch::{MlpBranch, MlpGradients, MlpSaved},
};

use super::{
    linear::layer,
    memory::Buffer,
    operation::{Input, Operation, count, optional_memory, run, shape, values},
    residual::{ResidualParts, Settings},
};

/// What an MLP branch is made of.
pub(crate) struct MlpParts {
    pub(crate) residual: ResidualParts,
    /// `[width, hidden]`
    pub(crate) fc1_weight: Tensor<2>,
    /// `[hidden]`
    pub(crate) fc1_bias: Option<Tensor<1>>,
    /// `[hidden, width]`
    pub(crate) fc2_weight: Tensor<2>,
    /// `[width]`
    pub(crate) fc2_bias: Option<Tensor<1>>,
    pub(crate) activation: Activation,
}

/// `x + scale * gamma * (act(layer_norm(x) W1 + b1) W2 + b2)` for `x` `[batch, tokens, width]`,
/// which must be covered by kernels.
pub(crate) fn mlp_branch(x: Tensor<3>, parts: MlpParts) -> Tensor<3> {
    let MlpParts { residual, fc1_weight, fc1_bias, fc2_weight, fc2_bias, activation } = parts;
    let ([norm_weight, norm_bias, layer_scale], settings) = residual.split();
    let inputs = [
        Input::new(x),
        norm_weight,
        norm_bias,
        Input::new(fc1_weight),
        Input::optional(fc1_bias),
        Input::new(fc2_weight),
        Input::optional(fc2_bias),
        layer_scale,
    ];
    run(Branch { settings, activation }, inputs)
}

#[derive(Clone, Debug)]
struct Branch {
    settings: Settings,
    activation: Activation,
}

impl Branch {
    fn of<'a>(&'a self, inputs: &'a [FlexTensor; 8]) -> MlpBranch<'a> {
        let [x, norm_weight, norm_bias, fc1, fc1_bias, fc2, fc2_bias, layer_scale] = inputs;
        MlpBranch {
            residual: self.settings.around(x, [norm_weight, norm_bias], layer_scale),
            fc1: layer(fc1, fc1_bias),
            fc2: layer(fc2, fc2_bias),
            activation: self.activation,
        }
    }
}

impl Operation<8> for Branch {
    /// What goes into the activation, unless it is computed again.
    type Saved = Option<FlexTensor>;

    fn forward(
        &self,
        inputs: &[FlexTensor; 8],
        keep: bool,
    ) -> (FlexTensor, Option<Option<FlexTensor>>) {
        let (branch, x) = (self.of(inputs), &inputs[0]);
        let mut out = Buffer::new(count(x));
        let rows = branch.residual.kept_rows();
        let mut hidden =
            (keep && !self.settings.recompute).then(|| Buffer::new(rows * branch.fc1.outputs));
        let saved = hidden.as_deref_mut().map(|hidden| MlpSaved { hidden });
        branch.forward(values(x), &mut out, saved);
        let hidden = hidden.map(|buffer| buffer.into_tensor([rows, branch.fc1.outputs]));
        (out.into_tensor(shape(x)), Some(hidden))
    }

    fn backward(
        self,
        inputs: [FlexTensor; 8],
        mut saved: Option<FlexTensor>,
        gradient: FlexTensor,
        _: [bool; 8],
    ) -> [Option<FlexTensor>; 8] {
        let mut found = inputs.each_ref().map(|input| Buffer::new(count(input)));
        let [dx, norm_weight, norm_bias, fc1, fc1_bias, fc2, fc2_bias, layer_scale] = &mut found;
        let branch = self.of(&inputs);
        branch.backward(
            values(&inputs[0]),
            saved.as_mut().map(|hidden| MlpSaved { hidden: hidden.storage_mut() }),
            values(&gradient),
            dx,
            MlpGradients {
                norm: LayerNormGradients { weight: norm_weight, bias: norm_bias },
                fc1: LinearGradients { weight: fc1, bias: optional_memory(fc1_bias) },
                fc2: LinearGradients { weight: fc2, bias: optional_memory(fc2_bias) },
                layer_scale: optional_memory(layer_scale),
            },
        );
        let mut shapes = inputs.iter().map(shape);
        found.map(|buffer| shapes.next().map(|shape| buffer.into_tensor(shape)))
    }
}
