//! Matrix products, and the attention made of two of them.

use burn::tensor::{Tensor, activation};
use vitral_program::ops;

use super::value::{Call, RANK, Value};
use crate::kernels;

/// `[.., n, k]` and `[.., k, m]` to `[.., n, m]`; the leading dimensions broadcast. One matrix on
/// the right is multiplied with all rows at once.
pub(super) fn matmul(mut call: Call<'_>) -> Value {
    let shape = call.shape();
    let (a, b) = (call.float(), call.float());
    let [leading @ .., inner, columns] = b.dims();
    Value::Float(if leading == [1; RANK - 2] {
        let rows = shape[..RANK - 1].iter().product::<usize>();
        let a: Tensor<2> = a.reshape([rows, inner]);
        kernels::linear(a, b.reshape([inner, columns]), None).reshape(shape)
    } else {
        a.matmul(b)
    })
}

/// `[.., in]`, weight `[in, out]` and bias `[out]` to `[.., out]`.
pub(super) fn linear(mut call: Call<'_>) -> Value {
    let shape = call.shape();
    let (x, weight) = (call.float(), call.float());
    let [.., inputs, outputs] = weight.dims();
    let rows = shape[..RANK - 1].iter().product::<usize>();
    let bias = call.optional().map(|bias| bias.reshape([outputs]));
    let (x, weight): (Tensor<2>, Tensor<2>) =
        (x.reshape([rows, inputs]), weight.reshape([inputs, outputs]));
    Value::Float(kernels::linear(x, weight, bias).reshape(shape))
}

/// Queries `[.., n, d]`, keys `[.., m, d]`, values `[.., m, e]` and a bias that broadcasts to
/// `[.., n, m]`, to `[.., n, e]`.
pub(super) fn attention(op: &ops::ScaledDotProductAttention, mut call: Call<'_>) -> Value {
    let shape = call.shape();
    let (query, key, value) = (call.float(), call.float(), call.float());
    let bias = call.optional();
    let sizes = [&query, &key, &value].map(Tensor::dims);
    let bias_dims = bias.as_ref().map(Tensor::dims);
    let Some([batch, heads]) = batch_and_heads(sizes, bias_dims) else {
        let mut scores = (query * op.scale).matmul(key.swap_dims(RANK - 2, RANK - 1));
        if let Some(bias) = bias {
            scores = scores + bias;
        }
        return Value::Float(activation::softmax(scores, RANK - 1).matmul(value));
    };
    let [query, key, value] = [query, key, value].map(|tensor| {
        let [.., rows, columns] = tensor.dims();
        tensor.reshape([batch, heads, rows, columns])
    });
    let bias = bias.map(|bias| {
        let [.., rows, columns] = bias.dims();
        bias.reshape([1, heads, rows, columns])
    });
    Value::Float(kernels::softmax_attention(query, key, value, bias, op.scale).reshape(shape))
}

/// Into how many samples and heads the leading dimensions fall, where these are the same for
/// queries, keys and values and a bias is shared by all samples and differs between all heads.
fn batch_and_heads(
    [query, key, value]: [[usize; RANK]; 3],
    bias: Option<[usize; RANK]>,
) -> Option<[usize; 2]> {
    let leading = &query[..RANK - 2];
    if leading != &key[..RANK - 2] || leading != &value[..RANK - 2] {
        return None;
    }
    let all = leading.iter().product::<usize>();
    let Some(bias) = bias else { return Some([all, 1]) };
    if bias[RANK - 2..] != [query[RANK - 2], key[RANK - 2]] {
        return None;
    }
    let own = bias.iter().position(|&size| size != 1).unwrap_or(RANK).min(RANK - 2);
    let heads = bias[own..RANK - 2].iter().product::<usize>();
    (bias[own..RANK - 2] == leading[own..]).then_some([all / heads.max(1), heads])
}
