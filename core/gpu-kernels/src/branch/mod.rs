//! A half of a block, `x + scale * gamma * f(layer_norm(x))` with attention or an MLP as `f`, in as few launches as its
//! products of matrices leave: as one operation of Burn's fusion, whose host time otherwise is that of dozens.
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
use burn_cubecl::Cube;

use crate::{
    bias::Activation,
    many::{Values, register, spec},
};

/// What lies between the two products.
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

/// What a branch is besides its tensors.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What lies between the two products.
    pub kind: Kind,
    /// Added to LayerNorm's variance.
    pub eps: f32,
}

/// The tensors of a branch.
#[derive(Clone, Debug)]
pub struct Branch<T> {
    /// `[.., batch, tokens, width]`.
    pub x: T,
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

/// The gradients of the tensors that have one.
pub struct Gradients<T> {
    /// As of [`Branch::x`].
    pub x: T,
    /// As of [`Branch::norm`].
    pub norm: [T; 2],
    /// As of [`Branch::weights`].
    pub weights: [T; 2],
    /// As of [`Branch::biases`].
    pub biases: [Option<T>; 2],
    /// As of [`Branch::layer_scale`].
    pub layer_scale: Option<T>,
}

/// What forward keeps for backward.
#[derive(Clone, Debug)]
struct Saved<T> {
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

/// Which of the tensors that may be left out are there.
#[derive(Clone, Copy)]
struct There {
    biases: [bool; 2],
    layer_scale: bool,
    sample_scales: bool,
    logsumexp: bool,
}

impl There {
    fn of<T>(branch: &Branch<T>, kind: Kind) -> Self {
        Self {
            biases: branch.biases.each_ref().map(Option::is_some),
            layer_scale: branch.layer_scale.is_some(),
            sample_scales: branch.sample_scales.is_some(),
            logsumexp: matches!(kind, Kind::Attention { .. }),
        }
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

impl<T> Branch<T> {
    fn into_list(self) -> Vec<T> {
        let Self { x, norm, weights, biases, layer_scale, sample_scales } = self;
        let needed = [x].into_iter().chain(norm).chain(weights);
        needed.chain(biases.into_iter().flatten()).chain(layer_scale).chain(sample_scales).collect()
    }

    fn from_list(list: &mut Next<impl Iterator<Item = T>>, there: There) -> Self {
        Self {
            x: list.one(),
            norm: list.two(),
            weights: list.two(),
            biases: there.biases.map(|is_there| list.some(is_there)),
            layer_scale: list.some(there.layer_scale),
            sample_scales: list.some(there.sample_scales),
        }
    }
}

impl<T> Saved<T> {
    fn into_list(self) -> Vec<T> {
        let Self { normed, weights, between, logsumexp, last } = self;
        let needed = normed.into_iter().chain(weights).chain(between);
        needed.chain(logsumexp).chain(last).collect()
    }

    fn from_list(list: &mut Next<impl Iterator<Item = T>>, there: There) -> Self {
        Self {
            normed: list.two(),
            weights: list.two(),
            between: list.two(),
            logsumexp: list.some(there.logsumexp),
            last: list.some(there.layer_scale),
        }
    }
}

impl<T> Gradients<T> {
    fn into_list(self) -> Vec<T> {
        let Self { x, norm, weights, biases, layer_scale } = self;
        let needed = [x].into_iter().chain(norm).chain(weights);
        needed.chain(biases.into_iter().flatten()).chain(layer_scale).collect()
    }

    fn from_list(list: &mut Next<impl Iterator<Item = T>>, there: There) -> Self {
        Self {
            x: list.one(),
            norm: list.two(),
            weights: list.two(),
            biases: there.biases.map(|is_there| list.some(is_there)),
            layer_scale: list.some(there.layer_scale),
        }
    }
}

/// What forward has kept of a branch.
#[derive(Clone, Debug)]
pub struct Kept(Saved<FloatTensor<Cube>>);

/// The result of a branch, and what its backward pass needs.
pub fn forward(branch: Branch<Values>, settings: Settings) -> (Values, Kept) {
    let there = There::of(&branch, settings.kind);
    let specs = specs(&branch, settings.kind);
    let run = move |tensors: Vec<_>| {
        let branch = Branch::from_list(&mut Next(tensors.into_iter()), there);
        let (out, saved) = compute::forward(branch, settings);
        std::iter::once(out).chain(saved.into_list()).collect()
    };
    let results = register("branch", branch.into_list(), specs, run);
    let mut results = Next(results.into_iter());
    (results.one(), Kept(Saved::from_list(&mut results, there)))
}

/// The gradients of a branch, from that of its result.
pub fn backward(
    branch: Branch<Values>,
    Kept(saved): Kept,
    gradient: Values,
    settings: Settings,
) -> Gradients<Values> {
    let there = There::of(&branch, settings.kind);
    let specs = Gradients {
        x: spec(&branch.x),
        norm: branch.norm.each_ref().map(spec),
        weights: branch.weights.each_ref().map(spec),
        biases: branch.biases.each_ref().map(|bias| bias.as_ref().map(spec)),
        layer_scale: branch.layer_scale.as_ref().map(spec),
    };
    let run = move |tensors: Vec<_>| {
        let mut tensors = Next(tensors.into_iter());
        let gradient = tensors.one();
        let branch = Branch::from_list(&mut tensors, there);
        let saved = Saved::from_list(&mut tensors, there);
        compute::backward(branch, saved, gradient, settings).into_list()
    };
    let inputs = [gradient].into_iter().chain(branch.into_list()).chain(saved.into_list());
    let results = register("branch_backward", inputs.collect(), specs.into_list(), run);
    Gradients::from_list(&mut Next(results.into_iter()), there)
}

/// The last dimensions of a branch's input: batch, tokens and width.
fn last_three(shape: &Shape) -> [usize; 3] {
    let rank = shape.num_dims();
    [3, 2, 1].map(|from_last| shape[rank - from_last])
}

/// What the results of forward are.
fn specs(branch: &Branch<Values>, kind: Kind) -> Vec<TensorSpec> {
    let [batch, tokens, width] = last_three(&branch.x.shape);
    let rows = batch * tokens;
    let dtype = branch.x.dtype;
    let of = |shape: &[usize]| TensorSpec::new(Shape::from(shape.to_vec()), dtype);
    let full = |shape: &[usize]| TensorSpec::new(Shape::from(shape.to_vec()), DType::F32);
    let [[_, first], [second, _]] = branch.weights.each_ref().map(|weight| weight.shape.dims());
    let (between, logsumexp) = match kind {
        Kind::Attention { heads, .. } => {
            let between = [of(&[batch, tokens, first]), of(&[batch, tokens, second])];
            (between, Some(full(&[batch, heads, tokens])))
        }
        Kind::Mlp(_) => ([of(&[rows, first]), of(&[rows, second])], None),
    };
    let saved = Saved {
        normed: [of(&[rows, width]), full(&[rows, 2])],
        weights: branch
            .weights
            .each_ref()
            .map(|weight| TensorSpec::new(weight.shape.clone(), dtype)),
        between,
        logsumexp,
        last: branch.layer_scale.as_ref().map(|_| of(&[rows, width])),
    };
    std::iter::once(spec(&branch.x)).chain(saved.into_list()).collect()
}
