//! Matrix products, and the attention made of two of them.

use super::call::Call;
use super::declare::{Rule, one, op, side_from_end, sums_of};
use super::normalize::softmax;
use crate::array::{Array, each, fill};
use crate::misfit::Misfit;
use crate::shape::{Dim, Shape};
use crate::types::{DType, TensorType};

/// The dimensions of `[.., rows, columns]`, leading ones apart.
fn matrix<'t>(name: &str, operand: &'t TensorType) -> Result<(&'t [Dim], Dim, Dim), Misfit> {
    operand.expect(name, &[DType::F32])?;
    match operand.dims() {
        [leading @ .., rows, columns] => Ok((leading, *rows, *columns)),
        _ => Err(Misfit::new(format!(
            "{name} is {}, but must have at least 2 dimensions",
            operand.shape
        ))),
    }
}

op! {
    /// The matrix product, `f32` `[.., n, k]` and `[.., k, m]` to `[.., n, m]`. The leading
    /// dimensions broadcast.
    "matmul" Matmul(a: Required, b: Required) {}
}

impl Rule for Matmul {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let (a_leading, n, a_inner) = matrix("a", &operands[0])?;
        let (b_leading, b_inner, m) = matrix("b", &operands[1])?;
        if a_inner != b_inner {
            let (a, b) = (&operands[0].shape, &operands[1].shape);
            let problem = format!(
                "the last dimension of {a} and the last but one of {b} must be equal, not \
                 {a_inner} and {b_inner}"
            );
            return Err(Misfit::new(problem));
        }
        let leading = Shape::new(a_leading)?.broadcast(&Shape::new(b_leading)?)?;
        one(operands[0].with(Shape::new([leading.dims(), &[n, m]].concat())?))
    }

    fn products(&self, operands: &[TensorType], results: &[TensorType]) -> u64 {
        sums_of(results, side_from_end(&operands[0], 0))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let (a, b) = (call.operands[0], call.operands[1]);
        let inner = a.shape()[a.shape().len() - 1];
        let last = call.shape().len() - 1;
        let (mut left, mut right) = (vec![0; last + 1], vec![0; last + 1]);
        call.one(fill(call.shape(), |index| {
            left.copy_from_slice(index);
            right.copy_from_slice(index);
            let products = (0..inner).map(|k| {
                (left[last], right[last - 1]) = (k, k);
                a.broadcast(&left) * b.broadcast(&right)
            });
            products.sum()
        }))
    }
}

op! {
    /// A linear layer, `input @ weight + bias`: `f32` `[.., in]`, weight `[in, out]` and bias
    /// `[out]` to `[.., out]`.
    "linear" Linear(input: Required, weight: Required, bias: Optional) {}
}

impl Rule for Linear {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let (input, weight) = (&operands[0], &operands[1]);
        input.expect("input", &[DType::F32])?;
        weight.expect("weight", &[DType::F32])?;
        let (&[inputs, outputs], Some(&width)) = (weight.dims(), input.dims().last()) else {
            return Err(Misfit::new(format!(
                "input and weight are {} and {}, but must be [.., in] and [in, out]",
                input.shape, weight.shape
            )));
        };
        if inputs != width {
            return Err(Misfit::new(format!(
                "weight is {}, but must be [{width}, {outputs}] for {}",
                weight.shape, input.shape
            )));
        }
        if let Some(bias) = operands.get(2) {
            bias.expect("bias", &[DType::F32])?;
            if bias.dims() != [outputs] {
                return Err(Misfit::new(format!(
                    "bias is {}, but must be [{outputs}]",
                    bias.shape
                )));
            }
        }
        one(input.with(input.shape.replaced(input.rank() - 1, outputs)?))
    }

    fn products(&self, operands: &[TensorType], results: &[TensorType]) -> u64 {
        sums_of(results, side_from_end(&operands[0], 0))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let (input, weight, bias) = (call.operands[0], call.operands[1], call.operands.get(2));
        let last = call.shape().len() - 1;
        let mut from = vec![0; last + 1];
        call.one(fill(call.shape(), |index| {
            from.copy_from_slice(index);
            let products = (0..weight.shape()[0]).map(|k| {
                from[last] = k;
                input.at(&from) * weight.at(&[k, index[last]])
            });
            products.sum::<f64>() + bias.map_or(0.0, |bias| bias.at(&index[last..]))
        }))
    }
}

op! {
    /// `softmax(scale q kT + bias) v`: `f32` queries `[.., n, d]`, keys `[.., m, d]` and values
    /// `[.., m, e]` to `[.., n, e]`, with equal leading dimensions. The bias (or mask, of zeros and
    /// minus infinities) broadcasts to `[.., n, m]`.
    "scaledDotProductAttention" ScaledDotProductAttention(
        query: Required, key: Required, value: Required, bias: Optional,
    ) {
        /// What the scores are multiplied with, usually `1 / sqrt(d)`.
        scale: f64,
    }
}

impl Rule for ScaledDotProductAttention {
    fn infer(&self, operands: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let [query, key, value] = [&operands[0], &operands[1], &operands[2]];
        let (leading, n, d) = matrix("query", query)?;
        let (key_leading, m, key_width) = matrix("key", key)?;
        let (value_leading, tokens, e) = matrix("value", value)?;
        if key_leading != leading || value_leading != leading || key_width != d || tokens != m {
            let problem = format!(
                "query, key and value are {}, {} and {}, but must be [.., n, d], [.., m, d] and \
                 [.., m, e] with equal leading dimensions",
                query.shape, key.shape, value.shape
            );
            return Err(Misfit::new(problem));
        }
        if !self.scale.is_finite() {
            return Err(Misfit::new(format!("scale is {}, but must be finite", self.scale)));
        }
        if let Some(bias) = operands.get(3) {
            bias.expect("bias", &[DType::F32])?;
            let scores = Shape::new([leading, &[n, m]].concat())?;
            if !bias.shape.broadcasts_to(&scores) {
                let problem = format!("bias is {}, but must broadcast to {scores}", bias.shape);
                return Err(Misfit::new(problem));
            }
        }
        one(query.with(Shape::new([leading, &[n, e]].concat())?))
    }

    fn products(&self, operands: &[TensorType], results: &[TensorType]) -> u64 {
        // Scores, and their product with the values.
        let tokens = side_from_end(&operands[1], 1);
        sums_of(&operands[..1], tokens).saturating_add(sums_of(results, tokens))
    }

    fn run(&self, call: &Call<'_>) -> Vec<Array> {
        let [query, key, value] = [call.operands[0], call.operands[1], call.operands[2]];
        let bias = call.operands.get(3);
        let [leading @ .., rows, width] = query.shape() else { return Vec::new() };
        let tokens = key.shape()[leading.len()];
        let mut values = Vec::with_capacity(call.shape().iter().product());
        each(&[leading, &[*rows]].concat(), |place| {
            let (item, row) = place.split_at(leading.len());
            let at = |array: &Array, row: usize, column: usize| {
                array.at(&[item, &[row, column]].concat())
            };
            let scores = (0..tokens).map(|token| {
                let dot: f64 = (0..*width).map(|d| at(query, row[0], d) * at(key, token, d)).sum();
                let bias = bias.map_or(0.0, |bias| bias.broadcast(&[item, row, &[token]].concat()));
                self.scale * dot + bias
            });
            let weights = softmax(&scores.collect::<Vec<_>>());
            for e in 0..call.shape()[leading.len() + 1] {
                values.push((0..tokens).map(|token| weights[token] * at(value, token, e)).sum());
            }
        });
        call.one(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::testing::{count, f32, fits, gives, misfits};

    #[test]
    fn matmul_is_numpys() {
        let product = [20.0, 23.0, 26.0, 29.0, 56.0, 68.0, 80.0, 92.0];
        gives(Matmul {}, &[count(&[2, 3]), count(&[3, 4])], &product);
        let broadcast = [10.0, 13.0, 28.0, 40.0, 46.0, 67.0, 64.0, 94.0];
        gives(Matmul {}, &[count(&[2, 2, 3]), count(&[1, 3, 2])], &broadcast);
        gives(Matmul {}, &[count(&[2, 2, 3]), count(&[3, 2])], &broadcast);
    }

    #[test]
    fn matmul_broadcasts_leading_dimensions() {
        fits(Matmul {}, &["f32[B,4,49,16]", "f32[B,4,16,49]"], "f32[B,4,49,49]");
        fits(Matmul {}, &["f32[2,3]", "f32[B,3,5]"], "f32[B,2,5]");
        fits(Matmul {}, &["f32[3,B]", "f32[B,5]"], "f32[3,5]");
        misfits(
            Matmul {},
            &["f32[B,4,49,16]", "f32[B,4,49,16]"],
            "the last dimension of [B, 4, 49, 16] and the last but one of [B, 4, 49, 16] must be equal, not 16 and 49",
        );
        misfits(Matmul {}, &["f32[2,2,3]", "f32[4,3,5]"], "do not broadcast: 2 and 4");
        misfits(
            Matmul {},
            &["f32[3]", "f32[3,5]"],
            "a is [3], but must have at least 2 dimensions",
        );
        misfits(Matmul {}, &["f32[B,3]", "f32[3,B]"], "the batch in two dimensions");
        misfits(Matmul {}, &["i32[2,3]", "f32[3,5]"], "a is i32");
    }

    #[test]
    fn linear_multiplies_and_adds() {
        let bias = f32(&[4], &[0.5, 0.0, 0.0, 1.0]);
        let expected = [20.5, 23.0, 26.0, 30.0, 56.5, 68.0, 80.0, 93.0];
        gives(Linear {}, &[count(&[2, 3]), count(&[3, 4]), bias], &expected);
        gives(Linear {}, &[f32(&[2], &[1.0, 2.0]), count(&[2, 2])], &[4.0, 7.0]);
        fits(Linear {}, &["f32[B,49,64]", "f32[64,192]", "f32[192]"], "f32[B,49,192]");
        let wants = "weight is [192, 64], but must be [64, 64] for [B, 49, 64]";
        misfits(Linear {}, &["f32[B,49,64]", "f32[192,64]"], wants);
        misfits(Linear {}, &["f32[B,64]", "f32[64,8]", "f32[64]"], "bias is [64], but must be [8]");
        misfits(Linear {}, &["f32[]", "f32[64,8]"], "must be [.., in] and [in, out]");
        misfits(Linear {}, &["f32[B,64]", "f32[1,64,8]"], "must be [.., in] and [in, out]");
        misfits(Linear {}, &["f32[B,64]", "i32[64,8]"], "weight is i32");
    }

    #[test]
    fn attention_is_numpys() {
        let op = || ScaledDotProductAttention { scale: 0.5 };
        let quarter = |shape: &[usize]| {
            let values: Vec<_> = count(shape).values().iter().map(|value| value / 4.0).collect();
            f32(shape, &values)
        };
        let qkv = || vec![quarter(&[2, 2]), quarter(&[3, 2]), count(&[3, 3])];
        let plain = [3.12491869, 4.12491869, 5.12491869, 3.61503808, 4.61503808, 5.61503808];
        gives(op(), &qkv(), &plain);
        let inf = f64::NEG_INFINITY;
        let masked = [qkv(), vec![f32(&[2, 3], &[0.0, inf, 1.0, 0.0, 0.0, inf])]].concat();
        gives(
            op(),
            &masked,
            &[4.52948992, 5.52948992, 6.52948992, 1.7324861, 2.7324861, 3.7324861],
        );
    }

    #[test]
    fn attention_wants_matching_operands() {
        let op = || ScaledDotProductAttention { scale: 0.25 };
        let (q, k, v) = ("f32[B,4,49,16]", "f32[B,4,25,16]", "f32[B,4,25,8]");
        fits(op(), &[q, k, v], "f32[B,4,49,8]");
        fits(op(), &[q, k, v, "f32[4,49,25]"], "f32[B,4,49,8]");
        fits(op(), &[q, k, v, "f32[B,1,1,25]"], "f32[B,4,49,8]");
        let wants = "bias is [49, 49], but must broadcast to [B, 4, 49, 25]";
        misfits(op(), &[q, k, v, "f32[49,49]"], wants);
        let wants = "query, key and value are [B, 4, 49, 16], [B, 4, 25, 16] and [B, 4, 49, 16]";
        misfits(op(), &[q, k, q], wants);
        misfits(op(), &[q, "f32[4,25,16]", "f32[4,25,8]"], "with equal leading dimensions");
        misfits(op(), &["f32[16]", k, v], "query is [16], but must have at least 2 dimensions");
        misfits(ScaledDotProductAttention { scale: f64::NAN }, &[q, k, v], "scale is NaN");
    }
}
