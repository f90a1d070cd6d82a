//! Blocks that are computed again for backward: activation checkpointing in Burn's automatic
//! differentiation.

use burn::{
    backend::{
        Autodiff, Backend, DispatchKindConversion, DispatchTensor, DispatchTensorKind, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::NoCheckpointing},
            grads::Gradients,
            ops::{Backward, NodeGuard, Ops, OpsKind},
        },
        tensor::FloatTensor,
    },
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::Tensor,
};

use crate::{
    Mode,
    block::{Block, Blocks},
    eager::{Eager, EagerTensor},
    position::RotaryTable,
    token_merging::TokenSizes,
};

impl Blocks for Eager {
    fn block(
        &mut self,
        block: &Block,
        tokens: EagerTensor,
        rotary: Option<&RotaryTable<EagerTensor>>,
        sizes: &mut TokenSizes<EagerTensor>,
        checkpointed: bool,
        mode: Mode,
    ) -> EagerTensor {
        let block = self.taken(block, &tokens);
        let block = block.as_ref();
        // Without a branch, there is nothing to compute again.
        if !checkpointed || block.is_empty() {
            return block.forward(self, tokens, rotary, sizes, mode);
        }
        // Kernels compute again only what backward asks for.
        block
            .checkpointed_by_kernel(self, &tokens, rotary.is_some(), sizes, mode)
            .unwrap_or_else(|| run(self, block, tokens, rotary, sizes, mode))
    }
}

/// The block's forward pass, which keeps nothing but its input for backward.
fn run(
    ops: &mut Eager,
    block: &Block,
    tokens: EagerTensor,
    rotary: Option<&RotaryTable<EagerTensor>>,
    sizes: &mut TokenSizes<EagerTensor>,
    mode: Mode,
) -> EagerTensor {
    let recipe = Recipe {
        ops: ops.clone(),
        block: block.valid(),
        // Nobody wants their gradients.
        rotary: rotary
            .cloned()
            .map(|table| RotaryTable { waves: table.waves.map(EagerTensor::without_autodiff) }),
        sizes: sizes.clone(),
        mode,
    };
    let kind = Eager::values::<3>(tokens.clone()).into_dispatch().kind;
    match kind {
        DispatchTensorKind::Autodiff(inner) => match *inner {
            DispatchTensorKind::Flex(_) => run_on::<Flex>(block, recipe, tokens, rotary, sizes),
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            DispatchTensorKind::Cube(_) => {
                run_on::<burn::backend::Cube>(block, recipe, tokens, rotary, sizes)
            }
            #[allow(unreachable_patterns)] // in a build for the CPU alone
            _ => block.forward(ops, tokens, rotary, sizes, mode),
        },
        // Nothing is kept without automatic differentiation.
        _ => block.forward(ops, tokens, rotary, sizes, mode),
    }
}

/// What it takes to run a block again.
#[derive(Clone, Debug)]
struct Recipe {
    ops: Eager,
    block: Block,
    rotary: Option<RotaryTable<EagerTensor>>,
    /// What each token stands for before the block.
    sizes: TokenSizes<EagerTensor>,
    mode: Mode,
}

impl Recipe {
    /// The block's result for its input, and what each token stands for then.
    fn run(&self, block: &Block, tokens: Tensor<3>) -> (Tensor<3>, TokenSizes<EagerTensor>) {
        let (mut ops, mut sizes) = (self.ops.clone(), self.sizes.clone());
        let tokens = ops.batched(tokens);
        let out = block.forward(&mut ops, tokens, self.rotary.as_ref(), &mut sizes, self.mode);
        (Eager::values(out), sizes)
    }
}

/// Inputs of the operation: tokens, and a block's parameters. Burn wants their number when it
/// compiles; a block of softmax attention has at most 18.
const INPUTS: usize = 48;

fn run_on<B: Backend>(
    block: &Block,
    mut recipe: Recipe,
    tokens: EagerTensor,
    rotary: Option<&RotaryTable<EagerTensor>>,
    sizes: &mut TokenSizes<EagerTensor>,
) -> EagerTensor
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let mut guards = Guards::<B>::new();
    let Some(x) = primitive::<B, 3>(Eager::values(tokens.clone())) else {
        return block.forward(&mut recipe.ops, tokens, rotary, sizes, recipe.mode);
    };
    let (x, guard) = x.into_parts();
    guards.list.push(guard);
    block.visit(&mut guards);
    let parameters = guards.list.len();
    if guards.foreign || parameters > INPUTS {
        // A plugin with more parameters than that keeps its activations.
        return block.forward(&mut recipe.ops, tokens, rotary, sizes, recipe.mode);
    }
    // Burn's operations round differently where there could be a history; here nothing asks for one.
    let input = Tensor::<3>::from_primitive::<B>(x.clone()).autodiff();
    let untracked = recipe.block.clone().map(&mut Untracked);
    let none = || FloatTensor::<Autodiff<B>>::new(x.clone()).node();
    guards.list.resize_with(INPUTS, none);
    let Ok(guards) = <[NodeGuard; INPUTS]>::try_from(guards.list) else {
        unreachable!("resized to it")
    };
    let (out, merged) = recipe.run(&untracked, input);
    *sizes = merged;
    let out = match out.without_autodiff().try_into_primitive::<B>() {
        Ok(out) => out,
        Err(error) => unreachable!("a block stays on its device: {error:?}"),
    };
    let ops = recipe.ops.clone();
    let out = match Again.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((recipe, x, parameters), out),
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    };
    ops.batched(Tensor::<3>::from_primitive::<Autodiff<B>>(out))
}

fn primitive<B: Backend, const D: usize>(tensor: Tensor<D>) -> Option<FloatTensor<Autodiff<B>>>
where
    DispatchTensor: DispatchKindConversion<Autodiff<B>>,
{
    tensor.try_into_primitive::<Autodiff<B>>().ok()
}

/// Collects the nodes of a block's parameters.
struct Guards<B> {
    list: Vec<NodeGuard>,
    /// Whether a parameter is not what automatic differentiation knows.
    foreign: bool,
    backend: std::marker::PhantomData<B>,
}

impl<B> Guards<B> {
    fn new() -> Self {
        Self { list: Vec::with_capacity(INPUTS), foreign: false, backend: std::marker::PhantomData }
    }
}

impl<B: Backend> ModuleVisitor for Guards<B>
where
    DispatchTensor: DispatchKindConversion<Autodiff<B>>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        match primitive::<B, D>(param.val()) {
            Some(tensor) => self.list.push(tensor.into_parts().1),
            None => self.foreign = true,
        }
    }
}

/// The backward pass: forward once more, this time with a history, and backward through it.
#[derive(Debug)]
struct Again;

impl<B: Backend> Backward<B, INPUTS> for Again
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    /// The block, its input, and how many of the inputs are real.
    type State = (Recipe, FloatTensor<B>, usize);

    fn backward(self, ops: Ops<Self::State, INPUTS>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = Tensor::<3>::from_primitive::<B>(grads.consume::<B>(&ops.node));
        let (recipe, x, parameters) = ops.state;
        let x = Tensor::<3>::from_primitive::<B>(x).autodiff().require_grad();
        let block = recipe.block.clone().map(&mut Trained);
        let (out, _) = recipe.run(&block, x.clone());
        let mut found = (out * gradient.autodiff()).sum().backward();
        let mut collect: Collect<'_, B> =
            Collect { gradients: &mut found, list: Vec::with_capacity(parameters) };
        collect.take(&x);
        block.visit(&mut collect);
        for (parent, gradient) in ops.parents.into_iter().zip(collect.list) {
            if let (Some(parent), Some(gradient)) = (parent, gradient) {
                grads.register::<B>(parent.id, gradient);
            }
        }
    }
}

/// Has every parameter be one that could have a gradient, which is not wanted.
struct Untracked;

impl ModuleMapper for Untracked {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        Param::from_mapped_value(id, value.without_autodiff().autodiff(), mapper)
    }
}

/// Makes every parameter one whose gradient is wanted.
struct Trained;

impl ModuleMapper for Trained {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        Param::from_mapped_value(id, value.without_autodiff().autodiff().require_grad(), mapper)
    }
}

/// Takes the gradients of a block's parameters in their order.
struct Collect<'a, B: Backend> {
    gradients: &'a mut burn::tensor::Gradients,
    list: Vec<Option<FloatTensor<B>>>,
}

impl<B: Backend> Collect<'_, B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    fn take<const D: usize>(&mut self, value: &Tensor<D>) {
        // Zeros where the result does not depend on it, as it is a parent of the operation all the same.
        let gradient = value
            .grad_remove(self.gradients)
            .unwrap_or_else(|| value.clone().without_autodiff().zeros_like());
        self.list.push(gradient.try_into_primitive::<B>().ok());
    }
}

impl<B: Backend> ModuleVisitor for Collect<'_, B>
where
    DispatchTensor: DispatchKindConversion<B>,
{
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.take(&param.val());
    }
}
