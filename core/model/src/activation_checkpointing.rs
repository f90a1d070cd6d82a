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
    tensor::Tensor,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Mode, ViTConfig, block::Block, fused, position::RotaryTable, token_merging::TokenSizes,
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
    /// Which blocks it is for, with `batch` images in a micro-batch; on the CPU, blocks of softmax
    /// attention run as fused kernels, which keep less.
    pub fn plan(self, config: &ViTConfig, batch: usize, on_cpu: bool) -> Vec<bool> {
        let depth = config.depth();
        match self {
            Self::None => vec![false; depth],
            Self::EveryBlock => vec![true; depth],
            Self::EveryNth(n) => (0..depth).map(|layer| layer % n.max(1) == 0).collect(),
            Self::Fit { mib } => {
                let limit = mib as f64 * f64::from(1 << 20);
                let kept: Vec<f64> =
                    (0..depth).map(|layer| kept_bytes(config, layer, batch, on_cpu)).collect();
                let tokens = config.tokens_by_layer();
                let input = |layer: usize| (batch * tokens[layer] * config.width() * 4) as f64;
                let sum = |first: usize| {
                    (0..first).map(input).sum::<f64>() + kept[first..].iter().sum::<f64>()
                };
                let first = (0..=depth).find(|&first| sum(first) <= limit).unwrap_or(depth);
                (0..depth).map(|layer| layer < first).collect()
            }
        }
    }
}

/// How many bytes a block keeps for its backward pass.
///
/// Fused kernels keep both branches' inputs, queries, keys and values, the heads' results, and what
/// goes into the MLP's activation. Without them it is Korthikanti et al. 2022 ("Reducing Activation
/// Recomputation in Large Transformer Models"), `tokens * width * (17 + 2.5 * heads * tokens / width)`
/// values. An MLP over tokens keeps its input before and after the LayerNorm, and what goes into and
/// comes out of its activation; where that is not one operation, some steps between them, too.
fn kept_bytes(config: &ViTConfig, layer: usize, batch: usize, on_cpu: bool) -> f64 {
    let (tokens, width) = (config.tokens_by_layer()[layer] as f64, config.width() as f64);
    let mlp = config.mlp_dim() as f64;
    if let Some(hidden) = config.tokens_mlp_dim() {
        let hidden = width * hidden as f64;
        let values = match on_cpu {
            true => 4.0 * tokens * width + 2.0 * hidden + tokens * mlp,
            false => 6.0 * tokens * width + 4.0 * (hidden + tokens * mlp),
        };
        return 4.0 * batch as f64 * values;
    }
    let heads = config.heads_of(layer) as f64;
    let values = if on_cpu && config.attention_of(layer).plugin().is_none() {
        tokens * (6.0 * width + mlp + heads)
    } else {
        tokens * width * (17.0 + 2.5 * heads * tokens / width)
    };
    4.0 * batch as f64 * values
}

/// The block's forward pass, which keeps nothing but its input for backward.
pub(crate) fn checkpointed(
    block: &Block,
    tokens: Tensor<3>,
    rotary: Option<&RotaryTable>,
    sizes: &mut TokenSizes,
    mode: Mode,
) -> Tensor<3> {
    if let Some((attention, mlp)) = block.parts(&tokens, rotary, sizes, mode) {
        // Kernels compute again only what backward asks for.
        return fused::checkpointed_block(tokens, attention, mlp);
    }
    let recipe =
        Recipe { block: block.valid(), rotary: rotary.cloned(), sizes: sizes.clone(), mode };
    let kind = tokens.clone().into_dispatch().kind;
    match kind {
        DispatchTensorKind::Autodiff(inner) => match *inner {
            DispatchTensorKind::Flex(_) => run::<Flex>(block, recipe, tokens, sizes),
            #[cfg(any(feature = "wgpu", feature = "cuda"))]
            DispatchTensorKind::Cube(_) => run::<burn::backend::Cube>(block, recipe, tokens, sizes),
            #[allow(unreachable_patterns)] // in a build for the CPU alone
            _ => block.forward(tokens, rotary, sizes, mode),
        },
        // Nothing is kept without automatic differentiation.
        _ => block.forward(tokens, rotary, sizes, mode),
    }
}

/// What it takes to run a block again.
#[derive(Clone, Debug)]
struct Recipe {
    block: Block,
    rotary: Option<RotaryTable>,
    /// What each token stands for before the block.
    sizes: TokenSizes,
    mode: Mode,
}

/// Inputs of the operation: tokens, and a block's parameters. Burn wants their number when it
/// compiles; a block of softmax attention has at most 18.
const INPUTS: usize = 48;

fn run<B: Backend>(
    block: &Block,
    recipe: Recipe,
    tokens: Tensor<3>,
    sizes: &mut TokenSizes,
) -> Tensor<3>
where
    DispatchTensor: DispatchKindConversion<B> + DispatchKindConversion<Autodiff<B>>,
{
    let (Some(x), mut guards) = (primitive::<B, 3>(tokens.clone()), Guards::<B>::new()) else {
        return block.forward(tokens, recipe.rotary.as_ref(), sizes, recipe.mode);
    };
    let (x, guard) = x.into_parts();
    guards.list.push(guard);
    block.visit(&mut guards);
    let parameters = guards.list.len();
    if guards.foreign || parameters > INPUTS {
        // A plugin with more parameters than that keeps its activations.
        return block.forward(tokens, recipe.rotary.as_ref(), sizes, recipe.mode);
    }
    let input = Tensor::<3>::from_primitive::<B>(x.clone());
    let none = || FloatTensor::<Autodiff<B>>::new(x.clone()).node();
    guards.list.resize_with(INPUTS, none);
    let Ok(guards) = <[NodeGuard; INPUTS]>::try_from(guards.list) else {
        unreachable!("resized to it")
    };
    // Tables of positions may be marked for automatic differentiation, though nobody wants their
    // gradients.
    let out = recipe.block.forward(input, recipe.rotary.as_ref(), sizes, recipe.mode);
    let out = out.without_autodiff();
    let out = match out.try_into_primitive::<B>() {
        Ok(out) => out,
        Err(error) => unreachable!("a block stays on its device: {error:?}"),
    };
    let out = match Again.prepare::<NoCheckpointing>(guards).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish((recipe, x, parameters), out),
        OpsKind::UnTracked(prepared) => prepared.finish(out),
    };
    Tensor::from_primitive::<Autodiff<B>>(out)
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
        let (mut recipe, x, parameters) = ops.state;
        let x = Tensor::<3>::from_primitive::<B>(x).autodiff().require_grad();
        let block = recipe.block.map(&mut Trained);
        let out = block.forward(x.clone(), recipe.rotary.as_ref(), &mut recipe.sizes, recipe.mode);
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
    use burn::tensor::{Device, TensorData};
    use vitral_seed::Seed;

    use super::*;
    use crate::{ViT, init::Init, parameters};

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
        let config = config();
        let plan = |choice: ActivationCheckpointing| choice.plan(&config, 2, true);
        assert_eq!(plan(ActivationCheckpointing::None), [false; 3]);
        assert_eq!(plan(ActivationCheckpointing::EveryBlock), [true; 3]);
        assert_eq!(plan(ActivationCheckpointing::EveryNth(2)), [true, false, true]);
        assert_eq!(plan(ActivationCheckpointing::Fit { mib: 1000 }), [false; 3]);
        let large =
            ViTConfig { variant: "Ti/16".parse().unwrap(), classes: 10, ..ViTConfig::default() };
        let blocks = |mib: u64| {
            let plan = ActivationCheckpointing::Fit { mib }.plan(&large, 16, true);
            plan.into_iter().filter(|&again| again).count()
        };
        // 12 blocks of 23.1 MiB, of which 2.3 MiB stay.
        assert_eq!([blocks(280), blocks(200), blocks(100), blocks(1)], [0, 4, 9, 12]);
    }
}
