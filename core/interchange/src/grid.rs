//! The grid of patches that a file's positions are of: what its neighbours say of it, and what the number of
//! positions tells.

use crate::{hints::Hints, names::Dialect, settings::Settings};

/// Positions that are to become those of a square grid.
pub(crate) struct Squared {
    /// Positions before those of the patches, which stay.
    pub prefix: usize,
    /// Rows and columns in the file.
    pub from: [usize; 2],
    /// Rows, and columns, of the configuration.
    pub to: usize,
}

/// How many of the tokens before the patches may have positions: class token (and distillation token), and
/// registers. The likelier number first.
pub(crate) fn prefixes(
    dialect: Dialect,
    classes: usize,
    registers: usize,
    class_position: Option<bool>,
) -> Vec<usize> {
    match dialect {
        Dialect::BigVision => vec![0],
        Dialect::Timm => match (class_position, registers) {
            (Some(true), _) => vec![classes + registers],
            (Some(false), _) => vec![0],
            (None, 0) => vec![classes, 0],
            (None, _) => vec![0, classes + registers],
        },
        _ => vec![classes],
    }
}

/// The grid of patches, rows and columns, and how many of the tokens before them have positions.
pub(crate) fn grid_of(
    positions: usize,
    cases: &[usize],
    stated: Option<[usize; 2]>,
    settings: &Settings,
) -> Result<([usize; 2], usize), String> {
    if let (Some([rows, columns]), Some(([high, wide], key))) = (stated, settings.image) {
        let fitting = cases.iter().find(|&&prefix| rows * columns + prefix == positions);
        return match fitting {
            Some(&prefix) if rows > 0 && columns > 0 => Ok(([rows, columns], prefix)),
            _ => Err(format!(
                "config.json says images are of {high} x {wide} px (`{key}`), which is {rows} x \
                 {columns} patches, but the tensors have {positions} positions: one of the two \
                 belongs to another model"
            )),
        };
    }
    for &prefix in cases {
        let Some(patches) = positions.checked_sub(prefix) else { continue };
        let side = patches.isqrt();
        if side > 0 && side * side == patches {
            return Ok(([side, side], prefix));
        }
    }
    Err(format!(
        "{positions} positions are not those of a square grid of patches; a config.json beside the file could say which grid it is (`image_size` of Hugging Face, `model_args.img_size` of timm)"
    ))
}

/// The side of the grid that the caller wants in the place of one that is not square.
pub(crate) fn square(
    [rows, columns]: [usize; 2],
    patch_pixels: usize,
    settings: &Settings,
    hints: &Hints,
) -> Result<usize, String> {
    let Some(size) = hints.image_size else {
        let [high, wide] = [rows * patch_pixels, columns * patch_pixels];
        let key = settings.image.map_or("", |(_, key)| key);
        return Err(format!(
            "its images are of {high} x {wide} px (`{key}` of config.json), {rows} x {columns} \
             patches, but models here have square grids: say for which image size to resize the \
             positions (`--image-size {}`)",
            high.min(wide)
        ));
    };
    match size % patch_pixels {
        0 if size > 0 => Ok(size / patch_pixels),
        _ => Err(format!("images of {size} px are not of whole patches of {patch_pixels} px")),
    }
}
