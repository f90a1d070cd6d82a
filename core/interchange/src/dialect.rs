//! Whose names a file uses, and small differences between files of the same dialect taken away.

use crate::{array::Array, file::Tensors, names::Dialect};

/// Tensors under the plain names of their dialect.
pub(crate) struct Normalised {
    pub dialect: Dialect,
    pub tensors: Tensors,
}

/// Finds out whose names these are; takes away prefixes and stacks.
///
/// # Errors
/// Nobody's, in words.
pub(crate) fn recognise(tensors: Tensors) -> Result<Normalised, String> {
    let tensors = unstacked(tensors)?;
    // Of big_vision only the position's name is special, so it is asked first.
    let order = [
        Dialect::BigVision,
        Dialect::Published,
        Dialect::Flax,
        Dialect::Mixer,
        Dialect::Timm,
        Dialect::TimmMixer,
        Dialect::HuggingFaceVit,
        Dialect::HuggingFaceDinov2,
    ];
    for dialect in order {
        for prefix in dialect.prefixes() {
            if tensors.contains_key(&format!("{prefix}{}", dialect.mark())) {
                let strip = |(name, array): (String, Array)| match name.strip_prefix(prefix) {
                    Some(plain) => (plain.to_owned(), array),
                    None => (name, array),
                };
                return Ok(Normalised {
                    dialect,
                    tensors: tensors.into_iter().map(strip).collect(),
                });
            }
        }
    }
    let first: Vec<&str> = tensors.keys().take(5).map(String::as_str).collect();
    let known: Vec<&str> = Dialect::ALL.iter().map(|dialect| dialect.name()).collect();
    Err(format!(
        "the names of its tensors are nobody's that is known ({}, ...); known are: {}",
        first.join(", "),
        known.join("; ")
    ))
}

/// big_vision can keep all layers of a kind in one tensor (`scan: True`): each becomes one of its own.
fn unstacked(tensors: Tensors) -> Result<Tensors, String> {
    const STACK: &str = "Transformer/encoderblock/";
    let mut result = Tensors::new();
    let mut depth = None;
    for (name, array) in tensors {
        let Some((prefix, rest)) = name.split_once(STACK) else {
            result.insert(name, array);
            continue;
        };
        let layers = array.shape.first().copied().unwrap_or(0);
        if *depth.get_or_insert(layers) != layers || layers == 0 || layers > MOST_LAYERS {
            return Err(format!(
                "`{name}` is {:?}: the layers that are stacked in it are not as many as in others, or not 1 to {MOST_LAYERS}",
                array.shape
            ));
        }
        for (layer, array) in array.rows().enumerate() {
            result.insert(format!("{prefix}Transformer/encoderblock_{layer}/{rest}"), array);
        }
    }
    Ok(result)
}

/// As many as a configuration can have.
pub(crate) const MOST_LAYERS: usize = 1024;
