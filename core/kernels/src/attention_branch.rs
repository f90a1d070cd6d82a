//! The attention half of a block: `x + scale * gamma * (attention(layer_norm(x) Wqkv + b) Wproj + b)`.
//!
//! Queries, keys and values come from one packed projection and are read where they lie; the heads'
//! results are written where the next projection reads them. Backward needs the projection, the
//! heads' results and their sums.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::{
    attention::{
        Attention, AttentionGradients, AttentionResult, AttentionShape, HeadStrides, Heads,
        HeadsMut, QkvMemory,
    },
    convert::{operand, operand_len},
    element::Element,
    instances::instances,
    layer_norm::{KeptNorm, LayerNormGradients, NormBackward, NormOf, SharedNorm, normalize},
    linear::{Biased, Linear, LinearGradients, column_sums, column_sums_of_block},
    matmul::{Left, Packed, Store, View, outer::outer, product},
    residual::{AddResidual, Residual, layer_scale_gradients},
    rows::{self, Kept, Shared, sum_partials},
    scratch,
    simd::dispatch,
};

/// The parameters of an attention branch.
#[derive(Clone, Copy, Debug)]
pub struct AttentionBranch<'a> {
    /// What lies around it.
    pub residual: Residual<'a>,
    /// `[width, 3 * inner]`: queries, keys and values, each with its heads side by side.
    pub qkv: Linear<'a>,
    /// `[inner, width]`
    pub proj: Linear<'a>,
    /// Heads, which divide the inner width. That is the width, unless heads were pruned.
    pub heads: usize,
}

/// What forward leaves for backward.
#[derive(Debug)]
pub struct AttentionSaved<'a, T = f32> {
    /// `[kept_rows, 3 * inner]`
    pub qkv: &'a mut [T],
    /// `[kept_rows, inner]`: the heads' results.
    pub attended: &'a mut [T],
    /// `[kept_samples, heads, tokens]`
    pub logsumexp: &'a mut [f32],
    /// Where backward is not given `x`: of `kept_rows` rows. Never with `f32`.
    pub norm: Option<KeptNorm<'a, T>>,
}

/// The gradients of an attention branch's parameters.
#[derive(Debug)]
pub struct AttentionBranchGradients<'a> {
    /// Of the LayerNorm.
    pub norm: LayerNormGradients<'a>,
    /// Of the packed projection.
    pub qkv: LinearGradients<'a>,
    /// Of the projection of the heads' results.
    pub proj: LinearGradients<'a>,
    /// Of LayerScale, if there is one.
    pub layer_scale: Option<&'a mut [f32]>,
}

instances! {
    fn attention_branch_forward(
        branch: &AttentionBranch<'_>,
        x: &[f32],
        out: &mut [f32],
        saved: Option<AttentionSaved<'_, Self>>,
    ) => branch.forward_as(x, out, saved);
    fn attention_branch_backward(
        branch: &AttentionBranch<'_>,
        x: &[f32],
        saved: AttentionSaved<'_, Self>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: AttentionBranchGradients<'_>,
    ) => branch.backward_as(x, saved, gradient, x_gradient, gradients);
}

impl AttentionBranch<'_> {
    /// Width of all heads together.
    fn inner(&self) -> usize {
        self.proj.inputs
    }

    /// `x` to `out`, both `[batch, tokens, width]`. Fills what backward needs, if that is asked for.
    /// Products, and what is kept, are of type `T`.
    pub fn forward<T: Instances>(
        &self,
        x: &[f32],
        out: &mut [f32],
        saved: Option<AttentionSaved<'_, T>>,
    ) {
        T::attention_branch_forward(self, x, out, saved);
    }

    pub(crate) fn forward_as<T: Element>(
        &self,
        x: &[f32],
        out: &mut [f32],
        saved: Option<AttentionSaved<'_, T>>,
    ) {
        assert_eq!((x.len(), out.len()), (self.residual.len(), self.residual.len()));
        let kept = self.residual.kept();
        let (width, inner) = (self.residual.width(), self.inner());
        for rows in &kept.dropped {
            let rows = rows.start * width..rows.end * width;
            out[rows.clone()].copy_from_slice(&x[rows]);
        }
        let (mut memory, mut sums);
        let saved = match saved {
            Some(saved) => saved,
            None => {
                memory = scratch::take(kept.rows * 4 * inner);
                sums = scratch::take(kept.rows * self.heads);
                let (qkv, attended) = memory.split_at_mut(kept.rows * 3 * inner);
                AttentionSaved { qkv, attended, logsumexp: &mut sums, norm: None }
            }
        };
        let AttentionSaved { qkv, attended, logsumexp, norm } = saved;
        let norm = norm.map(|norm| norm.shared(kept.rows, width));
        self.attend(&kept, x, qkv, attended, logsumexp, norm);
        let out = Shared::new(out);
        let attended = &*attended;
        Packed::<T>::lend(self.proj.view(), None, |proj| {
            rows::for_each(kept.blocks.len(), |task| {
                let (rows, first) = kept.blocks[task].clone();
                dispatch(ProjectOut { branch: self, x, attended, rows, first, proj, out });
            });
        });
    }

    /// Sums of each block: of LayerNorm's two gradients and of the packed projection's bias.
    fn sums(&self) -> usize {
        2 * self.residual.width() + 3 * self.inner()
    }

    fn shape(&self, kept: &Kept) -> AttentionShape {
        let head_dim = self.inner() / self.heads;
        AttentionShape {
            batch: kept.samples.len(),
            heads: self.heads,
            queries: self.residual.tokens,
            keys: self.residual.tokens,
            head_dim,
            value_dim: head_dim,
            scale: (head_dim as f32).sqrt().recip(),
        }
    }

    /// Where queries, keys and values lie in the packed projection.
    fn strides(&self, shape: AttentionShape) -> [HeadStrides; 3] {
        [0, 1, 2].map(|part| {
            HeadStrides::packed(part, 3, self.heads, self.residual.tokens, shape.head_dim)
        })
    }

    fn attention<'q, T: Copy>(&self, kept: &Kept, qkv: &'q [T]) -> Attention<'q, T> {
        let shape = self.shape(kept);
        let [q, k, v] = self.strides(shape).map(|strides| Heads { data: qkv, strides });
        Attention { shape, q, k, v, bias: None }
    }

    /// Where the heads' results lie.
    fn attended_strides(&self) -> HeadStrides {
        let head_dim = self.inner() / self.heads;
        HeadStrides::packed(0, 1, self.heads, self.residual.tokens, head_dim)
    }

    /// From `x` to the heads' results.
    fn attend<T: Element>(
        &self,
        kept: &Kept,
        x: &[f32],
        qkv: &mut [T],
        attended: &mut [T],
        logsumexp: &mut [f32],
        norm: Option<SharedNorm<T>>,
    ) {
        let inner = self.inner();
        assert_eq!((qkv.len(), attended.len()), (kept.rows * 3 * inner, kept.rows * inner));
        let shared = Shared::new(qkv);
        Packed::<T>::lend(self.qkv.view(), None, |weight| {
            rows::for_each(kept.blocks.len(), |task| {
                let (rows, first) = kept.blocks[task].clone();
                dispatch(ProjectIn { branch: self, x, rows, first, weight, qkv: shared, norm });
            });
        });
        let strides = self.attended_strides();
        self.attention(kept, qkv).forward_as(HeadsMut { data: attended, strides }, logsumexp);
    }

    /// From the gradient of the result to those of `x` and of the parameters. `x` is not looked at where
    /// its norm was saved.
    pub fn backward<T: Instances>(
        &self,
        x: &[f32],
        saved: AttentionSaved<'_, T>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: AttentionBranchGradients<'_>,
    ) {
        T::attention_branch_backward(self, x, saved, gradient, x_gradient, gradients);
    }

    pub(crate) fn backward_as<T: Element>(
        &self,
        x: &[f32],
        saved: AttentionSaved<'_, T>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: AttentionBranchGradients<'_>,
    ) {
        let len = self.residual.len();
        assert_eq!((gradient.len(), x_gradient.len()), (len, len));
        assert!(saved.norm.is_some() || x.len() == len);
        let kept = self.residual.kept();
        let (width, inner) = (self.residual.width(), self.inner());
        for rows in &kept.dropped {
            let rows = rows.start * width..rows.end * width;
            x_gradient[rows.clone()].copy_from_slice(&gradient[rows]);
        }
        let mut memory = scratch::take(self.residual.branch_gradient_len(&kept));
        let branch_gradient = self.residual.branch_gradient(&kept, gradient, &mut memory);

        // Through the projection of the heads' results; LayerScale goes into its weights.
        let mut attended_gradient = scratch::take::<T>(kept.rows * inner);
        let shared = Shared::new(&mut attended_gradient);
        Packed::<T>::lend(self.proj.view().transposed(), self.residual.layer_scale, |proj| {
            let blocks = rows::blocks(kept.rows);
            rows::for_each(blocks.len(), |task| {
                let rows = &blocks[task];
                dispatch(Plain {
                    left: &branch_gradient[rows.start * width..rows.end * width],
                    right: proj,
                    // SAFETY: each task has rows of its own.
                    to: unsafe { shared.at(rows.start * inner) },
                    width: inner,
                });
            });
        });
        outer::<T, _, _>(
            View::new(saved.attended, kept.rows, inner),
            View::new(branch_gradient, kept.rows, width),
            gradients.proj.weight,
        );
        let mut proj_bias = scratch::take(width);
        column_sums(branch_gradient, &mut proj_bias);
        if let (Some(layer_scale), Some(out)) = (self.residual.layer_scale, gradients.layer_scale) {
            let (weight, bias) = (self.proj.weight, self.proj.bias);
            let proj_weight = &mut *gradients.proj.weight;
            layer_scale_gradients(layer_scale, weight, bias, proj_weight, &mut proj_bias, out);
        }
        if let Some(bias) = gradients.proj.bias {
            bias.copy_from_slice(&proj_bias);
        }

        // Through the attention.
        let mut qkv_gradient = scratch::take::<T>(kept.rows * 3 * inner);
        let attention = self.attention(&kept, saved.qkv);
        let strides = self.attended_strides();
        attention.backward_as(
            AttentionResult {
                out: Heads { data: saved.attended, strides },
                logsumexp: saved.logsumexp,
            },
            Heads { data: &attended_gradient, strides },
            AttentionGradients {
                memory: QkvMemory::Packed(&mut qkv_gradient),
                strides: self.strides(attention.shape),
                bias: None,
            },
        );

        // Through the packed projection and the LayerNorm.
        let len = if saved.norm.is_some() { 0 } else { kept.rows * width };
        let mut memory = scratch::take::<T>(len);
        let norm = saved.norm.map(|norm| norm.into_parts(kept.rows, width));
        let (normalized, statistics) = match norm {
            Some((units, statistics)) => (units, Some(&*statistics)),
            None => (&mut *memory, None),
        };
        let mut sums = scratch::take(kept.blocks.len() * self.sums());
        let shared_normalized = Shared::new(normalized);
        let [shared_out, shared_sums] = [x_gradient, &mut sums[..]].map(Shared::new);
        Packed::<T>::lend(self.qkv.view().transposed(), None, |weight| {
            rows::for_each(kept.blocks.len(), |task| {
                let (rows, first) = kept.blocks[task].clone();
                dispatch(BackIn {
                    branch: self,
                    x,
                    gradient,
                    qkv_gradient: &qkv_gradient,
                    rows,
                    first,
                    task,
                    weight,
                    normalized: shared_normalized,
                    statistics,
                    x_gradient: shared_out,
                    sums: shared_sums,
                });
            });
        });
        outer::<T, _, _>(
            View::new(normalized, kept.rows, width),
            View::new(&qkv_gradient, kept.rows, 3 * inner),
            gradients.qkv.weight,
        );
        let mut total = scratch::take(self.sums());
        sum_partials(&sums, &mut total);
        let (norm_weight, rest) = total.split_at(width);
        let (norm_bias, qkv_bias) = rest.split_at(width);
        gradients.norm.weight.copy_from_slice(norm_weight);
        gradients.norm.bias.copy_from_slice(norm_bias);
        if let Some(bias) = gradients.qkv.bias {
            bias.copy_from_slice(qkv_bias);
        }
    }
}

/// A block of rows normalised and projected to queries, keys and values.
struct ProjectIn<'a, T> {
    branch: &'a AttentionBranch<'a>,
    x: &'a [f32],
    rows: Range<usize>,
    first: usize,
    weight: Packed<'a, T>,
    qkv: Shared<T>,
    norm: Option<SharedNorm<T>>,
}

impl<T: Element> WithSimd for ProjectIn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let norm = self.branch.residual.norm;
        let (width, rows) = (norm.width(), self.rows.len());
        let projected = 3 * self.branch.inner();
        let mut normalized = scratch::take::<T>(rows * width);
        let mut statistics = scratch::take(rows * 2);
        let x = &self.x[self.rows.start * width..self.rows.end * width];
        // SAFETY: each block has rows of its own.
        let kept = self.norm.map(|norm| unsafe { norm.rows(self.first, rows, width) });
        let (units, statistics) = match kept {
            Some((units, statistics)) => (Some(units), statistics),
            None => (None, &mut *statistics),
        };
        normalize(simd, norm, x, &mut normalized, statistics, units);
        // SAFETY: each block has rows of its own, as large as the product.
        unsafe {
            product(
                simd,
                Left::rows(&normalized, width),
                &self.weight,
                &Biased {
                    bias: self.branch.qkv.bias,
                    to: self.qkv.at(self.first * projected),
                    width: projected,
                },
            );
        }
    }
}

/// A block of the heads' results, projected and added to the residual.
struct ProjectOut<'a, T> {
    branch: &'a AttentionBranch<'a>,
    x: &'a [f32],
    attended: &'a [T],
    rows: Range<usize>,
    first: usize,
    proj: Packed<'a, T>,
    out: Shared,
}

impl<T: Element> WithSimd for ProjectOut<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let residual = &self.branch.residual;
        let (width, start) = (residual.width(), self.rows.start * residual.width());
        let inner = self.branch.inner();
        let attended = &self.attended[self.first * inner..][..self.rows.len() * inner];
        // SAFETY: each block has rows of its own, as large as the product.
        unsafe {
            product(
                simd,
                Left::rows(attended, inner),
                &self.proj,
                &AddResidual {
                    bias: self.branch.proj.bias,
                    layer_scale: residual.layer_scale,
                    factor: residual.factor(self.rows.start),
                    x: self.x[start..self.rows.end * width].as_ptr(),
                    to: self.out.at(start),
                    width,
                },
            );
        }
    }
}

/// A product without anything more.
struct Plain<'a, T> {
    left: &'a [f32],
    right: Packed<'a, T>,
    to: *mut T,
    width: usize,
}

impl<T: Element> WithSimd for Plain<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let out = Store { to: self.to, row_stride: self.width, factor: 1.0, add: false };
        let mut memory = scratch::take(operand_len::<f32, T>(self.left));
        let left = operand(simd, self.left, &mut memory);
        // SAFETY: the rows are as long as the other operand is deep, the memory as the product.
        unsafe { product(simd, Left::rows(left, self.right.depth), &self.right, &out) };
    }
}

/// A block of rows, from the gradients of queries, keys and values to that of `x`.
struct BackIn<'a, T> {
    branch: &'a AttentionBranch<'a>,
    x: &'a [f32],
    gradient: &'a [f32],
    qkv_gradient: &'a [T],
    rows: Range<usize>,
    first: usize,
    task: usize,
    weight: Packed<'a, T>,
    /// Where what went into the projection goes; it may have been saved there without its scale.
    normalized: Shared<T>,
    /// Those of the LayerNorm's rows, if that was saved.
    statistics: Option<&'a [f32]>,
    x_gradient: Shared,
    sums: Shared,
}

impl<T: Element> WithSimd for BackIn<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let norm = self.branch.residual.norm;
        let (width, rows) = (norm.width(), self.rows.len());
        let whole = self.rows.start * width..self.rows.end * width;
        let projected = 3 * self.branch.inner();
        let qkv_gradient = &self.qkv_gradient[self.first * projected..][..rows * projected];
        let mut memory = scratch::take(rows * (width + 2));
        let (normalized_gradient, new_statistics) = memory.split_at_mut(rows * width);
        // SAFETY: each block has rows, and sums, of its own.
        let (normalized, x_gradient, sums) = unsafe {
            (
                self.normalized.slice(self.first * width, rows * width),
                self.x_gradient.slice(whole.start, whole.len()),
                self.sums.slice(self.task * self.branch.sums(), self.branch.sums()),
            )
        };
        let known = match self.statistics {
            Some(statistics) => NormOf::Saved(&statistics[self.first * 2..][..rows * 2]),
            None => NormOf::Input(&self.x[whole.clone()], new_statistics),
        };
        let norm = NormBackward::begin(simd, norm, known, normalized, None);
        // SAFETY: memory is as large as the product.
        unsafe {
            product(
                simd,
                Left::rows(qkv_gradient, projected),
                &self.weight,
                &Store {
                    to: normalized_gradient.as_mut_ptr(),
                    row_stride: width,
                    factor: 1.0,
                    add: false,
                },
            );
        }
        let (norm_weight, rest) = sums.split_at_mut(width);
        let (norm_bias, qkv_bias) = rest.split_at_mut(width);
        norm_weight.fill(0.0);
        norm_bias.fill(0.0);
        let residual = &self.gradient[whole];
        norm.finish(simd, normalized_gradient, residual, x_gradient, norm_weight, norm_bias);
        column_sums_of_block(simd, qkv_gradient, qkv_bias);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        layer_norm::LayerNorm,
        testing::{self, all_differences, assert_close, on_each_instruction_set, values},
    };

    const BATCH: usize = 3;
    const TOKENS: usize = 5;
    const WIDTH: usize = 6;
    const HEAD_WIDTH: usize = 3;

    /// From packed queries, keys and values to the heads' results, by plain loops.
    fn attend(qkv: &[f64], heads: usize) -> Vec<f64> {
        let (dim, inner) = (HEAD_WIDTH, heads * HEAD_WIDTH);
        let at = |sample: usize, token: usize, part: usize, head: usize, i: usize| {
            qkv[(sample * TOKENS + token) * 3 * inner + part * inner + head * dim + i]
        };
        let mut out = vec![0.0; BATCH * TOKENS * inner];
        for (sample, head) in (0..BATCH).flat_map(|s| (0..heads).map(move |h| (s, h))) {
            for query in 0..TOKENS {
                let weights: Vec<f64> = (0..TOKENS)
                    .map(|key| {
                        let product =
                            |i| at(sample, query, 0, head, i) * at(sample, key, 1, head, i);
                        ((0..dim).map(product).sum::<f64>() / (dim as f64).sqrt()).exp()
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                for i in 0..dim {
                    out[(sample * TOKENS + query) * inner + head * dim + i] = (0..TOKENS)
                        .map(|key| weights[key] / sum * at(sample, key, 2, head, i))
                        .sum();
                }
            }
        }
        out
    }

    #[test]
    fn values_and_gradients_are_exact() {
        on_each_instruction_set(|set| {
            for scales in [None, Some([0.0f32, 1.25, 1.25])] {
                for scaled in [false, true] {
                    // All heads, one that others were pruned beside, and more than the width has.
                    for heads in [2, 1, 3] {
                        let name = format!("{set:?} {scales:?} {scaled} {heads} heads");
                        check(&name, scales, scaled, heads);
                    }
                }
            }
        });
    }

    fn check(name: &str, scales: Option<[f32; 3]>, scaled: bool, heads: usize) {
        let inner = heads * HEAD_WIDTH;
        let x = values(BATCH * TOKENS * WIDTH, 1);
        let gradient = values(x.len(), 2);
        let [norm_weight, norm_bias, proj_bias, gamma] = [3, 4, 5, 6].map(|s| values(WIDTH, s));
        let (qkv, qkv_bias) = (values(WIDTH * 3 * inner, 7), values(3 * inner, 8));
        let proj = values(inner * WIDTH, 9);
        let norm = LayerNorm { weight: &norm_weight, bias: &norm_bias, eps: 1e-3 };
        let linear = |weight, bias, inputs, outputs| Linear { weight, bias, inputs, outputs };
        let branch = AttentionBranch {
            residual: Residual {
                batch: BATCH,
                tokens: TOKENS,
                norm,
                layer_scale: scaled.then_some(&gamma[..]),
                sample_scales: scales.as_ref().map(|scales| &scales[..]),
            },
            qkv: linear(&qkv, Some(&qkv_bias), WIDTH, 3 * inner),
            proj: linear(&proj, Some(&proj_bias), inner, WIDTH),
            heads,
        };
        let inputs = [&x[..], &norm_weight, &norm_bias, &qkv, &qkv_bias, &proj, &proj_bias, &gamma];
        let exact = |inputs: &[Vec<f64>]| {
            let [x, norm_weight, norm_bias, qkv, qkv_bias, proj, proj_bias, gamma] = inputs else {
                unreachable!()
            };
            let x1 = testing::layer_norm(x, norm_weight, norm_bias, f64::from(1e-3f32));
            let attended = attend(&testing::linear(&x1, qkv, qkv_bias), heads);
            let branch = testing::linear(&attended, proj, proj_bias);
            let ones = vec![1.0; WIDTH];
            let scales = testing::wide(&scales.unwrap_or([1.0; 3]));
            testing::add_branch(x, &branch, if scaled { gamma } else { &ones }, &scales)
        };
        let (rows, samples) = (branch.residual.kept_rows(), branch.residual.kept_samples());
        let mut out = vec![f32::NAN; x.len()];
        let (mut qkv_kept, mut attended) = (vec![0.0; rows * 3 * inner], vec![0.0; rows * inner]);
        let mut logsumexp = vec![0.0; samples * heads * TOKENS];
        macro_rules! saved {
            () => {
                AttentionSaved {
                    qkv: &mut qkv_kept,
                    attended: &mut attended,
                    logsumexp: &mut logsumexp,
                    norm: None,
                }
            };
        }
        branch.forward(&x, &mut out, Some(saved!()));
        assert_close(name, &out, &exact(&inputs.map(testing::wide)), 3e-6);
        let mut alone = vec![f32::NAN; x.len()];
        branch.forward::<f32>(&x, &mut alone, None);
        assert_eq!(alone, out, "{name}: whatever is kept");
        let mut got = inputs.map(|input| vec![f32::NAN; input.len()]);
        let [dx, dnorm_weight, dnorm_bias, dqkv, dqkv_bias, dproj, dproj_bias, dgamma] = &mut got;
        branch.backward(
            &x,
            saved!(),
            &gradient,
            dx,
            AttentionBranchGradients {
                norm: LayerNormGradients { weight: dnorm_weight, bias: dnorm_bias },
                qkv: LinearGradients { weight: dqkv, bias: Some(dqkv_bias) },
                proj: LinearGradients { weight: dproj, bias: Some(dproj_bias) },
                layer_scale: scaled.then_some(dgamma),
            },
        );
        let expected = all_differences(&inputs, &gradient, exact);
        for (which, (got, exact)) in got.iter().zip(&expected).enumerate() {
            if which < 7 || scaled {
                assert_close(&format!("{name}, gradient {which}"), got, exact, 2e-5);
            }
        }
    }
}
