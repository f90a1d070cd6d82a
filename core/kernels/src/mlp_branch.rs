//! The feed-forward half of a block: `x + scale * gamma * (act(layer_norm(x) W1 + b1) W2 + b2)`.
//!
//! Forward takes a block of rows through all of it while it lies in the core's cache. Backward needs
//! what came out of `W1`; it is either kept, or computed anew (activation checkpointing, Chen et al.
//! 2016).

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::{
    activation::Activation,
    convert::{operand, operand_len},
    element::Element,
    instances::instances,
    layer_norm::{KeptNorm, LayerNormGradients, NormBackward, NormOf, SharedNorm, normalize},
    linear::{Biased, Linear, LinearGradients, column_sums_of_block},
    matmul::{Epilogue, Left, Packed, Store, View, outer::outer, product},
    residual::{AddResidual, Residual, layer_scale_gradients},
    rows::{self, Kept, Shared, sum_partials},
    scratch,
    simd::{dispatch, load, store},
};

/// The parameters of an MLP branch.
#[derive(Clone, Copy, Debug)]
pub struct MlpBranch<'a> {
    /// What lies around it.
    pub residual: Residual<'a>,
    /// `[width, hidden]`
    pub fc1: Linear<'a>,
    /// `[hidden, width]`
    pub fc2: Linear<'a>,
    /// Between the two.
    pub activation: Activation,
}

/// What forward leaves for backward.
#[derive(Debug)]
pub struct MlpSaved<'a, T = f32> {
    /// `[kept_rows, hidden]`: what goes into the activation. Backward overwrites it.
    pub hidden: &'a mut [T],
    /// Where backward is not given `x`: of `kept_rows` rows. Never with `f32`.
    pub norm: Option<KeptNorm<'a, T>>,
}

/// The gradients of an MLP branch's parameters.
#[derive(Debug)]
pub struct MlpGradients<'a> {
    /// Of the LayerNorm.
    pub norm: LayerNormGradients<'a>,
    /// Of the first layer.
    pub fc1: LinearGradients<'a>,
    /// Of the second layer.
    pub fc2: LinearGradients<'a>,
    /// Of LayerScale, if there is one.
    pub layer_scale: Option<&'a mut [f32]>,
}

instances! {
    fn mlp_branch_forward(
        branch: &MlpBranch<'_>,
        x: &[f32],
        out: &mut [f32],
        saved: Option<MlpSaved<'_, Self>>,
    ) => branch.forward_as(x, out, saved);
    fn mlp_branch_backward(
        branch: &MlpBranch<'_>,
        x: &[f32],
        saved: Option<MlpSaved<'_, Self>>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: MlpGradients<'_>,
    ) => branch.backward_as(x, saved, gradient, x_gradient, gradients);
}

impl MlpBranch<'_> {
    fn hidden(&self) -> usize {
        self.fc1.outputs
    }

    /// `x` to `out`, both `[batch, tokens, width]`. Fills what backward needs, if that is asked for.
    /// Products, and what is kept, are of type `T`.
    pub fn forward<T: Instances>(
        &self,
        x: &[f32],
        out: &mut [f32],
        saved: Option<MlpSaved<'_, T>>,
    ) {
        T::mlp_branch_forward(self, x, out, saved);
    }

    pub(crate) fn forward_as<T: Element>(
        &self,
        x: &[f32],
        out: &mut [f32],
        saved: Option<MlpSaved<'_, T>>,
    ) {
        assert_eq!((x.len(), out.len()), (self.residual.len(), self.residual.len()));
        let kept = self.residual.kept();
        let width = self.residual.width();
        for rows in &kept.dropped {
            let rows = rows.start * width..rows.end * width;
            out[rows.clone()].copy_from_slice(&x[rows]);
        }
        let (hidden, norm) = saved.map(|saved| (saved.hidden, saved.norm)).unzip();
        let hidden = hidden.map(|hidden| {
            assert_eq!(hidden.len(), kept.rows * self.hidden());
            Shared::new(hidden)
        });
        let norm = norm.flatten().map(|norm| norm.shared(kept.rows, width));
        let out = Shared::new(out);
        Packed::<T>::lend(self.fc1.view(), None, |fc1| {
            Packed::<T>::lend(self.fc2.view(), None, |fc2| {
                rows::for_each(kept.blocks.len(), |task| {
                    let (rows, first) = kept.blocks[task].clone();
                    dispatch(Forward { mlp: self, x, rows, first, hidden, norm, out, fc1, fc2 });
                });
            });
        });
    }

    /// From the gradient of the result to those of `x` and of the parameters. Without `saved`, what
    /// forward computed is computed again; `x` is not looked at where its norm was saved.
    pub fn backward<T: Instances>(
        &self,
        x: &[f32],
        saved: Option<MlpSaved<'_, T>>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: MlpGradients<'_>,
    ) {
        T::mlp_branch_backward(self, x, saved, gradient, x_gradient, gradients);
    }

    pub(crate) fn backward_as<T: Element>(
        &self,
        x: &[f32],
        saved: Option<MlpSaved<'_, T>>,
        gradient: &[f32],
        x_gradient: &mut [f32],
        gradients: MlpGradients<'_>,
    ) {
        let len = self.residual.len();
        assert_eq!((gradient.len(), x_gradient.len()), (len, len));
        let kept = self.residual.kept();
        let (width, hidden) = (self.residual.width(), self.hidden());
        for rows in &kept.dropped {
            let rows = rows.start * width..rows.end * width;
            x_gradient[rows.clone()].copy_from_slice(&gradient[rows]);
        }
        let mut memory = scratch::take(self.residual.branch_gradient_len(&kept));
        let branch_gradient = self.residual.branch_gradient(&kept, gradient, &mut memory);
        let recompute = saved.is_none();
        let mut anew = scratch::take(if recompute { kept.rows * hidden } else { 0 });
        let (activated, norm) = match saved {
            Some(saved) => (saved.hidden, saved.norm),
            None => (&mut *anew, None),
        };
        assert_eq!(activated.len(), kept.rows * hidden);
        assert!(norm.is_some() || x.len() == len);
        let mut hidden_gradient = scratch::take::<T>(kept.rows * hidden);
        let len = if norm.is_some() { 0 } else { kept.rows * width };
        let mut memory = scratch::take::<T>(len);
        let (normalized, statistics) = match norm.map(|norm| norm.into_parts(kept.rows, width)) {
            Some((units, statistics)) => (units, Some(&*statistics)),
            None => (&mut *memory, None),
        };
        let mut sums = scratch::take(kept.blocks.len() * self.partial_len());
        self.rows_backward(
            &kept,
            x,
            gradient,
            branch_gradient,
            recompute,
            activated,
            &mut hidden_gradient,
            normalized,
            statistics,
            x_gradient,
            &mut sums,
        );
        outer::<T, _, _>(
            View::new(activated, kept.rows, hidden),
            View::new(branch_gradient, kept.rows, width),
            gradients.fc2.weight,
        );
        outer::<T, _, _>(
            View::new(normalized, kept.rows, width),
            View::new(&hidden_gradient, kept.rows, hidden),
            gradients.fc1.weight,
        );
        let mut total = scratch::take(self.partial_len());
        sum_partials(&sums, &mut total);
        let (norm_weight, rest) = total.split_at_mut(width);
        let (norm_bias, rest) = rest.split_at_mut(width);
        let (fc2_bias, fc1_bias) = rest.split_at_mut(width);
        gradients.norm.weight.copy_from_slice(norm_weight);
        gradients.norm.bias.copy_from_slice(norm_bias);
        if let (Some(layer_scale), Some(out)) = (self.residual.layer_scale, gradients.layer_scale) {
            let (weight, bias) = (self.fc2.weight, self.fc2.bias);
            layer_scale_gradients(layer_scale, weight, bias, gradients.fc2.weight, fc2_bias, out);
        }
        if let Some(bias) = gradients.fc1.bias {
            bias.copy_from_slice(fc1_bias);
        }
        if let Some(bias) = gradients.fc2.bias {
            bias.copy_from_slice(fc2_bias);
        }
    }

    /// Sums of each block: of LayerNorm's two gradients and of both biases.
    fn partial_len(&self) -> usize {
        3 * self.residual.width() + self.hidden()
    }

    #[allow(clippy::too_many_arguments)]
    fn rows_backward<T: Element>(
        &self,
        kept: &Kept,
        x: &[f32],
        gradient: &[f32],
        branch_gradient: &[f32],
        recompute: bool,
        activated: &mut [T],
        hidden_gradient: &mut [T],
        normalized: &mut [T],
        statistics: Option<&[f32]>,
        x_gradient: &mut [f32],
        sums: &mut [f32],
    ) {
        let [activated, hidden_gradient, normalized] =
            [activated, hidden_gradient, normalized].map(Shared::new);
        let [x_gradient, sums] = [x_gradient, sums].map(Shared::new);
        // LayerScale goes into the weights, so that the gradient need not be scaled.
        Packed::<T>::lend(self.fc2.view().transposed(), self.residual.layer_scale, |fc2_back| {
            Packed::<T>::lend(self.fc1.view().transposed(), None, |fc1_back| {
                let run = |fc1: Option<Packed<'_, T>>| {
                    rows::for_each(kept.blocks.len(), |task| {
                        let (rows, first) = kept.blocks[task].clone();
                        dispatch(Backward {
                            mlp: self,
                            x,
                            gradient,
                            branch_gradient,
                            rows,
                            first,
                            task,
                            fc1,
                            fc1_back,
                            fc2_back,
                            activated,
                            hidden_gradient,
                            normalized,
                            statistics,
                            x_gradient,
                            sums,
                        });
                    });
                };
                match recompute {
                    true => Packed::lend(self.fc1.view(), None, |fc1| run(Some(fc1))),
                    false => run(None),
                }
            });
        });
    }
}

/// One block of rows, forward.
struct Forward<'a, T> {
    mlp: &'a MlpBranch<'a>,
    x: &'a [f32],
    rows: Range<usize>,
    first: usize,
    hidden: Option<Shared<T>>,
    norm: Option<SharedNorm<T>>,
    out: Shared,
    fc1: Packed<'a, T>,
    fc2: Packed<'a, T>,
}

impl<T: Element> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let residual = &self.mlp.residual;
        let (width, hidden, rows) = (residual.width(), self.mlp.hidden(), self.rows.len());
        let x = &self.x[self.rows.start * width..self.rows.end * width];
        let mut memory = scratch::take::<T>(rows * (width + hidden));
        let (normalized, activated) = memory.split_at_mut(rows * width);
        let mut statistics = scratch::take(rows * 2);
        // SAFETY: each block has rows of its own.
        let kept = self.norm.map(|norm| unsafe { norm.rows(self.first, rows, width) });
        let (units, statistics) = match kept {
            Some((units, statistics)) => (Some(units), statistics),
            None => (None, &mut *statistics),
        };
        normalize(simd, residual.norm, x, normalized, statistics, units);
        // SAFETY: each block has rows of its own, and memory is as large as the products.
        unsafe {
            product(
                simd,
                Left::rows(normalized, width),
                &self.fc1,
                &Activate {
                    bias: self.mlp.fc1.bias,
                    activation: self.mlp.activation,
                    before: self.hidden.map(|memory| memory.at(self.first * hidden)),
                    to: activated.as_mut_ptr(),
                    width: hidden,
                },
            );
            product(
                simd,
                Left::rows(activated, hidden),
                &self.fc2,
                &AddResidual {
                    bias: self.mlp.fc2.bias,
                    layer_scale: residual.layer_scale,
                    factor: residual.factor(self.rows.start),
                    x: x.as_ptr(),
                    to: self.out.at(self.rows.start * width),
                    width,
                },
            );
        }
    }
}

/// Adds the bias, keeps that where backward wants it, and activates.
struct Activate<'a, T> {
    bias: Option<&'a [f32]>,
    activation: Activation,
    before: Option<*mut T>,
    to: *mut T,
    width: usize,
}

impl<T: Element> Epilogue for Activate<'_, T> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: memory is as large as the product, and the bias as wide.
        unsafe {
            let mut value = sums;
            if let Some(bias) = self.bias {
                value = simd.add_f32s(value, load(simd, bias.as_ptr().add(column), count));
            }
            let at = row * self.width + column;
            if let Some(before) = self.before {
                store(simd, before.add(at), count, value);
            }
            store(simd, self.to.add(at), count, self.activation.value(simd, value));
        }
    }
}

/// One block of rows, backward.
struct Backward<'a, T> {
    mlp: &'a MlpBranch<'a>,
    x: &'a [f32],
    gradient: &'a [f32],
    branch_gradient: &'a [f32],
    rows: Range<usize>,
    first: usize,
    task: usize,
    fc1: Option<Packed<'a, T>>,
    fc1_back: Packed<'a, T>,
    fc2_back: Packed<'a, T>,
    activated: Shared<T>,
    hidden_gradient: Shared<T>,
    /// Where what went into the first layer goes; it may have been saved there without its scale.
    normalized: Shared<T>,
    /// Those of the LayerNorm's rows, if that was saved.
    statistics: Option<&'a [f32]>,
    x_gradient: Shared,
    sums: Shared,
}

impl<T: Element> WithSimd for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let residual = &self.mlp.residual;
        let (width, hidden, rows) = (residual.width(), self.mlp.hidden(), self.rows.len());
        let whole = self.rows.start * width..self.rows.end * width;
        let mut memory = scratch::take(rows * (width + 2));
        let (normalized_gradient, new_statistics) = memory.split_at_mut(rows * width);
        // SAFETY: each block has rows, and sums, of its own.
        let (activated, hidden_gradient, normalized, x_gradient, sums) = unsafe {
            let len = self.mlp.partial_len();
            (
                self.activated.slice(self.first * hidden, rows * hidden),
                self.hidden_gradient.slice(self.first * hidden, rows * hidden),
                self.normalized.slice(self.first * width, rows * width),
                self.x_gradient.slice(whole.start, whole.len()),
                self.sums.slice(self.task * len, len),
            )
        };
        let known = match self.statistics {
            Some(statistics) => NormOf::Saved(&statistics[self.first * 2..][..rows * 2]),
            None => NormOf::Input(&self.x[whole.clone()], new_statistics),
        };
        // In `f32` the normalised values are the operand.
        let again = T::BRIEF && self.fc1.is_some();
        let mut operand_memory = scratch::take::<T>(if again { rows * width } else { 0 });
        let operand_of_fc1 = again.then_some(&mut *operand_memory);
        let norm = NormBackward::begin(simd, residual.norm, known, normalized, operand_of_fc1);
        let branch_gradient = match residual.sample_scales {
            Some(_) => &self.branch_gradient[self.first * width..][..rows * width],
            None => &self.branch_gradient[whole.clone()],
        };
        let mut memory = scratch::take(operand_len::<f32, T>(branch_gradient));
        let incoming = operand::<S, f32, T>(simd, branch_gradient, &mut memory);
        // SAFETY: memory is as large as the products.
        unsafe {
            if let Some(fc1) = self.fc1 {
                product(
                    simd,
                    Left::rows(if again { &operand_memory } else { norm.normalized() }, width),
                    &fc1,
                    &Biased { bias: self.mlp.fc1.bias, to: activated.as_mut_ptr(), width: hidden },
                );
            }
            product(
                simd,
                Left::rows(incoming, width),
                &self.fc2_back,
                &Differentiate {
                    activation: self.mlp.activation,
                    hidden: activated.as_mut_ptr(),
                    to: hidden_gradient.as_mut_ptr(),
                    width: hidden,
                },
            );
            product(
                simd,
                Left::rows(hidden_gradient, hidden),
                &self.fc1_back,
                &Store {
                    to: normalized_gradient.as_mut_ptr(),
                    row_stride: width,
                    factor: 1.0,
                    add: false,
                },
            );
        }
        let (norm_weight, rest) = sums.split_at_mut(width);
        let (norm_bias, rest) = rest.split_at_mut(width);
        let (fc2_bias, fc1_bias) = rest.split_at_mut(width);
        norm_weight.fill(0.0);
        norm_bias.fill(0.0);
        let residual = &self.gradient[whole];
        norm.finish(simd, normalized_gradient, residual, x_gradient, norm_weight, norm_bias);
        column_sums_of_block(simd, branch_gradient, fc2_bias);
        column_sums_of_block(simd, hidden_gradient, fc1_bias);
    }
}

/// Multiplies with the activation's derivative, and puts the activation in the place of what went
/// into it.
struct Differentiate<T> {
    activation: Activation,
    hidden: *mut T,
    to: *mut T,
    width: usize,
}

impl<T: Element> Epilogue for Differentiate<T> {
    #[inline(always)]
    unsafe fn take<S: Simd>(
        &self,
        simd: S,
        row: usize,
        column: usize,
        count: usize,
        sums: S::f32s,
    ) {
        // SAFETY: memory is as large as the product.
        unsafe {
            let at = row * self.width + column;
            let hidden = load(simd, self.hidden.add(at), count);
            let (value, derivative) = self.activation.with_derivative(simd, hidden);
            store(simd, self.hidden.add(at), count, value);
            store(simd, self.to.add(at), count, simd.mul_f32s(sums, derivative));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        layer_norm::LayerNorm,
        testing::{self, all_differences, assert_close, on_each_instruction_set, values},
    };

    /// The activations in f64, `Phi` by its series.
    fn activate(activation: Activation, x: f64) -> f64 {
        match activation {
            Activation::Gelu => {
                let (mut term, mut sum, mut n) = (x, x, 0.0);
                while term.abs() > 1e-18 {
                    n += 1.0;
                    term *= -x * x / (2.0 * n);
                    sum += term / (2.0 * n + 1.0);
                }
                x * (0.5 + sum / std::f64::consts::TAU.sqrt())
            }
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
                0.5 * x * (1.0 + inner.tanh())
            }
        }
    }

    #[test]
    fn values_and_gradients_are_exact() {
        on_each_instruction_set(|set| {
            for activation in [Activation::Gelu, Activation::GeluTanh] {
                for scales in [None, Some([1.25f32, 0.0, 1.25])] {
                    for scaled in [false, true] {
                        for recompute in [false, true] {
                            let name = format!("{set:?} {activation:?} {scales:?} {scaled}");
                            check(&name, activation, scales, scaled, recompute);
                        }
                    }
                }
            }
        });
    }

    fn check(
        name: &str,
        activation: Activation,
        scales: Option<[f32; 3]>,
        scaled: bool,
        recompute: bool,
    ) {
        let (batch, tokens, width, hidden) = (3, 5, 7, 19);
        let x = values(batch * tokens * width, 1);
        let gradient = values(x.len(), 2);
        let [norm_weight, norm_bias, fc2_bias, gamma] = [3, 4, 5, 6].map(|s| values(width, s));
        let [fc1, fc2] = [7, 8].map(|seed| values(width * hidden, seed));
        let fc1_bias = values(hidden, 9);
        let norm = LayerNorm { weight: &norm_weight, bias: &norm_bias, eps: 1e-3 };
        let mlp = MlpBranch {
            residual: Residual {
                batch,
                tokens,
                norm,
                layer_scale: scaled.then_some(&gamma[..]),
                sample_scales: scales.as_ref().map(|scales| &scales[..]),
            },
            fc1: Linear { weight: &fc1, bias: Some(&fc1_bias), inputs: width, outputs: hidden },
            fc2: Linear { weight: &fc2, bias: Some(&fc2_bias), inputs: hidden, outputs: width },
            activation,
        };
        let inputs = [&x[..], &norm_weight, &norm_bias, &fc1, &fc1_bias, &fc2, &fc2_bias, &gamma];
        let exact = |inputs: &[Vec<f64>]| {
            let [x, norm_weight, norm_bias, fc1, fc1_bias, fc2, fc2_bias, gamma] = inputs else {
                unreachable!()
            };
            let x1 = testing::layer_norm(x, norm_weight, norm_bias, f64::from(1e-3f32));
            let hidden: Vec<f64> = testing::linear(&x1, fc1, fc1_bias)
                .into_iter()
                .map(|x| activate(activation, x))
                .collect();
            let branch = testing::linear(&hidden, fc2, fc2_bias);
            let ones = vec![1.0; width];
            let scales = testing::wide(&scales.unwrap_or([1.0; 3]));
            testing::add_branch(x, &branch, if scaled { gamma } else { &ones }, &scales)
        };
        let mut out = vec![f32::NAN; x.len()];
        let mut kept = vec![f32::NAN; mlp.residual.kept_rows() * hidden];
        mlp.forward(
            &x,
            &mut out,
            (!recompute).then_some(MlpSaved { hidden: &mut kept, norm: None }),
        );
        assert_close(name, &out, &exact(&inputs.map(testing::wide)), 3e-6);
        let mut got = inputs.map(|input| vec![f32::NAN; input.len()]);
        let [dx, dnorm_weight, dnorm_bias, dfc1, dfc1_bias, dfc2, dfc2_bias, dgamma] = &mut got;
        mlp.backward(
            &x,
            (!recompute).then_some(MlpSaved { hidden: &mut kept, norm: None }),
            &gradient,
            dx,
            MlpGradients {
                norm: LayerNormGradients { weight: dnorm_weight, bias: dnorm_bias },
                fc1: LinearGradients { weight: dfc1, bias: Some(dfc1_bias) },
                fc2: LinearGradients { weight: dfc2, bias: Some(dfc2_bias) },
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
