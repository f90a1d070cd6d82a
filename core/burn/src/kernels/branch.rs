//! What the two branches of a block have in common as operations: their parameters, the memory of results
//! and gradients, and what is kept between.

use std::{fmt::Debug, marker::PhantomData};

use burn::{backend::flex::FlexTensor, tensor::Tensor};
use half::bf16;
use vitral_kernels::{
    layer_norm::LayerNormGradients,
    linear::{Linear, LinearGradients},
    residual::Residual,
};

use crate::{composite::Composite, program::RANK};

use super::{
    linear::layer,
    memory::{Buffer, Stored},
    multiplied::Multiplied,
    operation::{
        Input, Operation, count, gradients_of, optional_memory, run, shape, shaped_as, with_first,
    },
    residual::Settings,
};

/// How many parameters a branch has at most.
pub(super) const PARAMETERS: usize = Composite::BRANCH;
const INPUTS: usize = 1 + PARAMETERS;

/// One half of a block, as the kernel that multiplies in `T` is called for it.
pub(super) trait Half<T: Stored>: Clone + Debug + Send + 'static {
    /// What forward keeps for backward.
    type Kept: Clone + Debug + Send + 'static;

    /// Writes the result for `x`; with `keep`, what backward needs comes of it.
    fn forward(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        out: &mut [f32],
        keep: bool,
    ) -> Option<Self::Kept>;

    /// Writes the gradients of the input and of the parameters, from that of the result. The input itself
    /// is not read if its norm was kept.
    fn backward(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        kept: Self::Kept,
        gradient: &FlexTensor,
        dx: &mut [f32],
        gradients: Gradients<'_>,
    );
}

/// Where the gradients of a branch's parameters go.
pub(super) struct Gradients<'a> {
    pub norm: LayerNormGradients<'a>,
    pub layers: [LinearGradients<'a>; 2],
    pub layer_scale: Option<&'a mut [f32]>,
}

impl<'a> Gradients<'a> {
    fn of(found: &'a mut [Buffer; PARAMETERS]) -> Self {
        let [norm_weight, norm_bias, first, first_bias, second, second_bias, layer_scale] = found;
        let layer = |weight: &'a mut Buffer, bias: &'a mut Buffer| LinearGradients {
            weight,
            bias: optional_memory(bias),
        };
        Self {
            norm: LayerNormGradients { weight: norm_weight, bias: norm_bias },
            layers: [layer(first, first_bias), layer(second, second_bias)],
            layer_scale: optional_memory(layer_scale),
        }
    }
}

/// The kernel's view of what lies around a branch, of an input of the shape of `x`, and of its two layers.
pub(super) fn parts<'a>(
    settings: &'a Settings,
    x: &FlexTensor,
    parameters: &'a [FlexTensor],
) -> (Residual<'a>, [Linear<'a>; 2]) {
    let [norm_weight, norm_bias, first, first_bias, second, second_bias, layer_scale] = parameters
    else {
        unreachable!("a branch has so many parameters")
    };
    let residual = settings.around(x, [norm_weight, norm_bias], layer_scale);
    (residual, [layer(first, first_bias), layer(second, second_bias)])
}

/// The result of a half of a block for its operands, which must be covered by kernels.
pub(super) fn branch<H: Half<f32> + Half<bf16>>(
    half: H,
    multiplied: Multiplied,
    operands: [Input; INPUTS],
) -> Tensor<RANK> {
    match multiplied {
        Multiplied::F32 => run(Branch::<H, f32>::new(half), operands),
        Multiplied::Bf16 => run(Branch::<H, bf16>::new(half), operands),
    }
}

/// A half of a block whose products are in type `T`.
#[derive(Clone, Debug)]
pub(super) struct Branch<H, T> {
    half: H,
    multiplied: PhantomData<T>,
}

impl<H: Half<T>, T: Stored> Branch<H, T> {
    pub(super) fn new(half: H) -> Self {
        Self { half, multiplied: PhantomData }
    }

    /// The result for `x`, and with `keep` what backward needs.
    pub(super) fn compute(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        keep: bool,
    ) -> (FlexTensor, Option<H::Kept>) {
        let mut out = Buffer::<f32>::new(count(x));
        let kept = self.half.forward(x, parameters, &mut out, keep);
        (out.into_tensor(shape(x)), kept)
    }

    /// The gradients of the input and of the parameters, from that of the result.
    pub(super) fn differentiate(
        &self,
        x: &FlexTensor,
        parameters: &[FlexTensor],
        kept: H::Kept,
        gradient: &FlexTensor,
    ) -> (FlexTensor, [FlexTensor; PARAMETERS]) {
        let mut dx = Buffer::<f32>::new(count(gradient));
        let mut found = gradients_of(parameters);
        let gradients = Gradients::of(&mut found);
        self.half.backward(x, parameters, kept, gradient, &mut dx, gradients);
        (dx.into_tensor(shape(gradient)), shaped_as(parameters, found))
    }
}

impl<H: Half<T>, T: Stored> Operation<INPUTS> for Branch<H, T> {
    type Saved = H::Kept;

    fn reads_again(&self, input: usize) -> bool {
        input > 0 || !T::KEEPS_NORM
    }

    fn forward(&self, inputs: &[FlexTensor; INPUTS], keep: bool) -> (FlexTensor, Option<H::Kept>) {
        let [x, parameters @ ..] = inputs;
        self.compute(x, parameters, keep)
    }

    fn backward(
        self,
        inputs: [FlexTensor; INPUTS],
        kept: H::Kept,
        gradient: FlexTensor,
        _: [bool; INPUTS],
    ) -> [Option<FlexTensor>; INPUTS] {
        let [x, parameters @ ..] = &inputs;
        let (dx, found) = self.differentiate(x, parameters, kept, &gradient);
        with_first(dx, found).map(Some)
    }
}
