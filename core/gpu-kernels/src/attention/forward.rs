//! Attention's results. The kernel goes twice through the keys: for the sums, and for the results, which then need
//! not be scaled again whenever a larger score comes. Tensor cores keep sums where no unit can multiply its own.

use cubecl::prelude::*;

use super::{
    products::Products,
    rows::{packed, row_of_unit, rows_from, stage},
    tiling::{STATISTICS, Tiling},
};

/// What is smaller than every score.
const SMALLEST: f32 = -1.0e30;

/// Results, and the logarithms of the rows' sums. A cube has some queries of one head of one image.
#[cube(launch_unchecked)]
pub(super) fn forward<E: Float, P: Products>(
    qkv: &[E],
    bias: &[f32],
    out: &mut [E],
    logsumexp: &mut [f32],
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
    let mut moving =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.moving * tiling.pitch), 32usize);
    let mut scores =
        Shared::<[f32]>::new_aligned_slice(comptime!(tiling.own * tiling.scores_pitch), 32usize);
    let mut weights =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.own * tiling.weights_pitch), 32usize);
    let mut statistics = Shared::<[f32]>::new_slice(comptime!(tiling.own * STATISTICS));
    stage::<E>(
        qkv,
        of.first + start * of.stride,
        of.stride,
        rows,
        &mut queries,
        tiling.own,
        tiling,
    );

    let of_bias = (head * tokens + start + row) * tokens;
    let mut largest = f32::new(SMALLEST);
    let mut sum = f32::new(0.0);
    let mut key = 0usize;
    while key < tokens {
        let keys = rows_from(key, tokens, tiling.moving);
        sync_cube();
        let first = of.first + of.part + key * of.stride;
        stage::<E>(qkv, first, of.stride, keys, &mut moving, tiling.moving, tiling);
        sync_cube();
        P::score::<E>(&queries, &moving, &mut scores, tiling);
        sync_cube();
        let mut of_tile = largest;
        #[unroll]
        for step in 0..comptime!(tiling.moving / 2) {
            let column = step * 2 + half;
            let at = row * tiling.scores_pitch + column;
            let mut score = scores[at] * scale;
            if comptime!(biased) {
                if column < keys && row < rows {
                    score += bias[of_bias + key + column];
                }
                scores[at] = score;
            } else {
                scores[at] = score;
            }
            if column < keys {
                of_tile = max(of_tile, score);
            }
        }
        sum *= (largest - of_tile).exp();
        largest = of_tile;
        #[unroll]
        for step in 0..comptime!(tiling.moving / 2) {
            let column = step * 2 + half;
            if column < keys {
                sum += (scores[row * tiling.scores_pitch + column] - largest).exp();
            }
        }
        key += tiling.moving;
    }
    statistics[row * STATISTICS + half] = largest;
    statistics[row * STATISTICS + 2 + half] = sum;
    sync_cube();
    let (one, other) = (statistics[row * STATISTICS], statistics[row * STATISTICS + 1]);
    let largest = max(one, other);
    let sum = statistics[row * STATISTICS + 2] * (one - largest).exp()
        + statistics[row * STATISTICS + 3] * (other - largest).exp();
    let of_row = largest + sum.ln();
    if half == 0 && row < rows {
        logsumexp[(batch * heads + head) * tokens + start + row] = of_row;
    }

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
        for step in 0..comptime!(tiling.moving / 2) {
            let column = step * 2 + half;
            let mut weight = f32::new(0.0);
            if column < keys {
                let mut score = scores[row * tiling.scores_pitch + column] * scale;
                if comptime!(biased) {
                    if row < rows {
                        score += bias[of_bias + key + column];
                    }
                }
                weight = (score - of_row).exp();
            }
            weights[row * tiling.weights_pitch + column] = E::cast_from(weight);
        }
        stage::<E>(qkv, first + of.part, of.stride, keys, &mut moving, tiling.moving, tiling);
        sync_cube();
        P::add::<E>(&mut sums, &weights, &moving, tiling);
        key += tiling.moving;
    }
    let first = (batch * tokens + start) * of.part + head * tiling.width;
    P::write::<E>(&sums, &mut scores, out, first, of.part, rows, f32::new(1.0), tiling);
}
