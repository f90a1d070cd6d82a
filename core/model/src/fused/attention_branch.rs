//! The attention half of a block.

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use vitral_kernels::{
    attention_branch::{AttentionBranch, AttentionBranchGradients, AttentionSaved},
    layer_norm::LayerNormGradients,
    linear::LinearGradients,
};

use super::{
    linear::layer,
    memory::Buffer,
    operation::{Input, Operation, count, optional_memory, run, shape, values},
    residual::{ResidualParts, Settings},
};

/// What an attention branch is made of.
pub(crate) struct AttentionParts {
    pub(crate) residual: ResidualParts,
    /// `[width, 3 * width]`
    pub(crate) qkv_weight: Tensor<2>,
    /// `[3 * width]`
    pub(crate) qkv_bias: Option<Tensor<1>>,
    /// `[width, width]`
    pub(crate) proj_weight: Tensor<2>,
    /// `[width]`
    pub(crate) proj_bias: Option<Tensor<1>>,
    pub(crate) heads: usize,
}

/// `x + scale * gamma * (attention(layer_norm(x) Wqkv + b) Wproj + b)` for `x`
/// `[batch, tokens, width]`, which must be covered by kernels.
pub(crate) fn attention_branch(x: Tensor<3>, parts: AttentionParts) -> Tensor<3> {
    let AttentionParts { residual, qkv_weight, qkv_bias, proj_weight, proj_bias, heads } = parts;
    let ([norm_weight, norm_bias, layer_scale], settings) = residual.split();
    let inputs = [
        Input::new(x),
        norm_weight,
        norm_bias,
        Input::new(qkv_weight),
        Input::optional(qkv_bias),
        Input::new(proj_weight),
        Input::optional(proj_bias),
        layer_scale,
    ];
    run(Branch { settings, heads }, inputs)
}

#[derive(Clone, Debug)]
struct Branch {
    settings: Settings,
    heads: usize,
}

impl Branch {
    fn of<'a>(&'a self, inputs: &'a [FlexTensor; 8]) -> AttentionBranch<'a> {
        let [x, norm_weight, norm_bias, qkv, qkv_bias, proj, proj_bias, layer_scale] = inputs;
        AttentionBranch {
            residual: self.settings.around(x, [norm_weight, norm_bias], layer_scale),
            qkv: layer(qkv, qkv_bias),
            proj: layer(proj, proj_bias),
            heads: self.heads,
        }
    }
}

impl Operation<8> for Branch {
    /// The packed projection, the heads' results and their sums, unless they are computed again.
    type Saved = Option<[FlexTensor; 3]>;

    fn forward(&self, inputs: &[FlexTensor; 8], keep: bool) -> (FlexTensor, Option<Self::Saved>) {
        let (branch, x) = (self.of(inputs), &inputs[0]);
        let mut out = Buffer::new(count(x));
        let rows = branch.residual.kept_rows();
        let sizes = [branch.qkv.outputs, branch.proj.inputs, self.heads];
        let mut saved =
            (keep && !self.settings.recompute).then(|| sizes.map(|size| Buffer::new(rows * size)));
        let parts = saved.as_mut().map(|[qkv, attended, logsumexp]| AttentionSaved {
            qkv,
            attended,
            logsumexp,
        });
        branch.forward(values(x), &mut out, parts);
        let saved = saved.map(|buffers| {
            let mut sizes = sizes.into_iter();
            buffers.map(|buffer| buffer.into_tensor([rows, sizes.next().unwrap_or_default()]))
        });
        (out.into_tensor(shape(x)), Some(saved))
    }

    fn backward(
        self,
        inputs: [FlexTensor; 8],
        mut saved: Self::Saved,
        gradient: FlexTensor,
        _: [bool; 8],
    ) -> [Option<FlexTensor>; 8] {
        let mut found = inputs.each_ref().map(|input| Buffer::new(count(input)));
        let [dx, norm_weight, norm_bias, qkv, qkv_bias, proj, proj_bias, layer_scale] = &mut found;
        let branch = self.of(&inputs);
        branch.backward(
            values(&inputs[0]),
            saved.as_mut().map(|[qkv, attended, logsumexp]| AttentionSaved {
                qkv: qkv.storage_mut(),
                attended: attended.storage_mut(),
                logsumexp: logsumexp.storage_mut(),
            }),
            values(&gradient),
            dx,
            AttentionBranchGradients {
                norm: LayerNormGradients { weight: norm_weight, bias: norm_bias },
                qkv: LinearGradients { weight: qkv, bias: optional_memory(qkv_bias) },
                proj: LinearGradients { weight: proj, bias: optional_memory(proj_bias) },
                layer_scale: optional_memory(layer_scale),
            },
        );
        let mut shapes = inputs.iter().map(shape);
        found.map(|buffer| shapes.next().map(|shape| buffer.into_tensor(shape)))
    }
}
