//! What is done to all parameters of a model: sums of gradients, their norm, and a step of an optimizer. A launch takes
//! as many of them as a device binds at once, each on cubes of its own.

mod combine;
mod squared_norm;
mod step;

use burn::tensor::DType;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use crate::{
    memory::{new_beside, new_together, output},
    reduce::UNITS,
};

pub(crate) use combine::{combined, write};
pub(crate) use squared_norm::squared_norm;
pub use step::{Pace, Rule, Step};
pub(crate) use step::{Parameter, stepped};

/// The most cubes for a tensor; more values than units come in turns.
const MOST_CUBES: usize = 1024;

/// Values that a unit takes before there are more cubes.
const OF_UNIT: usize = 4;

/// Cubes for each of some tensors, and rows of them.
fn grid(lengths: &[usize]) -> (usize, CubeCount) {
    let longest = lengths.iter().copied().max().unwrap_or_default();
    let of_each = longest.div_ceil(UNITS * OF_UNIT).clamp(1, MOST_CUBES);
    (of_each, CubeCount::new_2d(of_each as u32, lengths.len() as u32))
}

fn length(tensor: &CubeTensor) -> usize {
    tensor.meta.shape().num_elements()
}

fn buffers<'a>(tensors: impl IntoIterator<Item = &'a CubeTensor>) -> SequenceArg<Box<[f32]>> {
    tensors.into_iter().map(output).collect()
}

/// Tensors of more values have memory of their own.
const SMALL: usize = 16_384;

fn is_small(tensor: &CubeTensor) -> bool {
    length(tensor) <= SMALL
}

/// Tensors without values yet, for new ones of each of these.
fn new_for(tensors: &[CubeTensor]) -> Vec<CubeTensor> {
    let shape = |tensor: &CubeTensor| tensor.meta.shape().clone();
    let small = tensors.iter().filter(|tensor| is_small(tensor)).map(shape);
    let mut together = new_together(&tensors[0], small, DType::F32).into_iter();
    let of = |tensor: &CubeTensor| match is_small(tensor) {
        true => together.next().unwrap_or_else(|| unreachable!("there is one for each")),
        false => new_beside(tensor, shape(tensor), DType::F32),
    };
    tensors.iter().map(of).collect()
}
