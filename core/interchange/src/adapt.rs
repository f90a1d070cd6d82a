//! From a model that was trained elsewhere to one of another image size or with other classes.

use std::collections::BTreeMap;

use vitral_model::{ViTConfig, parameters::of_config as parameters};

use crate::{
    Array, InterchangeError, Pretrained,
    error::Mismatches,
    positions::{Resize, resize_positions, resize_relative_bias},
    read::describe,
};

/// What may be changed on the way, and how.
pub struct AdaptOptions<'a> {
    /// How learned positions are resized to another grid.
    pub positions: Resize,
    /// Parameters that are not taken from the file.
    pub fresh: &'a dyn Fn(&str) -> bool,
    /// Parameters of the file that the model need not have.
    pub ignore: &'a dyn Fn(&str) -> bool,
    /// Of each class of the model, the one of the file that is the same; without it, classes of the
    /// same number are taken to be the same, and the head of another number starts afresh.
    pub classes: Option<&'a [Option<usize>]>,
}

impl Default for AdaptOptions<'_> {
    fn default() -> Self {
        Self { positions: Resize::default(), fresh: &|_| false, ignore: &|_| false, classes: None }
    }
}

/// Parameters that fit another model.
#[derive(Clone, Debug)]
pub struct Adapted {
    /// By our names; those of `fresh` are not among them.
    pub tensors: BTreeMap<String, Array>,
    /// Parameters that start as the model's own initialisation says: a head for other classes, and
    /// what was asked for.
    pub fresh: Vec<String>,
    /// Parameters of a head that knows some of the model's classes. Those that it does not know are
    /// zero, and start as the model's own initialisation says.
    pub partly_fresh: Vec<String>,
    /// What was changed or left out, in sentences.
    pub notes: Vec<String>,
}

/// Takes pretrained parameters to a model with these parameters (names and shapes).
///
/// Learned positions and tables of relative bias are resized to the model's grid. The head's part of each
/// class follows the class where the options say which classes are the same.
///
/// # Errors
/// Every parameter that is missing, unexpected or of another shape, unless the options let it be; an
/// MLP-Mixer and another number of patches.
pub fn adapt(
    pretrained: &Pretrained,
    model: &ViTConfig,
    parameters: &[(String, Vec<usize>)],
    options: &AdaptOptions<'_>,
) -> Result<Adapted, InterchangeError> {
    same_places(pretrained, model)?;
    let mut notes = differences(&pretrained.config, model);
    let mut source = pretrained.tensors.clone();
    move_positions(&mut source, &pretrained.config, model, &mut notes);
    let mut adapted = Adapted {
        tensors: BTreeMap::new(),
        fresh: Vec::new(),
        partly_fresh: Vec::new(),
        notes: Vec::new(),
    };
    let mut mismatches = Mismatches::default();
    for (name, shape) in parameters {
        let found = source.remove(name);
        if (options.fresh)(name) {
            notes.push(format!("`{name}` starts afresh, as was asked for"));
            adapted.fresh.push(name.clone());
            continue;
        }
        match found {
            Some(array)
                if is_of_head(name)
                    && is_alike_but_for_classes(&array.shape, shape)
                    && array.shape.last() == Some(&pretrained.config.classes) =>
            {
                match options.classes {
                    Some(classes) if classes.iter().any(Option::is_some) => {
                        adapted.tensors.insert(name.clone(), array.picked(classes));
                        if classes.contains(&None) {
                            adapted.partly_fresh.push(name.clone());
                        }
                    }
                    None if array.shape == *shape => {
                        adapted.tensors.insert(name.clone(), array);
                    }
                    _ => adapted.fresh.push(name.clone()),
                }
            }
            Some(array) if array.shape == *shape => {
                adapted.tensors.insert(name.clone(), array);
            }
            Some(array) if name == "pos_embed" && array.shape[2] == shape[2] => {
                let resized = resize_positions(
                    &array,
                    model.prefix_positions(),
                    model.grid(),
                    options.positions,
                );
                let old = pretrained.config.grid();
                let new = model.grid();
                notes.push(format!("positions were resized from {old} x {old} to {new} x {new}"));
                adapted.tensors.insert(name.clone(), resized);
            }
            Some(array) if is_table(name, &array, shape, pretrained, model) => {
                let extra = if model.prefix_tokens() > 0 { 3 } else { 0 };
                notes.push(format!("`{name}` was resized from {:?} to {shape:?}", array.shape));
                let table = resize_relative_bias(&array, extra, model.grid());
                adapted.tensors.insert(name.clone(), table);
            }
            Some(array) => {
                mismatches.shapes.push((name.clone(), array.shape, shape.clone()));
            }
            None if is_of_head(name) && pretrained.config.classes == 0 => {
                notes.push(format!("`{name}` starts afresh: the file has no head"));
                adapted.fresh.push(name.clone());
            }
            None => mismatches.missing.push((name.clone(), shape.clone())),
        }
    }
    for (name, array) in source {
        if (options.ignore)(&name) {
            notes.push(format!("`{name}` is left out, as was asked for"));
        } else {
            mismatches.unexpected.push((name, array.shape));
        }
    }
    if !mismatches.is_empty() {
        return Err(InterchangeError::Mismatch {
            path: pretrained.origin.clone().into(),
            model: format!("the {} that is to start from them", describe(model)),
            mismatches,
        });
    }
    let (from, to) = (pretrained.config.classes, model.classes);
    let is_other_head = from != to && from > 0 && options.classes.is_none();
    if is_other_head && adapted.fresh.iter().any(|name| is_of_head(name) && !(options.fresh)(name))
    {
        notes.push(format!("the head starts afresh: the file's has {from} classes, not {to}"));
    }
    adapted.notes = notes;
    Ok(adapted)
}

/// Takes a model to another image size and number of classes; a new head is zero, as in
/// google-research/vision_transformer.
///
/// # Errors
/// A configuration that does not go together.
pub fn to_task(
    pretrained: Pretrained,
    image_size: Option<usize>,
    classes: Option<usize>,
    positions: Resize,
) -> Result<Pretrained, InterchangeError> {
    let mut config = pretrained.config.clone();
    config.image_size = image_size.unwrap_or(config.image_size);
    config.classes = classes.unwrap_or(config.classes);
    config.check().map_err(|problem| InterchangeError::Foreign {
        path: pretrained.origin.clone().into(),
        problem: format!("{problem}; {}", problem.help),
    })?;
    let parameters = parameters(&config);
    let options = AdaptOptions { positions, ..AdaptOptions::default() };
    let mut adapted = adapt(&pretrained, &config, &parameters, &options)?;
    for (name, shape) in parameters {
        if adapted.fresh.contains(&name) {
            adapted.tensors.insert(name, Array::zeros(shape));
        }
    }
    let same_classes = config.classes == pretrained.config.classes;
    let mut notes = pretrained.notes;
    notes.append(&mut adapted.notes);
    let class_names = if same_classes { pretrained.class_names } else { Vec::new() };
    Ok(Pretrained { config, tensors: adapted.tensors, notes, class_names, ..pretrained })
}

/// An MLP over tokens has weights for each place of the grid, which no other grid has.
fn same_places(pretrained: &Pretrained, model: &ViTConfig) -> Result<(), InterchangeError> {
    let file = &pretrained.config;
    let (from, to) = (file.grid(), model.grid());
    if !file.is_mixer() || !model.is_mixer() || from == to {
        return Ok(());
    }
    Err(InterchangeError::Foreign {
        path: pretrained.origin.clone().into(),
        problem: format!(
            "an MLP-Mixer's MLPs over tokens have weights for each of its {from} x {from} patches, \
             and cannot be adapted to {to} x {to}: images of {} px in patches of {} px have {from} \
             x {from}",
            from * model.patch_pixels(),
            model.patch_pixels()
        ),
    })
}

/// What two models compute differently although their parameters are alike: warnings, each with what would
/// make the model compute as the file's does.
fn differences(file: &ViTConfig, model: &ViTConfig) -> Vec<String> {
    let mut notes = Vec::new();
    let mut compare = |field: &str, file: String, model: String| {
        if file != model {
            notes.push(format!(
                "warning: `model.{field}` is {model}, but the file's model has {file} (`--set 'model.{field}={file}'`)"
            ));
        }
    };
    if !file.is_mixer() && !model.is_mixer() {
        compare("heads", file.heads().to_string(), model.heads().to_string());
    }
    compare("patch_size", file.patch_size().to_string(), model.patch_size().to_string());
    compare("mlp", format!("{:?}", file.mlp), format!("{:?}", model.mlp));
    compare("pool", format!("{:?}", file.pool), format!("{:?}", model.pool));
    compare("position", format!("{:?}", file.position), format!("{:?}", model.position));
    compare("norm", format!("{:?}", file.norm), format!("{:?}", model.norm));
    compare("norm_eps", format!("{:e}", file.norm_eps), format!("{:e}", model.norm_eps));
    compare("rope", format!("{:?}", file.rope), format!("{:?}", model.rope));
    notes
}

/// Adds the positions of tokens before the patches to the tokens themselves where the model has none for
/// them, and makes zeros where it has: their sums stay what they are.
fn move_positions(
    tensors: &mut BTreeMap<String, Array>,
    file: &ViTConfig,
    model: &ViTConfig,
    notes: &mut Vec<String>,
) {
    let (from, to) = (file.prefix_positions(), model.prefix_positions());
    let Some(positions) = tensors.get_mut("pos_embed").filter(|_| from != to) else { return };
    let width = file.width();
    if to > from {
        let at = from * width;
        positions.values.splice(at..at, vec![0.0; (to - from) * width]);
        positions.shape[1] += to - from;
        notes.push(match (from, to) {
            (0, 1) => "the class token got a position of zero".into(),
            _ => format!("{} of the tokens before the patches got positions of zero", to - from),
        });
        return;
    }
    let moved: Vec<f32> = positions.values.drain(to * width..from * width).collect();
    positions.shape[1] -= from - to;
    let names = ["cls_token", "dist_token", "reg_token"];
    // Which token a position was of: its tensor, and its place there.
    let counts = names.map(|name| tensors.get(name).map_or(0, |token| token.shape[1]));
    let tokens = names.into_iter().zip(counts);
    let places = tokens.flat_map(|(name, count)| (0..count).map(move |at| (name, at)));
    let has = |name: &str| match name {
        "cls_token" => model.class_token,
        "dist_token" => model.distillation_token,
        _ => model.register_tokens > 0,
    };
    let mut changed: BTreeMap<&str, bool> = BTreeMap::new();
    for ((name, at), position) in places.skip(to).zip(moved.chunks(width)) {
        changed.insert(name, has(name));
        let Some(token) = tensors.get_mut(name).filter(|_| has(name)) else { continue };
        let values = &mut token.values[at * width..(at + 1) * width];
        values.iter_mut().zip(position).for_each(|(token, position)| *token += position);
    }
    notes.extend(changed.into_iter().map(|(name, added)| match added {
        true => format!("the positions of `{name}` were added to the tokens"),
        false => format!("the positions of `{name}` are left out"),
    }));
}

fn is_table(
    name: &str,
    array: &Array,
    shape: &[usize],
    file: &Pretrained,
    model: &ViTConfig,
) -> bool {
    name.ends_with(".attn.rel_pos.table")
        && array.shape.get(1) == shape.get(1)
        && (file.config.prefix_tokens() > 0) == (model.prefix_tokens() > 0)
}

/// Of the head, or of the distillation token's.
fn is_of_head(name: &str) -> bool {
    name.starts_with("head.") || name.starts_with("head_dist.")
}

/// Whether shapes are the same but for the number of classes.
fn is_alike_but_for_classes(found: &[usize], wanted: &[usize]) -> bool {
    match (found.split_last(), wanted.split_last()) {
        (Some((_, found)), Some((_, wanted))) => found == wanted,
        _ => false,
    }
}
