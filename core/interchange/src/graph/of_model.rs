//! The graph of a model.

use vitral_model::{
    ViT,
    vit_program::{vit_program, vit_program_of_any_size},
};
use vitral_program::Program;

use super::{
    options::GraphOptions,
    sizes::Sizes,
    walk::{Target, build, unsupported},
};
use crate::InterchangeError;

/// The graph of a model. `new` makes an empty one, for sizes that stand for others; `same` says whether two
/// are equal.
pub(crate) fn graph_of<T: Target>(
    model: &ViT,
    options: &GraphOptions,
    new: impl Fn(Sizes) -> T,
    same: impl Fn(&T, &T) -> bool,
) -> Result<(T, Program), InterchangeError> {
    let classes = options.class_names.len();
    if classes != 0 && classes != model.config().classes {
        let has = model.config().classes;
        return Err(unsupported::<T>(format!("{classes} names of classes: the model has {has}")));
    }
    let pixels = options.interface.normalize.is_some();
    let graph = |program: &Program, sizes: Sizes| {
        let mut target = new(sizes);
        build(program, pixels, &mut target).map(|()| target)
    };
    if !options.any_image_size {
        let program = vit_program(model, &options.interface)
            .map_err(|error| unsupported::<T>(error.to_string()))?;
        return Ok((graph(&program, Sizes::default())?, program));
    }
    let [first, second] = vit_program_of_any_size(model, &options.interface)
        .map_err(|error| unsupported::<T>(error.to_string()))?;
    let [target, other] = [&first, &second].map(|any| graph(&any.program, Sizes::of(any)));
    let target = target?;
    if !same(&target, &other?) {
        return Err(unsupported::<T>("images of any size: an op depends on their size".into()));
    }
    Ok((target, first.program))
}
