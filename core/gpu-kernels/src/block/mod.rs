//! A block of a transformer, or one of its halves, `x + scale * gamma * f(layer_norm(x))` with attention or an MLP as
//! `f`, in as few launches as its products of matrices leave: as one operation of Burn's fusion, whose host time
//! otherwise is that of dozens.
//!
//! Products are of the type of `x`, and so is what is kept for backward; the gradients of parameters, which are `f32`,
//! are `f32` from the product on.

mod compute;
mod residual;
mod weights;

use burn::{
    backend::{fusion::custom::TensorSpec, tensor::FloatTensor},
    tensor::{DType, Shape},
};
use burn_cubecl::{Cube, CubeDevice};

use crate::{
    bias::Activation,
    many::{Values, register, spec},
};

/// Buffers of the kernel that has most, and that of sizes.
const BINDINGS: u32 = 11;

/// Whether a device binds as many buffers as the kernels of a block have.
pub fn fits(device: &CubeDevice) -> bool {
    device.client().properties().hardware.max_bindings >= BINDINGS
}

/// What lies between the two products of a half.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Softmax attention of the packed projection.
    Attention {
        /// Heads, which share the projection's width.
        heads: usize,
        /// What scores are multiplied with.
        scale: f32,
    },
    /// An activation.
    Mlp(Activation),
}

/// A half of a block.
#[derive(Clone, Debug)]
pub struct Half<T> {
    /// What lies between the two products.
    pub kind: Kind,
    /// Added to LayerNorm's variance.
    pub eps: f32,
    /// LayerNorm's factors and summands.
    pub norm: [T; 2],
    /// `[width, ..]` and `[.., width]`.
    pub weights: [T; 2],
    /// Those of the two products.
    pub biases: [Option<T>; 2],
    /// LayerScale.
    pub layer_scale: Option<T>,
    /// Drop path's factor of each sample, `[batch]`.
    pub sample_scales: Option<T>,
}

/// Halves, one behind the other.
#[derive(Clone, Debug)]
pub struct Block<T> {
    /// `[.., batch, tokens, width]`.
    pub x: T,
    /// One or two.
    pub halves: Vec<Half<T>>,
}

/// The gradients of a half's tensors; vectors, which are sums, may still be in parts.
pub struct OfHalf<T, V = T> {
    /// As of [`Half::norm`].
    pub norm: [V; 2],
    /// As of [`Half::weights`].
    pub weights: [T; 2],
    /// As of [`Half::biases`].
    pub biases: [Option<V>; 2],
    /// As of [`Half::layer_scale`].
    pub layer_scale: Option<V>,
}

/// The gradients of the tensors that have one.
pub struct Gradients<T> {
    /// As of [`Block::x`].
    pub x: T,
    /// As of [`Block::halves`].
    pub halves: Vec<OfHalf<T>>,
}

/// What the forward pass of a half keeps for backward.
#[derive(Clone, Debug)]
struct Saved<T> {
    /// What goes into it, `[rows, width]`, if that is not what goes into the block.
    x: Option<T>,
    /// What LayerNorm gives, `[rows, width]`, and mean and inverse deviation of each row.
    normed: [T; 2],
    /// Weights in the type of `x`.
    weights: [T; 2],
    /// The first product, with its bias if attention comes next; and what the second takes.
    between: [T; 2],
    /// The logarithm of each row's sum, of attention.
    logsumexp: Option<T>,
    /// The second product, where LayerScale's gradient wants it.
    last: Option<T>,
}

/// A half without its tensors: which of those that may be left out are there.
#[derive(Clone, Copy)]
struct Outline {
    kind: Kind,
    eps: f32,
    is_first: bool,
    biases: [bool; 2],
    layer_scale: bool,
    sample_scales: bool,
}

impl Outline {
    fn of<T>(block: &Block<T>) -> Vec<Self> {
        let outline = |(number, half): (usize, &Half<T>)| Self {
            kind: half.kind,
            eps: half.eps,
            is_first: number == 0,
            biases: half.biases.each_ref().map(Option::is_some),
            layer_scale: half.layer_scale.is_some(),
            sample_scales: half.sample_scales.is_some(),
        };
        block.halves.iter().enumerate().map(outline).collect()
    }
}

/// Tensors as they come out of a list again.
struct Next<I>(I);

impl<T, I: Iterator<Item = T>> Next<I> {
    fn one(&mut self) -> T {
        self.0.next().unwrap_or_else(|| unreachable!("as many as were put in"))
    }

    fn two(&mut self) -> [T; 2] {
        [self.one(), self.one()]
    }

    fn some(&mut self, is_there: bool) -> Option<T> {
        is_there.then(|| self.one())
    }
}

impl<T> Half<T> {
    fn into_list(self) -> Vec<T> {
        let Self { norm, weights, biases, layer_scale, sample_scales, .. } = self;
        let needed = norm.into_iter().chain(weights);
        needed.chain(biases.into_iter().flatten()).chain(layer_scale).chain(sample_scales).collect()
    }

    fn from_list(list: &mut Next<impl Iterator<Item = T>>, outline: Outline) -> Self {
        Self {
            kind: outline.kind,
            eps: outline.eps,
            norm: list.two(),
            weights: list.two(),
            biases: outline.biases.map(|is_there| list.some(is_there)),
            layer_scale: list.some(outline.layer_scale),
            sample_scales: list.some(outline.sample_scales),
        }
    }
}

impl<T> Block<T> {
    fn into_list(self) -> Vec<T> {
        let halves = self.halves.into_iter().flat_map(Half::into_list);
        std::iter::once(self.x).chain(halves).collect()
    }

    fn from_list(list: &mut Next<impl Iterator<Item = T>>, outlines: &[Outline]) -> Self {
        let x = list.one();
        let halves = outlines.iter().map(|&outline| Half::from_list(list, outline)).collect();
        Self { x, halves }
    }
}

impl<T> Saved<T> {
    fn into_list(self) -> Vec<T> {
        let Self { x, normed, weights, between, logsumexp, last } = self;
        let needed = normed.into_iter().chain(weights).chain(between);
        x.into_iter().chain(needed).chain(logsumexp).chain(last).collect()
    }

    fn from_list(list: &mut Next<impl Iterator<Item = T>>, outline: Outline) -> Self {
        Self {
            x: list.some(!outline.is_first),
            normed: list.two(),
            weights: list.two(),
            between: list.two(),
            logsumexp: list.some(matches!(outline.kind, Kind::Attention { .. })),
            last: list.some(outline.layer_scale),
        }
    }
}

impl<T> OfHalf<T> {
    fn into_list(self) -> Vec<T> {
        let Self { norm, weights, biases, layer_scale } = self;
        let needed = norm.into_iter().chain(weights);
        needed.chain(biases.into_iter().flatten()).chain(layer_scale).collect()
    }

    fn from_list(list: &mut Next<impl Iterator<Item = T>>, outline: Outline) -> Self {
        Self {
            norm: list.two(),
            weights: list.two(),
            biases: outline.biases.map(|is_there| list.some(is_there)),
            layer_scale: list.some(outline.layer_scale),
        }
    }
}

impl<T> Gradients<T> {
    fn into_list(self) -> Vec<T> {
        let halves = self.halves.into_iter().flat_map(OfHalf::into_list);
        std::iter::once(self.x).chain(halves).collect()
    }

    fn from_list(list: &mut Next<impl Iterator<Item = T>>, outlines: &[Outline]) -> Self {
        let x = list.one();
        let halves = outlines.iter().map(|&outline| OfHalf::from_list(list, outline)).collect();
        Self { x, halves }
    }
}

/// What forward has kept of a block.
#[derive(Clone, Debug)]
pub struct Kept(Vec<Saved<FloatTensor<Cube>>>);

fn saved_from<T>(list: &mut Next<impl Iterator<Item = T>>, outlines: &[Outline]) -> Vec<Saved<T>> {
    outlines.iter().map(|&outline| Saved::from_list(list, outline)).collect()
}

/// The result of a block, and what its backward pass needs.
///
/// # Panics
/// If it has no halves.
pub fn forward(block: Block<Values>) -> (Values, Kept) {
    let outlines = Outline::of(&block);
    let mut results = Next(run_forward(block, true).into_iter());
    (results.one(), Kept(saved_from(&mut results, &outlines)))
}

/// The result of a block that has no backward pass.
///
/// # Panics
/// If it has no halves.
pub fn result(block: Block<Values>) -> Values {
    Next(run_forward(block, false).into_iter()).one()
}

/// The result, and with `keep` what comes of it for backward.
fn run_forward(block: Block<Values>, keep: bool) -> Vec<Values> {
    assert!(!block.halves.is_empty(), "a block of nothing");
    let outlines = Outline::of(&block);
    let specs = match keep {
        true => specs(&block),
        false => vec![spec(&block.x)],
    };
    let run = move |tensors: Vec<_>| {
        let block = Block::from_list(&mut Next(tensors.into_iter()), &outlines);
        let (out, saved) = compute::forward(block, keep);
        std::iter::once(out).chain(saved.into_iter().flat_map(Saved::into_list)).collect()
    };
    register("block", block.into_list(), specs, run)
}

/// The gradients of a block, from that of its result.
pub fn backward(block: Block<Values>, Kept(saved): Kept, gradient: Values) -> Gradients<Values> {
    let outlines = Outline::of(&block);
    let of_half = |half: &Half<Values>| OfHalf {
        norm: half.norm.each_ref().map(spec),
        weights: half.weights.each_ref().map(spec),
        biases: half.biases.each_ref().map(|bias| bias.as_ref().map(spec)),
        layer_scale: half.layer_scale.as_ref().map(spec),
    };
    let specs = Gradients { x: spec(&block.x), halves: block.halves.iter().map(of_half).collect() };
    let run = {
        let outlines = outlines.clone();
        move |tensors: Vec<_>| {
            let mut tensors = Next(tensors.into_iter());
            let gradient = tensors.one();
            let block = Block::from_list(&mut tensors, &outlines);
            let saved = saved_from(&mut tensors, &outlines);
            compute::backward(block, saved, gradient).into_list()
        }
    };
    let saved = saved.into_iter().flat_map(Saved::into_list);
    let inputs = [gradient].into_iter().chain(block.into_list()).chain(saved);
    let results = register("block_backward", inputs.collect(), specs.into_list(), run);
    Gradients::from_list(&mut Next(results.into_iter()), &outlines)
}

/// The last dimensions of a block's input: batch, tokens and width.
fn last_three(shape: &Shape) -> [usize; 3] {
    let rank = shape.num_dims();
    [3, 2, 1].map(|from_last| shape[rank - from_last])
}

/// What the results of forward are.
fn specs(block: &Block<Values>) -> Vec<TensorSpec> {
    let [batch, tokens, width] = last_three(&block.x.shape);
    let rows = batch * tokens;
    let dtype = block.x.dtype;
    let of = |shape: &[usize]| TensorSpec::new(Shape::from(shape.to_vec()), dtype);
    let full = |shape: &[usize]| TensorSpec::new(Shape::from(shape.to_vec()), DType::F32);
    let saved = |(number, half): (usize, &Half<Values>)| {
        let [[_, first], [second, _]] = half.weights.each_ref().map(|weight| weight.shape.dims());
        let (between, logsumexp) = match half.kind {
            Kind::Attention { heads, .. } => {
                let between = [of(&[batch, tokens, first]), of(&[batch, tokens, second])];
                (between, Some(full(&[batch, heads, tokens])))
            }
            Kind::Mlp(_) => ([of(&[rows, first]), of(&[rows, second])], None),
        };
        Saved {
            x: (number > 0).then(|| of(&[rows, width])),
            normed: [of(&[rows, width]), full(&[rows, 2])],
            weights: half
                .weights
                .each_ref()
                .map(|weight| TensorSpec::new(weight.shape.clone(), dtype)),
            between,
            logsumexp,
            last: half.layer_scale.as_ref().map(|_| of(&[rows, width])),
        }
    };
    let saved = block.halves.iter().enumerate().map(saved);
    std::iter::once(spec(&block.x)).chain(saved.flat_map(Saved::into_list)).collect()
}
