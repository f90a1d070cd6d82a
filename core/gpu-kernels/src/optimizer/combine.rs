//! Tensors that are scaled, added or copied.

use burn_cubecl::{kernel::into_contiguous, tensor::CubeTensor};
use cubecl::{client::Client, prelude::*};

use super::{buffers, grid, is_small, length, new_for};
use crate::{memory::at_once, reduce::UNITS};

/// Multiplies each tensor, and adds another to it: in place, or from sources.
#[cube(launch_unchecked)]
fn combine(
    sources: Sequence<Box<[f32]>>,
    mut tensors: Sequence<Box<[f32]>>,
    others: Sequence<Box<[f32]>>,
    lengths: Sequence<usize>,
    factor: f32,
    #[comptime] in_place: bool,
    #[comptime] added: bool,
    #[comptime] count: usize,
) {
    let stride = CUBE_COUNT_X as usize * UNITS;
    #[unroll]
    for tensor in 0..count {
        if CUBE_POS_Y as usize == tensor {
            let length = *lengths.index(tensor);
            let mut at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
            while at < length {
                let mut value = factor;
                if comptime!(in_place) {
                    value *= tensors.index(tensor)[at];
                } else {
                    value *= sources.index(tensor)[at];
                }
                if comptime!(added) {
                    value += others.index(tensor)[at];
                }
                tensors.index_mut(tensor)[at] = value;
                at += stride;
            }
        }
    }
}

/// Tensors times a factor, to which others are added, if there are any: one of each length. Large ones change in place,
/// if nobody else has their memory.
pub(crate) fn combined(
    tensors: Vec<CubeTensor>,
    factor: f64,
    others: Vec<CubeTensor>,
) -> Vec<CubeTensor> {
    let others: Vec<CubeTensor> = others.into_iter().map(into_contiguous).collect();
    let is_sum = !others.is_empty();
    assert!(!is_sum || others.len() == tensors.len(), "one for each");
    assert!(
        tensors.iter().zip(&others).all(|(one, other)| length(one) == length(other)),
        "of one length"
    );
    let client = tensors[0].client.clone();
    let mut others = others.into_iter();
    let operands = tensors.into_iter().map(|tensor| (tensor, others.next()));
    let changes =
        |tensor: &CubeTensor| !is_small(tensor) && tensor.is_contiguous() && tensor.can_mut();
    let (changed, new): (Vec<_>, Vec<_>) =
        operands.enumerate().partition(|(_, (tensor, _))| changes(tensor));
    let mut done = Vec::with_capacity(changed.len() + new.len());
    for (all, in_place) in [(new, false), (changed, true)] {
        let (places, mut all): (Vec<usize>, Vec<_>) = all.into_iter().unzip();
        let most = at_once(&client, 1 + usize::from(is_sum) + usize::from(!in_place));
        for part in all.chunks_mut(most) {
            combine_part(&client, part, factor as f32, in_place);
        }
        done.extend(places.into_iter().zip(all.into_iter().map(|(tensor, _)| tensor)));
    }
    done.sort_by_key(|&(place, _)| place);
    done.into_iter().map(|(_, tensor)| tensor).collect()
}

fn combine_part(
    client: &Client,
    part: &mut [(CubeTensor, Option<CubeTensor>)],
    factor: f32,
    in_place: bool,
) {
    let sources: Vec<CubeTensor> = match in_place {
        true => Vec::new(),
        false => part.iter().map(|(tensor, _)| into_contiguous(tensor.clone())).collect(),
    };
    if !in_place {
        part.iter_mut().zip(new_for(&sources)).for_each(|((tensor, _), new)| *tensor = new);
    }
    let lengths: Vec<usize> = part.iter().map(|(tensor, _)| length(tensor)).collect();
    let (_, cubes) = grid(&lengths);
    let is_sum = part[0].1.is_some();
    // SAFETY: a cube reads and writes a tensor of `part`, which is new or nobody else's, below its length, which is that
    // of its source and of the other, too.
    unsafe {
        combine::launch_unchecked(
            client,
            cubes,
            CubeDim::new_1d(UNITS as u32),
            buffers(&sources),
            buffers(part.iter().map(|(tensor, _)| tensor)),
            buffers(part.iter().filter_map(|(_, other)| other.as_ref())),
            lengths.into_iter().collect(),
            factor,
            in_place,
            is_sum,
            part.len(),
        );
    }
}

/// Writes tensors over others, which are as long and lie row by row, whoever else has their memory.
pub(crate) fn write(tensors: Vec<CubeTensor>, over: &[CubeTensor]) {
    assert!(
        tensors.len() == over.len()
            && tensors.iter().zip(over).all(|(one, other)| length(one) == length(other)),
        "as many, of one length"
    );
    let sources: Vec<CubeTensor> = tensors.into_iter().map(into_contiguous).collect();
    let client = sources[0].client.clone();
    let most = at_once(&client, 2);
    for (sources, over) in sources.chunks(most).zip(over.chunks(most)) {
        let lengths: Vec<usize> = over.iter().map(length).collect();
        let (_, cubes) = grid(&lengths);
        // SAFETY: a cube reads one of `sources` and writes what it is for, below the length of both.
        unsafe {
            combine::launch_unchecked(
                &client,
                cubes,
                CubeDim::new_1d(UNITS as u32),
                buffers(sources),
                buffers(over),
                SequenceArg::new(),
                lengths.into_iter().collect(),
                1.0,
                false,
                false,
                over.len(),
            );
        }
    }
}
