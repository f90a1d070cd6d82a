//! What attention reads and writes, and how it lies.

use pulp::Simd;

use crate::{
    element::Element,
    matmul::{Format, View},
};

/// The sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Samples.
    pub batch: usize,
    /// Heads.
    pub heads: usize,
    /// Queries of each sample.
    pub queries: usize,
    /// Keys, and values, of each sample.
    pub keys: usize,
    /// Width of a query and of a key.
    pub head_dim: usize,
    /// Width of a value.
    pub value_dim: usize,
    /// Multiplies the scores.
    pub scale: f32,
}

/// How the vectors of each head lie in memory: one vector's values follow each other.
#[derive(Clone, Copy, Debug)]
pub struct HeadStrides {
    /// From the start of the memory.
    pub offset: usize,
    /// From one sample to the next.
    pub batch: usize,
    /// From one head to the next.
    pub head: usize,
    /// From one token to the next.
    pub token: usize,
}

impl HeadStrides {
    /// `[batch, heads, tokens, dim]`
    pub fn heads_first(heads: usize, tokens: usize, dim: usize) -> Self {
        Self { offset: 0, batch: heads * tokens * dim, head: tokens * dim, token: dim }
    }

    /// Part `part` of `parts` in `[batch, tokens, parts, heads, dim]`, as a packed projection gives
    /// queries, keys and values.
    pub fn packed(part: usize, parts: usize, heads: usize, tokens: usize, dim: usize) -> Self {
        let token = parts * heads * dim;
        Self { offset: part * heads * dim, batch: tokens * token, head: dim, token }
    }

    pub(super) fn at(&self, batch: usize, head: usize) -> usize {
        self.offset + batch * self.batch + head * self.head
    }

    pub(super) fn view<'a, T>(
        &self,
        data: &'a [T],
        batch: usize,
        head: usize,
        rows: usize,
        dim: usize,
    ) -> View<'a, T> {
        View::strided(&data[self.at(batch, head)..], rows, dim, self.token)
    }
}

/// Vectors of each head.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a, T = f32> {
    /// Their memory.
    pub data: &'a [T],
    /// How they lie there.
    pub strides: HeadStrides,
}

/// Memory for vectors of each head.
#[derive(Debug)]
pub struct HeadsMut<'a, T = f32> {
    /// The memory.
    pub data: &'a mut [T],
    /// How they lie there.
    pub strides: HeadStrides,
}

/// What goes into an attention, which multiplies in that type. Scores and their softmax are in `f32`.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a, T = f32> {
    /// The sizes.
    pub shape: AttentionShape,
    /// Queries.
    pub q: Heads<'a, T>,
    /// Keys.
    pub k: Heads<'a, T>,
    /// Values.
    pub v: Heads<'a, T>,
    /// Added to the scores: `[heads, queries, keys]`.
    pub bias: Option<&'a [f32]>,
}

/// What backward needs of forward's results.
#[derive(Clone, Copy, Debug)]
pub struct AttentionResult<'a, T = f32> {
    /// The result.
    pub out: Heads<'a, T>,
    /// `[batch, heads, queries]`: the logarithm of each row's sum of exponentials.
    pub logsumexp: &'a [f32],
}

/// The gradients that backward finds.
#[derive(Debug)]
pub struct AttentionGradients<'a, T = f32> {
    /// Where those of queries, keys and values go.
    pub memory: QkvMemory<'a, T>,
    /// How each of the three lies there.
    pub strides: [HeadStrides; 3],
    /// Of the bias, if it is wanted: `[heads, queries, keys]`.
    pub bias: Option<&'a mut [f32]>,
}

/// Memory for queries, keys and values.
#[derive(Debug)]
pub enum QkvMemory<'a, T = f32> {
    /// All three lie in one, as a packed projection has them.
    Packed(&'a mut [T]),
    /// Each has its own.
    Apart([&'a mut [T]; 3]),
}

/// Values of scores that a core holds at once.
const SCORES: usize = 48 * 1024;

impl AttentionShape {
    /// From one row of scores to the next: whole vectors, and as far as products read.
    pub(super) fn width<S: Simd, T: Element>(&self) -> usize {
        self.keys.next_multiple_of(S::F32_LANES).max(Format::of::<T>().values(self.keys))
    }

    /// Rows of scores that are computed at once.
    pub(super) fn block(&self, width: usize) -> usize {
        (SCORES / width.max(1) / 12 * 12).clamp(12, self.queries.max(12))
    }
}
