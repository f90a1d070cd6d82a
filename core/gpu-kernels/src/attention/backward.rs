//! Attention's gradients of queries, keys and values.

use cubecl::prelude::*;

use super::{
    products::Products,
    rows::{packed, row_of_unit, rows_from, stage},
    tiling::{STATISTICS, Tiling},
};

/// The gradient of the queries, and `d` of each row. A cube has some queries of one head of one image.
#[cube(launch_unchecked)]
pub(super) fn of_queries<E: Float, P: Products>(
    qkv: &[E],
    bias: &[f32],
    out: &[E],
    logsumexp: &[f32],
    gradient: &[E],
    delta: &mut [f32],
    dqkv: &mut [E],
    tokens: usize,
    heads: usize,
    scale: f32,
    #[comptime] biased: bool,
    #[comptime] tiling: Tiling,
    #[define(E)] _element: ElemType,
) {
    let (head, batch) = (CUBE_POS_X as usize % heads, CUBE_POS_Y as usize);
    let start = CUBE_POS_X as usize / heads * tiling.own;
    let of = packed(batch, head, tokens, heads, tiling.width);
    let rows = rows_from(start, tokens, tiling.own);
    let (row, half) = (row_of_unit(), UNIT_POS as usize % 2);
    let mut queries =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.own * tiling.pitch), 32usize);
    let mut gradients =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.own * tiling.pitch), 32usize);
    let mut moving =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.moving * tiling.pitch), 32usize);
    let mut scores =
        Shared::<[f32]>::new_aligned_slice(comptime!(tiling.own * tiling.scores_pitch), 32usize);
    let mut weights =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.own * tiling.weights_pitch), 32usize);
    let mut statistics = Shared::<[f32]>::new_slice(comptime!(tiling.own * STATISTICS));
    let of_out = (batch * tokens + start) * of.part + head * tiling.width;
    stage::<E>(
        qkv,
        of.first + start * of.stride,
        of.stride,
        rows,
        &mut queries,
        tiling.own,
        tiling,
    );
    stage::<E>(gradient, of_out, of.part, rows, &mut gradients, tiling.own, tiling);

    let of_row = (batch * heads + head) * tokens + start + row;
    let mut sum_of_row = f32::new(0.0);
    let mut product = f32::new(0.0);
    if row < rows {
        sum_of_row = logsumexp[of_row];
        let mut column = half;
        while column < tiling.width {
            let at = of_out + row * of.part + column;
            product += f32::cast_from(out[at]) * f32::cast_from(gradient[at]);
            column += 2;
        }
    }
    statistics[row * STATISTICS + half] = product;
    sync_cube();
    let d = statistics[row * STATISTICS] + statistics[row * STATISTICS + 1];
    if half == 0 && row < rows {
        delta[of_row] = d;
    }

    let of_bias = (head * tokens + start + row) * tokens;
    let steps = comptime!(tiling.moving / 2);
    let mut kept = Array::<f32>::new(steps);
    let mut sums = P::nothing(tiling);
    let mut key = 0usize;
    while key < tokens {
        let keys = rows_from(key, tokens, tiling.moving);
        sync_cube();
        let first = of.first + of.part + key * of.stride;
        stage::<E>(qkv, first, of.stride, keys, &mut moving, tiling.moving, tiling);
        sync_cube();
        P::score::<E>(&queries, &moving, &mut scores, tiling);
        sync_cube();
        #[unroll]
        for step in 0..steps {
            let column = step * 2 + half;
            let mut weight = f32::new(0.0);
            if column < keys && row < rows {
                let mut score = scores[row * tiling.scores_pitch + column] * scale;
                if comptime!(biased) {
                    score += bias[of_bias + key + column];
                }
                weight = (score - sum_of_row).exp();
            }
            kept[step] = weight;
        }
        stage::<E>(qkv, first + of.part, of.stride, keys, &mut moving, tiling.moving, tiling);
        sync_cube();
        P::score::<E>(&gradients, &moving, &mut scores, tiling);
        sync_cube();
        #[unroll]
        for step in 0..steps {
            let column = step * 2 + half;
            let of_weight = scores[row * tiling.scores_pitch + column];
            weights[row * tiling.weights_pitch + column] =
                E::cast_from(kept[step] * (of_weight - d));
        }
        stage::<E>(qkv, first, of.stride, keys, &mut moving, tiling.moving, tiling);
        sync_cube();
        P::add::<E>(&mut sums, &weights, &moving, tiling);
        key += tiling.moving;
    }
    let first = of.first + start * of.stride;
    P::write::<E>(&sums, &mut scores, dqkv, first, of.stride, rows, scale, tiling);
}

/// The gradients of keys and values. A cube has some keys of one head of one image, and `d` is there. Scores are
/// the other way round: keys are rows.
#[cube(launch_unchecked)]
pub(super) fn of_keys<E: Float, P: Products>(
    qkv: &[E],
    bias: &[f32],
    logsumexp: &[f32],
    gradient: &[E],
    delta: &[f32],
    dqkv: &mut [E],
    tokens: usize,
    heads: usize,
    scale: f32,
    #[comptime] biased: bool,
    #[comptime] tiling: Tiling,
    #[define(E)] _element: ElemType,
) {
    let (head, batch) = (CUBE_POS_X as usize % heads, CUBE_POS_Y as usize);
    let start = CUBE_POS_X as usize / heads * tiling.own;
    let of = packed(batch, head, tokens, heads, tiling.width);
    let rows = rows_from(start, tokens, tiling.own);
    let (row, half) = (row_of_unit(), UNIT_POS as usize % 2);
    let mut keys = Shared::<[E]>::new_aligned_slice(comptime!(tiling.own * tiling.pitch), 32usize);
    let mut values =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.own * tiling.pitch), 32usize);
    let mut moving =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.moving * tiling.pitch), 32usize);
    let mut scores =
        Shared::<[f32]>::new_aligned_slice(comptime!(tiling.own * tiling.scores_pitch), 32usize);
    let mut weights =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.own * tiling.weights_pitch), 32usize);
    let own = of.first + of.part + start * of.stride;
    stage::<E>(qkv, own, of.stride, rows, &mut keys, tiling.own, tiling);
    stage::<E>(qkv, own + of.part, of.stride, rows, &mut values, tiling.own, tiling);

    let of_head = (batch * heads + head) * tokens;
    let steps = comptime!(tiling.moving / 2);
    let mut kept = Array::<f32>::new(steps);
    let mut dkeys = P::nothing(tiling);
    let mut dvalues = P::nothing(tiling);
    let mut query = 0usize;
    while query < tokens {
        let queries = rows_from(query, tokens, tiling.moving);
        let first = of.first + query * of.stride;
        let of_out = (batch * tokens + query) * of.part + head * tiling.width;
        sync_cube();
        stage::<E>(qkv, first, of.stride, queries, &mut moving, tiling.moving, tiling);
        sync_cube();
        P::score::<E>(&keys, &moving, &mut scores, tiling);
        sync_cube();
        #[unroll]
        for step in 0..steps {
            let column = step * 2 + half;
            let mut weight = f32::new(0.0);
            if column < queries && row < rows {
                let mut score = scores[row * tiling.scores_pitch + column] * scale;
                if comptime!(biased) {
                    score += bias[(head * tokens + query + column) * tokens + start + row];
                }
                weight = (score - logsumexp[of_head + query + column]).exp();
            }
            kept[step] = weight;
            weights[row * tiling.weights_pitch + column] = E::cast_from(weight);
        }
        stage::<E>(gradient, of_out, of.part, queries, &mut moving, tiling.moving, tiling);
        sync_cube();
        P::add::<E>(&mut dvalues, &weights, &moving, tiling);
        P::score::<E>(&values, &moving, &mut scores, tiling);
        sync_cube();
        #[unroll]
        for step in 0..steps {
            let column = step * 2 + half;
            let mut of_score = f32::new(0.0);
            if column < queries {
                let of_weight = scores[row * tiling.scores_pitch + column];
                of_score = kept[step] * (of_weight - delta[of_head + query + column]);
            }
            weights[row * tiling.weights_pitch + column] = E::cast_from(of_score);
        }
        stage::<E>(qkv, first, of.stride, queries, &mut moving, tiling.moving, tiling);
        sync_cube();
        P::add::<E>(&mut dkeys, &weights, &moving, tiling);
        query += tiling.moving;
    }
    P::write::<E>(&dkeys, &mut scores, dqkv, own, of.stride, rows, scale, tiling);
    P::write::<E>(
        &dvalues,
        &mut scores,
        dqkv,
        own + of.part,
        of.stride,
        rows,
        f32::new(1.0),
        tiling,
    );
}
