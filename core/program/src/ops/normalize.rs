//! Normalisations along axes.

use super::call::Call;
use super::declare::{Rule, one, op};
use crate::array::{Array, lanes};
use crate::misfit::Misfit;
use crate::shape::Shape;
use crate::types::{DType, TensorType};

op! {
    /// `exp(x) / sum(exp(x))` along an axis, `f32` of any shape to the same. Large elements do not
    /// overflow.
    "softmax" Softmax(input: Required) {
        /// The axis along which the result sums to 1.
        axis: usize,
    }
}

impl Rule for Softmax {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        operands[0].expect("input", &[DType::F32])?;
        operands[0].axis(self.axis)?;
        one(operands[0].clone())
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let input = call.operands[0];
        let mut values = input.values().to_vec();
        for lane in lanes(input.shape(), &[self.axis]) {
            let logits: Vec<_> = lane.iter().map(|&at| values[at]).collect();
            for (at, weight) in lane.into_iter().zip(softmax(&logits)) {
                values[at] = weight;
            }
        }
        call.one(values)
    }
}

/// The softmax of one row.
pub(super) fn softmax(logits: &[f64]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<_> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

op! {
    /// `(x - mean) / sqrt(variance + epsilon) * scale + bias`, with mean and (biased) variance over
    /// some axes: `f32` of any shape to the same. Scale and bias have the shape of the input along
    /// the axes alone: `[64]` for `[B, 49, 64]` and axis 2.
    "layerNormalization" LayerNormalization(input: Required, scale: Optional, bias: Optional) {
        /// The axes to normalise over, in ascending order.
        axes: Vec<usize>,
        /// Added to the variance, more than 0.
        epsilon: f64 = 1e-5,
    }
}

impl Rule for LayerNormalization {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let input = &operands[0];
        input.expect("input", &[DType::F32])?;
        input.axes(&self.axes)?;
        if !(self.epsilon.is_finite() && self.epsilon > 0.0) {
            let epsilon = self.epsilon;
            let problem = format!("epsilon is {epsilon}, but must be finite and more than 0");
            return Err(Misfit::new(problem));
        }
        let dims: Vec<_> = self.axes.iter().map(|&axis| input.dims()[axis]).collect();
        let wanted = Shape::new(dims)?;
        for (name, operand) in ["scale", "bias"].into_iter().zip(&operands[1..]) {
            operand.expect(name, &[DType::F32])?;
            if operand.shape != wanted {
                let problem = format!("{name} is {}, but must be {wanted}", operand.shape);
                return Err(Misfit::new(problem));
            }
        }
        one(input.clone())
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let (input, scale, bias) = (call.operands[0], call.operands.get(1), call.operands.get(2));
        let mut values = input.values().to_vec();
        for lane in lanes(input.shape(), &self.axes) {
            let count = lane.len() as f64;
            let mean = lane.iter().map(|&at| values[at]).sum::<f64>() / count;
            let variance = lane.iter().map(|&at| (values[at] - mean).powi(2)).sum::<f64>() / count;
            let deviation = (variance + self.epsilon).sqrt();
            // The axes ascend, so a lane runs through scale and bias in their own order.
            for (position, at) in lane.into_iter().enumerate() {
                let normal = (values[at] - mean) / deviation;
                let scale = scale.map_or(1.0, |scale| scale.values()[position]);
                let bias = bias.map_or(0.0, |bias| bias.values()[position]);
                values[at] = normal * scale + bias;
            }
        }
        call.one(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{f32, fits, gives, misfits};

    fn x() -> Array {
        f32(&[2, 3], &[1.0, -2.0, 3.0, 0.5, 4.0, -1.0])
    }

    #[test]
    fn softmax_is_numpys_along_either_axis() {
        let rows =
            [0.118499655, 0.0058997504, 0.875600595, 0.0291217615, 0.964380295, 0.00649794332];
        let columns =
            [0.622459331, 0.00247262316, 0.98201379, 0.377540669, 0.997527377, 0.01798621];
        gives(Softmax { axis: 1 }, &[x()], &rows);
        gives(Softmax { axis: 0 }, &[x()], &columns);
        gives(Softmax { axis: 0 }, &[f32(&[3], &[1e4, 1e4, f64::NEG_INFINITY])], &[0.5, 0.5, 0.0]);
        fits(Softmax { axis: 3 }, &["f32[B,4,49,49]"], "f32[B,4,49,49]");
        let wants = "there is no axis 4: axes of [B, 4, 49, 49] are 0 to 3";
        misfits(Softmax { axis: 4 }, &["f32[B,4,49,49]"], wants);
        misfits(Softmax { axis: 0 }, &["i32[3]"], "input is i32, but must be f32");
    }

    fn norm(axes: &[usize], epsilon: f64) -> LayerNormalization {
        LayerNormalization { axes: axes.to_vec(), epsilon }
    }

    #[test]
    fn layer_normalization_is_numpys() {
        let plain = [0.162221229, -1.29776983, 1.1355486, -0.318222551, 1.35244584, -1.03422329];
        gives(norm(&[1], 1e-5), &[x()], &plain);
        let (scale, bias) = (f32(&[3], &[1.0, 2.0, 0.5]), f32(&[3], &[0.1, 0.2, 0.3]));
        let scaled =
            [0.262221229, -2.39553966, 0.867774302, -0.218222551, 2.90489168, -0.217111646];
        gives(norm(&[1], 1e-5), &[x(), scale, bias], &scaled);
        let ones = f32(&[2, 3], &[1.0; 6]);
        let both = [0.0394238898, -1.37983614, 0.985597244, -0.197119449, 1.45868392, -0.906749464];
        gives(norm(&[0, 1], 0.1), &[x(), ones], &both);
    }

    #[test]
    fn layer_normalization_wants_matching_scale_and_bias() {
        fits(norm(&[2], 1e-6), &["f32[B,49,64]", "f32[64]", "f32[64]"], "f32[B,49,64]");
        fits(norm(&[1, 2], 1e-6), &["f32[B,49,64]", "f32[49,64]"], "f32[B,49,64]");
        misfits(norm(&[2], 1e-6), &["f32[B,49,64]", "f32[49]"], "scale is [49], but must be [64]");
        misfits(
            norm(&[2], 1e-6),
            &["f32[B,49,64]", "f32[64]", "f32[1]"],
            "bias is [1], but must be [64]",
        );
        misfits(
            norm(&[2], 0.0),
            &["f32[B,49,64]"],
            "epsilon is 0, but must be finite and more than 0",
        );
        misfits(norm(&[], 1e-6), &["f32[B]"], "at least one");
        misfits(norm(&[0], 1e-6), &["i32[2]"], "input is i32");
        misfits(norm(&[0], 1e-6), &["f32[2]", "i32[2]"], "scale is i32");
    }
}
