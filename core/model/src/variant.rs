//! The published models: `Ti/16`, `B/32`, `Mixer-B/16`, `R50+ViT-B/16` and the like.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::stem::Stem;

/// The sizes that the papers name by a letter.
///
/// Of ViTs, Ti and S are DeiT's (Touvron et al. 2021), B, L and H those of Dosovitskiy et al. 2021;
/// S to H of MLP-Mixers are those of Tolstikhin et al. 2021.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Tiny: width 192, depth 12, 3 heads.
    Ti,
    /// Small: width 384, depth 12, 6 heads.
    S,
    /// Base: width 768, depth 12, 12 heads.
    B,
    /// Large: width 1024, depth 24, 16 heads.
    L,
    /// Huge: width 1280, depth 32, 16 heads.
    H,
}

impl Size {
    /// Every size, smallest first.
    pub const ALL: [Self; 5] = [Self::Ti, Self::S, Self::B, Self::L, Self::H];

    /// `(width, depth, heads)` of a ViT.
    pub const fn dimensions(self) -> (usize, usize, usize) {
        match self {
            Self::Ti => (192, 12, 3),
            Self::S => (384, 12, 6),
            Self::B => (768, 12, 12),
            Self::L => (1024, 24, 16),
            Self::H => (1280, 32, 16),
        }
    }

    /// `(width, depth)` of an MLP-Mixer, of which there is no Ti.
    pub const fn mixer_dimensions(self) -> (usize, usize) {
        match self {
            Self::Ti | Self::S => (512, 8),
            Self::B => (768, 12),
            Self::L => (1024, 24),
            Self::H => (1280, 32),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ti => "Ti",
            Self::S => "S",
            Self::B => "B",
            Self::L => "L",
            Self::H => "H",
        }
    }
}

/// What kind of model a published name means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A Vision Transformer (Dosovitskiy et al. 2021).
    ViT,
    /// An MLP-Mixer (Tolstikhin et al. 2021).
    Mixer,
    /// A Vision Transformer behind a ResNet (Dosovitskiy et al. 2021, Steiner et al. 2021).
    Hybrid(Backbone),
}

/// The ResNet of a hybrid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// `R`: the root alone, with patches of half the number that the name has. The root makes an
    /// image four times smaller, so that a patch of `R+ViT-Ti/16` covers 32 px.
    R,
    /// `R26`: four stages of two units, for `/32`.
    R26,
    /// `R50`: stages of 3, 4, 6 and 3 units for `/32`, of 3, 4 and 9 for `/16`.
    R50,
}

impl Backbone {
    const ALL: [Self; 3] = [Self::R, Self::R26, Self::R50];

    const fn name(self) -> &'static str {
        match self {
            Self::R => "R",
            Self::R26 => "R26",
            Self::R50 => "R50",
        }
    }

    /// Units of each stage, and the patch size behind them; none if there is no such model.
    const fn layers(self, patch: usize) -> Option<(&'static [usize], usize)> {
        match (self, patch) {
            (Self::R, 16) => Some((&[], 8)),
            (Self::R26, 32) => Some((&[2, 2, 2, 2], 1)),
            (Self::R50, 32) => Some((&[3, 4, 6, 3], 1)),
            (Self::R50, 16) => Some((&[3, 4, 9], 1)),
            _ => None,
        }
    }
}

/// A published model, written as in the papers: a size and a patch size, as in `Ti/16`, `B/32`,
/// `Mixer-B/16` or `R50+ViT-B/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Variant {
    /// What kind of model it is.
    pub family: Family,
    /// The letter.
    pub size: Size,
    /// The side of a square patch in pixels, as the name has it.
    pub patch: usize,
}

impl Variant {
    /// `(width, depth)`.
    pub const fn dimensions(self) -> (usize, usize) {
        match self.family {
            Family::Mixer => self.size.mixer_dimensions(),
            Family::ViT | Family::Hybrid(_) => {
                let (width, depth, _) = self.size.dimensions();
                (width, depth)
            }
        }
    }

    /// Side of a square patch of the image, or of what the ResNet before it gives.
    pub const fn patch_size(self) -> usize {
        match self.layers() {
            Some((_, patch)) => patch,
            None => self.patch,
        }
    }

    /// What the image goes through before it is cut into patches.
    pub fn stem(self) -> Stem {
        match self.layers() {
            Some((layers, _)) => Stem::ResNet { layers: layers.to_vec(), width: 64 },
            None => Stem::None,
        }
    }

    const fn layers(self) -> Option<(&'static [usize], usize)> {
        match self.family {
            Family::Hybrid(backbone) => backbone.layers(self.patch),
            Family::ViT | Family::Mixer => None,
        }
    }
}

impl Default for Variant {
    fn default() -> Self {
        Self { family: Family::ViT, size: Size::Ti, patch: 16 }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::ViT => Ok(()),
            Family::Mixer => f.write_str("Mixer-"),
            Family::Hybrid(backbone) => write!(f, "{}+ViT-", backbone.name()),
        }?;
        write!(f, "{}/{}", self.size.name(), self.patch)
    }
}

impl FromStr for Variant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (family, rest) = match (text.strip_prefix("Mixer-"), text.split_once('+')) {
                (Some(rest), _) => (Family::Mixer, rest),
                (None, Some((name, rest))) => {
                    let known = Backbone::ALL.into_iter().find(|known| known.name() == name)?;
                    (Family::Hybrid(known), rest)
                }
                (None, None) => (Family::ViT, text),
            };
            let rest = match family {
                Family::Mixer => rest,
                _ => rest.strip_prefix("ViT-").unwrap_or(rest),
            };
            let (size, patch) = rest.split_once('/')?;
            let size = Size::ALL.into_iter().find(|known| known.name() == size)?;
            let patch = patch.parse().ok().filter(|&patch| patch > 0)?;
            let exists = match family {
                Family::ViT => true,
                Family::Mixer => size != Size::Ti,
                Family::Hybrid(backbone) => backbone.layers(patch).is_some(),
            };
            exists.then_some(Self { family, size, patch })
        };
        parse().ok_or_else(|| {
            format!("`{text}` is not a variant: write a size (Ti, S, B, L, H) and a patch size, as in `Ti/16` or `B/32`, with `Mixer-` before it (S, B, L, H), as in `Mixer-B/16`, or with a ResNet (R /16, R26 /32, R50 /16 and /32), as in `R50+ViT-B/16`")
        })
    }
}

impl TryFrom<String> for Variant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Variant> for String {
    fn from(variant: Variant) -> Self {
        variant.to_string()
    }
}

impl JsonSchema for Variant {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Variant".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^(((ViT-)?(Ti|S|B|L|H)|Mixer-(S|B|L|H))/[1-9][0-9]*|(R[+](ViT-)?(Ti|S|B|L|H)/16)|(R26[+](ViT-)?(Ti|S|B|L|H)/32)|(R50[+](ViT-)?(Ti|S|B|L|H)/(16|32)))$",
            "description": "A published size and a patch size, as in `Ti/16`, `Mixer-B/16` or `R50+ViT-B/16`."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_read_as_they_are_written() {
        for text in [
            "Ti/16",
            "S/32",
            "B/8",
            "L/16",
            "H/14",
            "Mixer-B/16",
            "Mixer-H/14",
            "R+ViT-Ti/16",
            "R26+ViT-S/32",
            "R50+ViT-B/16",
        ] {
            assert_eq!(text.parse::<Variant>().unwrap().to_string(), text);
        }
        assert_eq!("ViT-B/16".parse::<Variant>().unwrap().to_string(), "B/16");
        assert_eq!("R50+L/32".parse::<Variant>().unwrap().to_string(), "R50+ViT-L/32");
        for text in [
            "R26+ViT-S/16",
            "R+ViT-Ti/32",
            "R101+ViT-B/32",
            "R50+",
            "",
            "B",
            "X/16",
            "B/0",
            "B/x",
            "b16",
            "Mixer-Ti/16",
            "Mixer-B",
        ] {
            assert!(text.parse::<Variant>().unwrap_err().contains("Ti/16"), "{text}");
        }
    }
}
