//! Activation checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): a
//! block keeps only what goes into it and computes the rest again for its backward pass. The noise
//! of a block follows from its seed, so that gradients are exactly those without it.

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
    tensor::{Device, Tensor},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Mode, ViT,
    block::Block,
    costs::Costs,
    eager::{Eager, EagerTensor},
    position::RotaryTable,
    token_merging::TokenSizes,
};

/// Which blocks compute their activations again rather than keeping them: less memory for more
/// time, with the same gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ActivationCheckpointing {
    /// No block.
    #[default]
    None,
    /// Every block.
    EveryBlock,
    /// Every n-th block, from the first on.
    EveryNth(#[schemars(range(min = 1, max = 1000))] usize),
    /// As few blocks, from the first on, as keep what the blocks of one micro-batch hold for
    /// backward within so many MiB; weights, gradients and averages come on top.
    Fit {
        /// MiB (1,048,576 bytes).
        #[schemars(range(min = 1))]
        mib: u64,
    },
}

impl ActivationCheckpointing {
    /// Which blocks of a model it is for on a device, with `batch` images in a micro-batch.
    pub fn plan(self, model: &ViT, batch: usize, device: &Device) -> Vec<bool> {
        let depth = model.blocks.len();
        match self {
            Self::None => vec![false; depth],
            Self::EveryBlock => vec![true; depth],
            Self::EveryNth(n) => (0..depth).map(|layer| layer % n.max(1) == 0).collect(),
            Self::Fit { mib } => {
                let limit = mib as f64 * f64::from(1 << 20) / batch as f64;
                let Costs { kept_by_blocks, block_inputs, .. } = Costs::of(model, device);
                let sum = |first: usize| {
                    block_inputs[..first].iter().sum::<f64>()
                        + kept_by_blocks[first..].iter().sum::<f64>()
                };
                let first = (0..=depth).find(|&first| sum(first) <= limit).unwrap_or(depth);
                (0..depth).map(|layer| layer < first).collect()
            }
        }
    }
}

/// The block's forward pass, which keeps nothing but its input for backward.
pub(crate) fn run(
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
    let input = Tensor::<3>::from_primitive::<B>(x.clone());
    let none = || FloatTensor::<Autodiff<B>>::new(x.clone()).node();
    guards.list.resize_with(INPUTS, none);
    let Ok(guards) = <[NodeGuard; INPUTS]>::try_from(guards.list) else {
        unreachable!("resized to it")
    };
    let (out, merged) = recipe.run(&recipe.block, input);
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
        let gradient = value.grad_remove(self.gradients);
        self.list.push(gradient.and_then(|gradient| gradient.try_into_primitive::<B>().ok()));
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

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;
    use vitral_seed::Seed;

    use super::*;
    use crate::{ViTConfig, init::Init, parameters};

    fn config() -> ViTConfig {
        ViTConfig {
            image_size: 8,
            patch_size: Some(4),
            width: Some(12),
            depth: Some(3),
            heads: Some(3),
            classes: 3,
            drop_path: 0.4,
            // Its head is not zero, so that every block has a gradient.
            init: Init::Timm,
            ..ViTConfig::default()
        }
    }

    fn gradients(config: &ViTConfig, plan: Vec<bool>, device: &Device) -> Vec<Vec<f32>> {
        let mut model = ViT::new(config, Seed::new(1), &device.clone().autodiff()).unwrap();
        model.set_activation_checkpointing(plan);
        let values: Vec<f32> = (0..4 * 8 * 8 * 3).map(|n| (n as f32 * 0.37).sin()).collect();
        let images = Tensor::<4>::from_data(TensorData::new(values, [4, 8, 8, 3]), device);
        let logits = model.forward(images.autodiff(), Mode::Train(Seed::new(5)));
        let mut gradients = (logits.clone() * logits).sum().backward();
        parameters::gradients(&model, &mut gradients)
            .into_iter()
            .map(|gradient| gradient.try_into_vec_as().unwrap())
            .collect()
    }

    /// Fused kernels, and Burn's own operations (RoPE, dropout, normalised queries).
    #[test]
    fn gradients_are_the_same_to_the_bit() {
        let composed = ViTConfig { rope: Some(100.0), qk_norm: true, dropout: 0.2, ..config() };
        let mixer = ViTConfig {
            variant: "Mixer-S/16".parse().unwrap(),
            heads: None,
            class_token: false,
            pool: crate::pool::Pool::Mean,
            position: crate::position::Position::None,
            token_mixing: crate::token_mixing::TokenMixing::Mlp { hidden: None },
            ..config()
        };
        let scaled = ViTConfig { layer_scale: Some(0.5), ..config() };
        for config in [config(), scaled, composed, mixer] {
            let device = Device::flex();
            let kept = gradients(&config, vec![false; 3], &device);
            for plan in [vec![true; 3], vec![false, true, false]] {
                assert_eq!(gradients(&config, plan, &device), kept);
            }
            let found = kept.iter().filter(|gradient| gradient.iter().any(|&value| value != 0.0));
            assert_eq!(found.count(), kept.len());
        }
    }

    #[test]
    fn plans_cover_what_they_say() {
        let built = |config: &ViTConfig| ViT::new(config, Seed::new(1), &Device::flex()).unwrap();
        let model = built(&config());
        let plan = |choice: ActivationCheckpointing| choice.plan(&model, 2, &Device::flex());
        assert_eq!(plan(ActivationCheckpointing::None), [false; 3]);
        assert_eq!(plan(ActivationCheckpointing::EveryBlock), [true; 3]);
        assert_eq!(plan(ActivationCheckpointing::EveryNth(2)), [true, false, true]);
        assert_eq!(plan(ActivationCheckpointing::Fit { mib: 1000 }), [false; 3]);
        let large = built(&ViTConfig {
            variant: "Ti/16".parse().unwrap(),
            classes: 10,
            ..ViTConfig::default()
        });
        let blocks = |mib: u64| {
            let plan = ActivationCheckpointing::Fit { mib }.plan(&large, 16, &Device::flex());
            plan.into_iter().filter(|&again| again).count()
        };
        // 12 blocks of 23.1 MiB, of which 2.3 MiB stay.
        assert_eq!([blocks(280), blocks(200), blocks(100), blocks(1)], [0, 4, 9, 12]);
    }
}
