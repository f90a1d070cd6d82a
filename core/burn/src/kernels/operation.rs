//! Kernels as operations of Burn's automatic differentiation on the CPU.

use std::fmt::Debug;

use burn::{
    backend::{
        Autodiff, BackendTensor, DispatchTensor, DispatchTensorKind, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind},
        },
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};

use super::memory::{Buffer, Stored};

/// A tensor of Burn's automatic differentiation on the CPU.
type Differentiable = FloatTensor<Autodiff<Flex>>;

/// A function of `N` tensors whose backward pass is its own.
pub(super) trait Operation<const N: usize>: Clone + Debug + Send + 'static {
    /// What forward keeps for backward, besides its inputs.
    type Saved: Clone + Debug + Send + 'static;

    /// Whether backward reads this input. Of one that it does not it gets a tensor without values, in the
    /// place of what would stay in memory until then.
    fn reads_again(&self, _input: usize) -> bool {
        true
    }

    /// Computes the result, and with `keep` what backward needs. Inputs lie row by row.
    fn forward(&self, inputs: &[FlexTensor; N], keep: bool) -> (FlexTensor, Option<Self::Saved>);

    /// The gradients of those inputs for which one is wanted, from the gradient of the result.
    fn backward(
        self,
        inputs: [FlexTensor; N],
        saved: Self::Saved,
        gradient: FlexTensor,
        wanted: [bool; N],
    ) -> [Option<FlexTensor>; N];
}

/// A tensor of any rank that goes into an operation.
pub(super) enum Input {
    /// Its history is known, and it may want a gradient.
    Tracked(Differentiable),
    /// A constant.
    Constant(FlexTensor),
}

impl Input {
    /// The operand that this tensor, which must be `f32` on the CPU, is.
    pub(super) fn new<const D: usize>(tensor: Tensor<D>) -> Self {
        Self::of(tensor.into_dispatch())
    }

    /// The same of a tensor whose rank nobody knows when this is compiled.
    pub(super) fn of(tensor: DispatchTensor) -> Self {
        match tensor.kind {
            DispatchTensorKind::Flex(tensor) => Self::on_cpu(tensor),
            DispatchTensorKind::Autodiff(inner) => match *inner {
                DispatchTensorKind::Flex(tensor) => Self::on_cpu(tensor),
                _ => unreachable!("only asked of tensors on the CPU"),
            },
            #[allow(unreachable_patterns)] // in a build for the CPU alone
            _ => unreachable!("only asked of tensors on the CPU"),
        }
    }

    /// A tensor without values, in the place of one that is not there.
    pub(super) fn none() -> Self {
        Self::Constant(none())
    }

    /// The tensor, or the one without values.
    pub(super) fn optional<const D: usize>(tensor: Option<Tensor<D>>) -> Self {
        tensor.map_or_else(Self::none, Self::new)
    }

    fn on_cpu(tensor: BackendTensor<Flex>) -> Self {
        match tensor {
            BackendTensor::Autodiff(tensor) => Self::Tracked(tensor),
            tensor => Self::Constant(tensor.float()),
        }
    }
}

/// A tensor without values.
fn none() -> FlexTensor {
    Buffer::<f32>::new(0).into_tensor([0])
}

/// What a trace calls a pass of an operation: by its type and the module of that, and while nobody traces nothing.
fn span<Op>(pass: &'static str) -> tracing::span::EnteredSpan {
    tracing::trace_span!("kernel", name = short(std::any::type_name::<Op>()), pass).entered()
}

/// The name of a type without what it is generic over, and without the modules above its own.
fn short(name: &'static str) -> &'static str {
    let name = name.split('<').next().unwrap_or(name);
    name.rmatch_indices("::").nth(1).map_or(name, |(at, _)| &name[at + 2..])
}

/// Runs an operation, and has automatic differentiation know of it where an input is tracked.
pub(super) fn run<Op: Operation<N>, const N: usize, const D: usize>(
    operation: Op,
    inputs: [Input; N],
) -> Tensor<D> {
    let any = inputs.iter().any(|input| matches!(input, Input::Tracked(_)));
    if !any {
        let inputs = inputs.map(|input| match input {
            Input::Tracked(_) => unreachable!("none is"),
            Input::Constant(tensor) => tensor.to_contiguous(),
        });
        let _span = span::<Op>("forward");
        return Tensor::from_primitive::<Flex>(operation.forward(&inputs, false).0);
    }
    let tracked = inputs.map(|input| match input {
        Input::Tracked(tensor) => tensor,
        Input::Constant(tensor) => Differentiable::new(tensor),
    });
    let parts = tracked.map(Differentiable::into_parts);
    let mut tensors = Vec::with_capacity(N);
    let guards = parts.map(|(tensor, guard)| {
        tensors.push(tensor.to_contiguous());
        guard
    });
    let Ok(inputs) = <[FlexTensor; N]>::try_from(tensors) else { unreachable!("N of them") };
    let _span = span::<Op>("forward");
    let step = Step(operation.clone());
    let out = match step.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => {
            let (out, saved) = operation.forward(&inputs, true);
            let Some(saved) = saved else { unreachable!("forward was told to keep it") };
            let mut index = 0..;
            let inputs = inputs.map(|input| match index.next() {
                Some(index) if operation.reads_again(index) => input,
                _ => none(),
            });
            prepared.finish((inputs, saved), out)
        }
        OpsKind::UnTracked(prepared) => prepared.finish(operation.forward(&inputs, false).0),
    };
    Tensor::from_primitive::<Autodiff<Flex>>(out)
}

#[derive(Debug)]
struct Step<Op>(Op);

impl<Op: Operation<N>, const N: usize> Backward<Flex, N> for Step<Op> {
    type State = ([FlexTensor; N], Op::Saved);

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node).to_contiguous();
        let wanted = ops.parents.each_ref().map(Option::is_some);
        let (inputs, saved) = ops.state;
        let _span = span::<Op>("backward");
        let found = self.0.backward(inputs, saved, gradient, wanted);
        for (parent, gradient) in ops.parents.into_iter().zip(found) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<Flex>(parent.id, gradient);
            }
        }
    }
}

/// The values of a tensor of `f32` that lies row by row.
pub(super) fn values(tensor: &FlexTensor) -> &[f32] {
    values_of(tensor)
}

/// The values of a tensor that lies row by row.
pub(super) fn values_of<T: Stored>(tensor: &FlexTensor) -> &[T] {
    tensor.as_slice().unwrap_or_else(|| unreachable!("operations get contiguous tensors of a type"))
}

/// The values of an optional tensor, none if it is not there.
pub(super) fn optional_values(tensor: &FlexTensor) -> Option<&[f32]> {
    Some(values(tensor)).filter(|values| !values.is_empty())
}

/// The length of a dimension, counted from the last.
pub(super) fn from_last(tensor: &FlexTensor, dimension: usize) -> usize {
    let shape = tensor.layout().shape();
    shape[shape.num_dims() - 1 - dimension]
}

/// A tensor's shape.
pub(super) fn shape(tensor: &FlexTensor) -> burn::tensor::Shape {
    tensor.layout().shape().clone()
}

/// How many values a tensor has.
pub(super) fn count(tensor: &FlexTensor) -> usize {
    tensor.layout().num_elements()
}

/// The memory of an optional gradient, nothing if there is no such parameter.
pub(super) fn optional_memory(memory: &mut Buffer) -> Option<&mut [f32]> {
    Some(&mut **memory).filter(|memory| !memory.is_empty())
}

/// Memory for the gradients of so many parameters.
///
/// # Panics
/// If there are others than `N`.
pub(super) fn gradients_of<const N: usize>(parameters: &[FlexTensor]) -> [Buffer; N] {
    assert_eq!(parameters.len(), N);
    std::array::from_fn(|index| Buffer::of_gradient(count(&parameters[index])))
}

/// Gradients as tensors of the parameters' shapes.
pub(super) fn shaped_as<const N: usize>(
    parameters: &[FlexTensor],
    gradients: [Buffer; N],
) -> [FlexTensor; N] {
    let mut shapes = parameters.iter().map(shape);
    gradients.map(|gradient| match shapes.next() {
        Some(shape) => gradient.into_tensor(shape),
        None => unreachable!("a gradient for each parameter"),
    })
}

/// A value and `N` others.
pub(super) fn with_first<T, const N: usize, const ALL: usize>(first: T, rest: [T; N]) -> [T; ALL] {
    const { assert!(ALL == N + 1) };
    let mut all = std::iter::once(first).chain(rest);
    std::array::from_fn(|_| match all.next() {
        Some(one) => one,
        None => unreachable!("as many as there are"),
    })
}
