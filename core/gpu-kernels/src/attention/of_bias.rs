//! Attention's gradient of the bias.

use cubecl::prelude::*;

use super::{
    products::Products,
    rows::{packed, row_of_unit, rows_from, stage},
    tiling::{STATISTICS, Tiling},
};

/// The gradient of the bias. A cube has a tile of it, of one head, and sums over the batch.
#[cube(launch_unchecked)]
pub(super) fn of_bias<E: Float, P: Products>(
    qkv: &[E],
    bias: &[f32],
    out: &[E],
    logsumexp: &[f32],
    gradient: &[E],
    dbias: &mut [f32],
    batches: usize,
    tokens: usize,
    heads: usize,
    scale: f32,
    #[comptime] tiling: Tiling,
    #[define(E)] _element: ElemType,
) {
    let head = CUBE_POS_X as usize % heads;
    let start = CUBE_POS_X as usize / heads * tiling.own;
    let key = CUBE_POS_Y as usize * tiling.moving;
    let rows = rows_from(start, tokens, tiling.own);
    let keys = rows_from(key, tokens, tiling.moving);
    let (row, half) = (row_of_unit(), UNIT_POS as usize % 2);
    let mut own = Shared::<[E]>::new_aligned_slice(comptime!(tiling.own * tiling.pitch), 32usize);
    let mut moving =
        Shared::<[E]>::new_aligned_slice(comptime!(tiling.moving * tiling.pitch), 32usize);
    let mut scores =
        Shared::<[f32]>::new_aligned_slice(comptime!(tiling.own * tiling.scores_pitch), 32usize);
    let mut statistics = Shared::<[f32]>::new_slice(comptime!(tiling.own * STATISTICS));
    let of_bias = (head * tokens + start + row) * tokens + key;
    let steps = comptime!(tiling.moving / 2);
    let mut kept = Array::<f32>::new(steps);
    let mut sums = Array::<f32>::new(steps);
    #[unroll]
    for step in 0..steps {
        sums[step] = f32::new(0.0);
    }
    for batch in 0..batches {
        let of = packed(batch, head, tokens, heads, tiling.width);
        let of_out = (batch * tokens + start) * of.part + head * tiling.width;
        let first = of.first + of.part + key * of.stride;
        let mut sum_of_row = f32::new(0.0);
        let mut product = f32::new(0.0);
        if row < rows {
            sum_of_row = logsumexp[(batch * heads + head) * tokens + start + row];
            let mut column = half;
            while column < tiling.width {
                let at = of_out + row * of.part + column;
                product += f32::cast_from(out[at]) * f32::cast_from(gradient[at]);
                column += 2;
            }
        }
        sync_cube();
        statistics[row * STATISTICS + half] = product;
        stage::<E>(
            qkv,
            of.first + start * of.stride,
            of.stride,
            rows,
            &mut own,
            tiling.own,
            tiling,
        );
        stage::<E>(qkv, first, of.stride, keys, &mut moving, tiling.moving, tiling);
        sync_cube();
        let d = statistics[row * STATISTICS] + statistics[row * STATISTICS + 1];
        P::score::<E>(&own, &moving, &mut scores, tiling);
        sync_cube();
        #[unroll]
        for step in 0..steps {
            let column = step * 2 + half;
            let mut weight = f32::new(0.0);
            if column < keys && row < rows {
                let score = scores[row * tiling.scores_pitch + column] * scale;
                weight = (score + bias[of_bias + column] - sum_of_row).exp();
            }
            kept[step] = weight;
        }
        stage::<E>(gradient, of_out, of.part, rows, &mut own, tiling.own, tiling);
        stage::<E>(qkv, first + of.part, of.stride, keys, &mut moving, tiling.moving, tiling);
        sync_cube();
        P::score::<E>(&own, &moving, &mut scores, tiling);
        sync_cube();
        #[unroll]
        for step in 0..steps {
            let of_weight = scores[row * tiling.scores_pitch + step * 2 + half];
            sums[step] += kept[step] * (of_weight - d);
        }
    }
    #[unroll]
    for step in 0..steps {
        let column = step * 2 + half;
        if column < keys && row < rows {
            dbias[of_bias + column] = sums[step];
        }
    }
}
