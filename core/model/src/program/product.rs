//! Matrix products, and the attention made of two of them.

use burn::tensor::{Tensor, activation, module};
use vitral_program::ops;

use super::value::{Call, RANK, Value};

/// `[.., n, k]` and `[.., k, m]` to `[.., n, m]`; the leading dimensions broadcast. One matrix on
/// the right is multiplied with all rows at once.
pub(super) fn matmul(mut call: Call<'_>) -> Value {
    let shape = call.shape();
    let (a, b) = (call.float(), call.float());
    let [leading @ .., inner, columns] = b.dims();
    Value::Float(if leading == [1; RANK - 2] {
        let rows = shape[..RANK - 1].iter().product::<usize>();
        a.reshape([rows, inner]).matmul(b.reshape([inner, columns])).reshape(shape)
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
    Value::Float(module::linear(x, weight, bias).reshape(shape))
}

/// Queries `[.., n, d]`, keys `[.., m, d]`, values `[.., m, e]` and a bias that broadcasts to
/// `[.., n, m]`, to `[.., n, e]`.
pub(super) fn attention(op: &ops::ScaledDotProductAttention, mut call: Call<'_>) -> Value {
    let (query, key, value) = (call.float(), call.float(), call.float());
    let mut scores = (query * op.scale).matmul(key.swap_dims(RANK - 2, RANK - 1));
    if let Some(bias) = call.optional() {
        scores = scores + bias;
    }
    Value::Float(activation::softmax(scores, RANK - 1).matmul(value))
}
