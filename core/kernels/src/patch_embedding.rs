//! Images to tokens: each patch times the projection, plus its position, behind the tokens that every
//! image starts with (Dosovitskiy et al. 2021).
//!
//! Patches are cut out while a block of tokens is computed, and again for backward: they are never
//! stored for a whole batch between the two.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::{
    element::Element,
    instances::instances,
    linear::{Linear, LinearGradients, column_sums},
    matmul::{Epilogue, Left, Packed, View, outer::outer, product},
    rows::{self, Shared},
    scratch,
    simd::{dispatch, load, store},
};

/// The sizes and the parameters of a patch embedding.
#[derive(Clone, Copy, Debug)]
pub struct PatchEmbedding<'a> {
    /// Images.
    pub batch: usize,
    /// Rows and columns of patches in an image, which they fill.
    pub grid: [usize; 2],
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Channels of a pixel.
    pub channels: usize,
    /// `[patch * patch * channels, width]`, rows in the order (row, column, channel).
    pub proj: Linear<'a>,
    /// Added to the tokens of patches: `[patches, width]`.
    pub positions: Option<&'a [f32]>,
    /// The tokens that come first, their positions added: `[prefix tokens, width]`.
    pub prefix: &'a [f32],
}

/// The gradients of a patch embedding's parameters.
#[derive(Debug)]
pub struct PatchEmbeddingGradients<'a> {
    /// Of the projection.
    pub proj: LinearGradients<'a>,
    /// Of the positions, if there are any: `[patches, width]`.
    pub positions: Option<&'a mut [f32]>,
    /// Of the tokens that come first: `[prefix tokens, width]`.
    pub prefix: &'a mut [f32],
}

instances! {
    fn patch_embedding_forward(embedding: &PatchEmbedding<'_>, images: &[Self], out: &mut [f32]) =>
        embedding.forward_as(images, out);
    fn patch_embedding_backward(
        embedding: &PatchEmbedding<'_>,
        images: &[Self],
        gradient: &[f32],
        image_gradient: Option<&mut [Self]>,
        gradients: PatchEmbeddingGradients<'_>,
    ) => embedding.backward_as(images, gradient, image_gradient, gradients);
}

impl PatchEmbedding<'_> {
    fn width(&self) -> usize {
        self.proj.outputs
    }

    fn prefix_tokens(&self) -> usize {
        self.prefix.len() / self.width()
    }

    fn patches(&self) -> usize {
        self.grid[0] * self.grid[1]
    }

    /// Tokens of each image.
    pub fn tokens(&self) -> usize {
        self.prefix_tokens() + self.patches()
    }

    fn image_len(&self) -> usize {
        self.patches() * self.proj.inputs
    }

    /// `images`, `[batch, height, width, channels]`, to `out`, `[batch, tokens, width]`. Multiplies
    /// in the type of `images`.
    pub fn forward<T: Instances>(&self, images: &[T], out: &mut [f32]) {
        T::patch_embedding_forward(self, images, out);
    }

    pub(crate) fn forward_as<T: Element>(&self, images: &[T], out: &mut [f32]) {
        self.check(images);
        let rows = self.batch * self.tokens();
        assert_eq!(out.len(), rows * self.width());
        let out = Shared::new(out);
        let blocks = rows::blocks::<T>(rows);
        Packed::<T>::lend(self.proj.view(), None, |weight| {
            rows::for_each(blocks.len(), |task| {
                let rows = blocks[task].clone();
                dispatch(Forward { embedding: self, images, rows, weight, out });
            });
        });
    }

    /// From the gradient of the result to those of the parameters and, where it is wanted, of the
    /// images.
    pub fn backward<T: Instances>(
        &self,
        images: &[T],
        gradient: &[f32],
        image_gradient: Option<&mut [T]>,
        gradients: PatchEmbeddingGradients<'_>,
    ) {
        T::patch_embedding_backward(self, images, gradient, image_gradient, gradients);
    }

    pub(crate) fn backward_as<T: Element>(
        &self,
        images: &[T],
        gradient: &[f32],
        image_gradient: Option<&mut [T]>,
        gradients: PatchEmbeddingGradients<'_>,
    ) {
        self.check(images);
        let (rows, inputs, width) = (self.batch * self.tokens(), self.proj.inputs, self.width());
        assert_eq!(gradient.len(), rows * width);
        let mut patches = scratch::take::<T>(rows * inputs);
        let shared = Shared::new(&mut patches);
        let blocks = rows::blocks::<T>(rows);
        rows::for_each(blocks.len(), |task| {
            let rows = &blocks[task];
            // SAFETY: each block has rows of its own.
            let patches = unsafe { shared.slice(rows.start * inputs, rows.len() * inputs) };
            self.cut(images, rows.clone(), patches);
        });
        // Tokens that come first have no patch: their rows are zero, and add nothing here.
        let patches_view = View::new(&patches, rows, inputs);
        outer::<T, _, _>(patches_view, View::new(gradient, rows, width), gradients.proj.weight);

        let mut sums = scratch::take(self.tokens() * width);
        self.sum_over_images(gradient, &mut sums);
        let (prefix, positions) = sums.split_at(self.prefix.len());
        gradients.prefix.copy_from_slice(prefix);
        if let Some(out) = gradients.positions {
            out.copy_from_slice(positions);
        }
        if let Some(bias) = gradients.proj.bias {
            column_sums(positions, bias);
        }
        if let Some(out) = image_gradient {
            assert_eq!(out.len(), images.len());
            self.proj.input_gradient_as::<T, _, _>(gradient, &mut patches);
            self.put_back(&patches, out);
        }
    }

    fn check<T>(&self, images: &[T]) {
        assert_eq!(self.proj.inputs, self.patch * self.patch * self.channels);
        assert_eq!(self.prefix.len(), self.prefix_tokens() * self.width());
        assert_eq!(images.len(), self.batch * self.image_len());
        let positions = self.positions.map_or(0, <[f32]>::len);
        assert!(positions == 0 || positions == self.patches() * self.width());
    }

    /// Calls `body` for each line of the patch of token `row`, counted over the whole batch: with the
    /// line's place in the patch and the one in the images. Tokens that come first have none.
    fn each_line(&self, row: usize, mut body: impl FnMut(Range<usize>, Range<usize>)) {
        let Some(patch) = (row % self.tokens()).checked_sub(self.prefix_tokens()) else { return };
        let (line, columns) = (self.patch * self.channels, self.grid[1]);
        let image = row / self.tokens() * self.image_len();
        for y in 0..self.patch {
            let above = patch / columns * self.patch + y;
            let at = image + (above * columns + patch % columns) * line;
            body(y * line..(y + 1) * line, at..at + line);
        }
    }

    /// The patches of some tokens of the batch, one a row; zeros for those that come first.
    fn cut<T: Element>(&self, images: &[T], rows: Range<usize>, patches: &mut [T]) {
        for (row, patch) in rows.zip(patches.chunks_exact_mut(self.proj.inputs)) {
            if row % self.tokens() < self.prefix_tokens() {
                patch.fill(T::default());
            }
            self.each_line(row, |to, from| patch[to].copy_from_slice(&images[from]));
        }
    }

    /// What [`PatchEmbedding::cut`] does, the other way round, for the whole batch.
    fn put_back<T: Element>(&self, patches: &[T], images: &mut [T]) {
        let (image_len, inputs, tokens) = (self.image_len(), self.proj.inputs, self.tokens());
        let images = Shared::new(images);
        rows::for_each(self.batch, |sample| {
            // SAFETY: each task has an image of its own.
            let image = unsafe { images.slice(sample * image_len, image_len) };
            for row in sample * tokens..(sample + 1) * tokens {
                self.each_line(row, |from, to| {
                    let to = to.start - sample * image_len..to.end - sample * image_len;
                    image[to].copy_from_slice(&patches[row * inputs..][from]);
                });
            }
        });
    }

    /// The sum of each token's gradient over the images, `[tokens, width]`.
    fn sum_over_images(&self, gradient: &[f32], sums: &mut [f32]) {
        let width = self.width();
        let each_image = self.tokens() * width;
        let blocks = rows::blocks::<f32>(self.tokens());
        let sums = Shared::new(sums);
        rows::for_each(blocks.len(), |task| {
            let part = blocks[task].start * width..blocks[task].end * width;
            // SAFETY: each block has tokens of its own.
            let sums = unsafe { sums.slice(part.start, part.len()) };
            sums.fill(0.0);
            for gradient in gradient.chunks_exact(each_image) {
                let gradient = &gradient[part.clone()];
                sums.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
            }
        });
    }
}

/// A block of tokens.
struct Forward<'a, T> {
    embedding: &'a PatchEmbedding<'a>,
    images: &'a [T],
    rows: Range<usize>,
    weight: Packed<'a, T>,
    out: Shared,
}

impl<T: Element> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (inputs, width) = (self.embedding.proj.inputs, self.embedding.width());
        let mut patches = scratch::take::<T>(self.rows.len() * inputs);
        self.embedding.cut(self.images, self.rows.clone(), &mut patches);
        let tokens = Tokens {
            embedding: self.embedding,
            first: self.rows.start,
            // SAFETY: each block has rows of its own.
            to: unsafe { self.out.at(self.rows.start * width) },
        };
        // SAFETY: a patch is as long as the projection is deep, and the memory as the product.
        unsafe { product(simd, Left::rows(&patches, inputs), &self.weight, &tokens) };
    }
}

/// Adds bias and position, or puts the token in its place that comes first.
struct Tokens<'a> {
    embedding: &'a PatchEmbedding<'a>,
    /// The first row's place in the batch.
    first: usize,
    to: *mut f32,
}

impl Epilogue for Tokens<'_> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        let PatchEmbedding { proj, positions, prefix, .. } = self.embedding;
        let (token, width) = ((self.first + row) % self.embedding.tokens(), proj.outputs);
        // SAFETY: memory is as large as the product, the bias as wide, and there is a position for
        // each patch.
        unsafe {
            let value = match token.checked_sub(self.embedding.prefix_tokens()) {
                None => load(simd, prefix.as_ptr().add(token * width + column), count),
                Some(patch) => {
                    let mut value = sums;
                    if let Some(bias) = proj.bias {
                        let bias = load(simd, bias.as_ptr().add(column), count);
                        value = simd.add_f32s(value, bias);
                    }
                    if let Some(positions) = positions {
                        let position = positions.as_ptr().add(patch * width + column);
                        value = simd.add_f32s(value, load(simd, position, count));
                    }
                    value
                }
            };
            store(simd, self.to.add(row * width + column), count, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, all_differences, assert_close, on_each_instruction_set, values};

    const GRID: [usize; 2] = [2, 3];
    const PATCH: usize = 2;
    const CHANNELS: usize = 3;
    const INPUTS: usize = PATCH * PATCH * CHANNELS;
    const WIDTH: usize = 5;

    /// Pixel by pixel.
    fn exact(batch: usize, inputs: &[Vec<f64>]) -> Vec<f64> {
        let [images, weight, bias, positions, prefix] = inputs else { unreachable!() };
        let mut out = Vec::new();
        for image in images.chunks(images.len() / batch) {
            out.extend(prefix);
            for (row, column) in (0..GRID[0]).flat_map(|y| (0..GRID[1]).map(move |x| (y, x))) {
                let mut patch = Vec::new();
                for (y, x) in (0..PATCH).flat_map(|y| (0..PATCH).map(move |x| (y, x))) {
                    let pixel = (row * PATCH + y) * GRID[1] * PATCH + column * PATCH + x;
                    patch.extend(&image[pixel * CHANNELS..][..CHANNELS]);
                }
                let token = testing::linear(&patch, weight, bias);
                let at = (row * GRID[1] + column) * WIDTH;
                let position = |i: usize| positions.get(at + i).unwrap_or(&0.0);
                out.extend(token.iter().enumerate().map(|(i, value)| value + position(i)));
            }
        }
        out
    }

    #[test]
    fn values_and_gradients_are_exact() {
        on_each_instruction_set(|set| {
            for (batch, prefix_tokens, with_positions) in [(1, 0, false), (3, 2, true)] {
                let patches = GRID[0] * GRID[1];
                let images = values(batch * patches * INPUTS, 1);
                let (weight, bias) = (values(INPUTS * WIDTH, 2), values(WIDTH, 3));
                let positions = values(if with_positions { patches * WIDTH } else { 0 }, 4);
                let prefix = values(prefix_tokens * WIDTH, 5);
                let embedding = PatchEmbedding {
                    batch,
                    grid: GRID,
                    patch: PATCH,
                    channels: CHANNELS,
                    proj: Linear {
                        weight: &weight,
                        bias: Some(&bias),
                        inputs: INPUTS,
                        outputs: WIDTH,
                    },
                    positions: with_positions.then_some(&positions[..]),
                    prefix: &prefix,
                };
                let name = format!("{set:?}, batch {batch}");
                let inputs = [&images[..], &weight, &bias, &positions, &prefix];
                let mut out = vec![f32::NAN; batch * (prefix_tokens + patches) * WIDTH];
                embedding.forward(&images, &mut out);
                let exact = |inputs: &[Vec<f64>]| exact(batch, inputs);
                assert_close(&name, &out, &exact(&inputs.map(testing::wide)), 1e-6);

                let gradient = values(out.len(), 6);
                let mut got = inputs.map(|input| vec![f32::NAN; input.len()]);
                let [dimages, dweight, dbias, dpositions, dprefix] = &mut got;
                embedding.backward(
                    &images,
                    &gradient,
                    Some(dimages),
                    PatchEmbeddingGradients {
                        proj: LinearGradients { weight: dweight, bias: Some(dbias) },
                        positions: with_positions.then_some(&mut dpositions[..]),
                        prefix: dprefix,
                    },
                );
                let expected = all_differences(&inputs, &gradient, exact);
                for (which, (got, exact)) in got.iter().zip(&expected).enumerate() {
                    assert_close(&format!("{name}, gradient {which}"), got, exact, 2e-6);
                }
            }
        });
    }
}
