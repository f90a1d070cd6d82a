//! What a model costs: floating-point operations, and bytes that are kept for backward. Both are counted
//! on the ops of its own forward pass.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Display,
};

use burn::{
    module::Param,
    tensor::{DType, Device, Tensor as Values},
};
use vitral_burn::{
    composite::{Composite, TokenReorganization},
    kernels::{self, Branches},
};
use vitral_program::{Dim, Op, Shape, TensorType};

use crate::{
    Mode, ViT,
    block::{Block, Blocks},
    layers::shape,
    ops::Ops,
    position::RotaryTable,
    program_attention::ProgramAttention,
    token_merging::TokenSizes,
};

/// The costs of one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Costs {
    /// Floating-point operations of the forward pass: two for each multiplication and addition of the
    /// matrix products, which is where nearly all of them are. Backward takes twice as many.
    pub forward_flops: f64,
    /// Bytes that each block keeps for backward.
    pub kept_by_blocks: Vec<f64>,
    /// Bytes of what goes into each block, which is all that it keeps where it computes the rest again.
    pub block_inputs: Vec<f64>,
    /// Tokens that go into each block and, last, those that come out of the last.
    pub(crate) tokens: Vec<usize>,
    /// Floating-point operations of each part of the model that has a name in it, as `blocks.3.attn`, with
    /// those outside of all under no name. A kernel's are those of the whole block that it is in.
    pub(crate) flops_of: BTreeMap<String, f64>,
}

impl Costs {
    /// The costs of a model on a device. Where kernels run branches of blocks as a whole, these keep less.
    pub fn of(model: &ViT, device: &Device) -> Self {
        let dtype = DType::from(model.compute().dtype());
        let branches = kernels::branches(dtype, device);
        Self::counted(model, dtype.size() as f64, branches, Some((dtype, device.clone())))
    }

    /// The same by separate operations, of whose parts each has its own.
    pub(crate) fn separate(model: &ViT) -> Self {
        Self::counted(model, 4.0, None, None)
    }

    fn counted(
        model: &ViT,
        bytes: f64,
        branches: Option<Branches>,
        kernels: Option<(DType, Device)>,
    ) -> Self {
        let mut ops = Counter { bytes, branches, kernels, ..Counter::default() };
        let config = model.config();
        let side = config.grid() * config.patch_pixels();
        let image = [Dim::BATCH, side.into(), side.into(), config.channels.into()];
        let images = ops.new_tensor(&image);
        model.logits(&mut ops, images, Mode::Eval);
        ops.costs
    }
}

/// Counts the ops of a forward pass.
#[derive(Default)]
struct Counter {
    /// Of a value.
    bytes: f64,
    /// Where kernels run branches of blocks as a whole, if they do.
    branches: Option<Branches>,
    /// The type that kernels of attention compute in, and where, if there may be any: what they do not take keeps
    /// its scores, and the weights that softmax makes of them.
    kernels: Option<(DType, Device)>,
    costs: Costs,
    /// The names of the parts that the present one is in.
    path: Vec<String>,
    /// How many tensors there were.
    tensors: usize,
    /// Bytes of an image's part of each tensor that is kept, by the tensor's number.
    kept: HashMap<usize, f64>,
    /// Tensors that are there anyhow, whatever is kept: parameters and constants.
    free: HashSet<usize>,
}

/// A tensor that is not there.
#[derive(Clone, Debug)]
struct Counted {
    r#type: TensorType,
    /// Which memory it lies in.
    memory: usize,
}

impl Counter {
    fn new_tensor(&mut self, dims: &[Dim]) -> Counted {
        let shape = Shape::new(dims).expect("the shape of a tensor");
        self.of_type(TensorType::new(vitral_program::DType::F32, shape))
    }

    fn of_type(&mut self, r#type: TensorType) -> Counted {
        self.tensors += 1;
        Counted { r#type, memory: self.tensors }
    }

    /// Counts floating-point operations, in all and of the present part.
    fn compute(&mut self, flops: f64) {
        self.costs.forward_flops += flops;
        *self.costs.flops_of.entry(self.path.join(".")).or_default() += flops;
    }

    /// Bytes of an image's part of a tensor.
    fn bytes_of(&self, shape: &Shape) -> f64 {
        self.bytes * shape.elements().per_item() as f64
    }

    fn keep(&mut self, tensor: &Counted) {
        if !self.free.contains(&tensor.memory) {
            self.kept.insert(tensor.memory, self.bytes_of(&tensor.r#type.shape));
        }
    }

    /// What a kernel of a branch keeps: what goes in, and rows of so many values.
    fn keep_rows(&mut self, input: &Counted, values: usize) {
        self.keep(input);
        let dims = [Dim::BATCH, self.size(input, 1).into(), values.into()];
        let rows = self.new_tensor(&dims);
        self.keep(&rows);
    }

    /// `inner` is the width of all heads together.
    fn attention(&mut self, input: &Counted, heads: usize, inner: usize, more: usize) {
        let (tokens, width) = (self.size(input, 1) as f64, self.size(input, 2) as f64);
        // Queries, keys and values, the heads' results, and the sums of each head's weights.
        self.keep_rows(input, 4 * inner + heads + more);
        let inner = inner as f64;
        self.compute(2.0 * tokens * width * 4.0 * inner);
        self.compute(2.0 * 2.0 * tokens * tokens * inner);
    }

    fn mlp(&mut self, input: &Counted, hidden: usize, more: usize) {
        let (tokens, width) = (self.size(input, 1) as f64, self.size(input, 2) as f64);
        // What goes into the activation.
        self.keep_rows(input, hidden + more);
        self.compute(2.0 * 2.0 * tokens * width * hidden as f64);
    }

    /// The class token's attention: its queries, what they are in terms of tokens, and a score of each token and head.
    fn class_attention(&mut self, input: &Counted, heads: usize, inner: usize) -> Counted {
        let (tokens, width) = (self.size(input, 1), self.size(input, 2));
        let kept = [Dim::BATCH, (inner + heads * width + tokens * heads).into()];
        let kept = self.new_tensor(&kept);
        self.keep(input);
        self.keep(&kept);
        self.compute(2.0 * width as f64 * (2 * inner + tokens * heads) as f64);
        self.new_tensor(&[Dim::BATCH, tokens.into()])
    }

    /// The tokens that token reorganization leaves.
    fn reorganized(
        &mut self,
        input: &Counted,
        others: &[Option<Counted>],
        reorganization: &TokenReorganization,
    ) -> Counted {
        let (tokens, width) = (self.size(input, 1), self.size(input, 2));
        let TokenReorganization { prefix, kept, fuse } = *reorganization;
        let gone = if fuse { tokens - prefix - kept } else { 0 };
        self.keep(input);
        others.iter().flatten().for_each(|other| self.keep(other));
        self.compute(2.0 * (gone * width) as f64);
        self.new_tensor(&[Dim::BATCH, (prefix + kept + usize::from(fuse)).into(), width.into()])
    }

    /// What kernels of a branch on a GPU keep of each token besides, which those of the CPU compute again: what
    /// LayerNorm gives, and what LayerScale multiplies.
    fn kept_on_gpu(&self, input: &Counted, is_scaled: bool) -> usize {
        match self.branches {
            Some(Branches::OnGpu) => self.size(input, 2) * (1 + usize::from(is_scaled)),
            _ => 0,
        }
    }

    /// Whether kernels of attention leave its scores in memory, for heads of a width.
    fn keeps_scores(&self, width: usize) -> bool {
        let keeps = |(dtype, device): &(DType, Device)| kernels::keep_scores(*dtype, width, device);
        self.kernels.as_ref().is_none_or(keeps)
    }
}

impl Ops for Counter {
    type Tensor = Counted;

    fn apply_all(&mut self, op: Op, operands: Vec<Counted>) -> Vec<Counted> {
        let types: Vec<TensorType> = operands.iter().map(|one| one.r#type.clone()).collect();
        // `ViTConfig::check` has seen to it that layers fit.
        let results = op.infer(&types).unwrap_or_else(|misfit| panic!("{}: {misfit}", op.name()));
        self.compute(op.products(&types, &results) as f64);
        let mut out: Vec<Counted> =
            results.into_iter().map(|r#type| self.of_type(r#type)).collect();
        match &op {
            // The same memory.
            Op::Expand(_)
            | Op::Identity(_)
            | Op::Reshape(_)
            | Op::Slice(_)
            | Op::Split(_)
            | Op::Transpose(_) => {
                for result in &mut out {
                    result.memory = operands[0].memory;
                }
            }
            Op::Constant(_) => self.free.extend(out.iter().map(|result| result.memory)),
            // Gradients of these do not depend on values.
            Op::Add(_)
            | Op::Sub(_)
            | Op::Neg(_)
            | Op::Concat(_)
            | Op::Gather(_)
            | Op::GatherElements(_)
            | Op::Pad(_)
            | Op::ReduceMean(_)
            | Op::ReduceSum(_) => {}
            Op::Softmax(_) | Op::Sigmoid(_) | Op::Tanh(_) | Op::Sqrt(_) => self.keep(&out[0]),
            Op::ScaledDotProductAttention(_) => {
                for tensor in operands.iter().take(3).chain(&out) {
                    self.keep(tensor);
                }
                if self.keeps_scores(self.size(&operands[0], 3)) {
                    let dims = operands[0].r#type.shape.dims();
                    let keys = operands[1].r#type.shape.dims();
                    let mut scores = dims.to_vec();
                    if let (Some(last), Some(&keys)) = (scores.last_mut(), keys.iter().nth_back(1))
                    {
                        *last = keys;
                    }
                    // Scores, and the weights that softmax makes of them.
                    for _ in 0..2 {
                        let scores = self.new_tensor(&scores);
                        self.keep(&scores);
                    }
                }
            }
            _ => operands.iter().for_each(|operand| self.keep(operand)),
        }
        out
    }

    fn within<T>(&mut self, name: impl Display, part: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name.to_string());
        let result = part(self);
        self.path.pop();
        result
    }

    fn dims(&self, tensor: &Counted) -> Vec<Dim> {
        tensor.r#type.shape.dims().to_vec()
    }

    fn parameter<const D: usize>(&mut self, parameter: &Param<Values<D>>) -> Counted {
        let parameter = self.new_tensor(&shape(parameter).map(Dim::from));
        self.free.insert(parameter.memory);
        parameter
    }

    fn program(
        &mut self,
        program: &ProgramAttention,
        inputs: [Counted; 3],
        _: usize,
        _: Mode,
    ) -> Counted {
        let program = program.program();
        self.compute(program.products() as f64);
        // Each op keeps what it gives, if not what it takes.
        for node in program.nodes() {
            for id in node.results() {
                let result = self.of_type(program.types()[id.index()].clone());
                self.keep(&result);
            }
        }
        inputs.iter().for_each(|input| self.keep(input));
        self.of_type(inputs[0].r#type.clone())
    }

    fn composite(
        &mut self,
        composite: Composite,
        input: &Counted,
        others: impl FnOnce(&mut Self) -> Vec<Option<Counted>>,
    ) -> Option<Counted> {
        let on_gpu = self.branches? == Branches::OnGpu;
        match &composite {
            Composite::AttentionBranch(branch) => {
                if on_gpu && self.keeps_scores(branch.head_width) {
                    return None;
                }
                let is_scaled = others(self)[6].is_some();
                let more = self.kept_on_gpu(input, is_scaled);
                self.attention(input, branch.heads, branch.heads * branch.head_width, more);
            }
            Composite::MlpBranch(branch) => {
                let is_scaled = others(self)[6].is_some();
                let kept = self.kept_on_gpu(input, is_scaled);
                // What the activation gives.
                let activated = if on_gpu { branch.hidden } else { 0 };
                self.mlp(input, branch.hidden, kept + activated);
            }
            Composite::ClassAttention(_) | Composite::TokenReorganization(_) if on_gpu => {
                return None;
            }
            Composite::ClassAttention(attention) => {
                let qkv = others(self)[2].clone()?;
                return Some(self.class_attention(input, attention.heads, self.size(&qkv, 1) / 3));
            }
            Composite::TokenReorganization(reorganization) => {
                let others = others(self);
                return Some(self.reorganized(input, &others, reorganization));
            }
            // By its halves, which keep the same.
            Composite::Block(..)
            | Composite::CheckpointedBlock(..)
            | Composite::PackedAttention(_)
            | Composite::PatchEmbedding { .. }
            | Composite::MaxPool => return None,
        }
        Some(self.of_type(input.r#type.clone()))
    }
}

impl Blocks for Counter {
    fn block(
        &mut self,
        block: &Block,
        tokens: Counted,
        rotary: Option<&RotaryTable<Counted>>,
        sizes: &mut TokenSizes<Counted>,
        _: bool,
        mode: Mode,
    ) -> Counted {
        self.costs.block_inputs.push(self.bytes_of(&tokens.r#type.shape));
        self.kept.clear();
        if self.costs.tokens.is_empty() {
            self.costs.tokens.push(self.size(&tokens, 1));
        }
        let out = block.forward(self, tokens, rotary, sizes, mode);
        self.costs.tokens.push(self.size(&out, 1));
        self.costs.kept_by_blocks.push(self.kept.values().sum());
        out
    }
}

#[cfg(test)]
mod tests {
    use vitral_seed::Seed;

    use super::*;
    use crate::{ViTConfig, config::LayerSize};

    fn model(variant: &str) -> ViT {
        let config = ViTConfig { classes: 1000, ..ViTConfig::of_variant(variant.parse().unwrap()) };
        ViT::new(&config, Seed::new(0), &Device::flex()).unwrap()
    }

    /// Published: 1.3 and 4.6 billion multiplications and additions (Touvron et al. 2021), and what
    /// PyTorch's `FlopCounterMode` counts of timm's MLP-Mixer and hybrids.
    #[test]
    fn published_sizes_have_their_published_cost() {
        for (variant, billions) in [
            ("Ti/16", 1.26),
            ("S/16", 4.61),
            ("B/16", 17.58),
            ("Mixer-B/16", 12.602),
            ("R+ViT-Ti/16", 0.43368),
            ("R50+ViT-B/16", 21.535),
        ] {
            let model = model(variant);
            for found in [Costs::of(&model, &Device::flex()), Costs::separate(&model)] {
                let found = found.forward_flops / 2e9;
                assert!((found / billions - 1.0).abs() < 0.01, "{variant}: {found}");
            }
        }
    }

    /// Korthikanti et al. 2022 ("Reducing Activation Recomputation in Large Transformer Models") count
    /// `tokens * width * (17 + 2.5 * heads * tokens / width)` values of two bytes for a block of Megatron,
    /// with dropout and its masks. Burn's operations keep about as many.
    #[test]
    fn kept_bytes_are_those_of_kernels_and_about_those_of_separate_operations() {
        let model = model("S/16");
        let (tokens, width, heads) = (197.0, 384.0, 6.0);
        let fused = Costs::of(&model, &Device::flex());
        assert_eq!(fused.block_inputs, vec![4.0 * tokens * width; 12]);
        assert_eq!(fused.kept_by_blocks, vec![4.0 * tokens * (10.0 * width + heads); 12]);
        let separate = Costs::separate(&model).kept_by_blocks[0];
        let published = 4.0 * tokens * width * (17.0 + 2.5 * heads * tokens / width);
        assert!((0.7..1.3).contains(&(separate / published)), "{}", separate / published);
    }

    /// A layer's products and what it keeps are in proportion to its heads and to its hidden neurons, and what
    /// is not there costs nothing.
    #[test]
    fn what_is_pruned_costs_nothing() {
        let of = |layers: &[(usize, usize)]| {
            let layers = layers.iter().map(|&(heads, hidden)| LayerSize { heads, hidden });
            let config = ViTConfig {
                classes: 10,
                depth: Some(2),
                layers: layers.collect(),
                ..ViTConfig::default()
            };
            let model = ViT::new(&config, Seed::new(0), &Device::flex()).unwrap();
            let fused = Costs::of(&model, &Device::flex());
            let separate = Costs::separate(&model);
            assert_eq!(fused.forward_flops, separate.forward_flops);
            fused
        };
        let (whole, pruned) = (of(&[]), of(&[(1, 256), (0, 0)]));
        let [attention, mlp] = [
            2.0 * 197.0 * 192.0 * (4.0 * 192.0) + 4.0 * 197.0 * 197.0 * 192.0,
            4.0 * 197.0 * 192.0 * 768.0,
        ];
        let block = attention + mlp;
        let removed = whole.forward_flops - pruned.forward_flops;
        assert_eq!(removed, block * 5.0 / 3.0);
        assert_eq!(pruned.kept_by_blocks[1], 0.0);
        // The inputs of both branches, a head's queries, keys, values and results, and hidden neurons.
        assert_eq!(pruned.kept_by_blocks[0], 4.0 * 197.0 * f64::from(2 * 192 + 4 * 64 + 1 + 256));
    }
}
