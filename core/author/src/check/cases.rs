//! What plugins are tried with: configurations, and inputs of each kind.

use std::fmt;

use vitral_host::{Batch, Description, Event, Image, Kind, Layer, Sample, Setting};
use vitral_testkit::{events, pictures};

/// Settings that a plugin must work with.
#[derive(Clone, Debug)]
pub(crate) struct Configuration {
    /// For people.
    pub(crate) title: String,
    pub(crate) settings: Vec<Setting>,
}

/// The defaults, unless something must be set, and every documented example.
pub(crate) fn configurations(description: &Description) -> Vec<Configuration> {
    let has_defaults = description.parameters.iter().all(|parameter| parameter.default.is_some());
    let defaults = || Configuration { title: "defaults".into(), settings: Vec::new() };
    let examples = description.examples.iter().map(|example| Configuration {
        title: format!("example \"{}\"", example.title),
        settings: example.settings.clone(),
    });
    has_defaults.then(defaults).into_iter().chain(examples).collect()
}

/// What a plugin of a kind is called with.
#[derive(Clone, Debug)]
pub(super) enum Input {
    Layer(Layer),
    Batch(Batch),
    Image(Image, Sample),
    Events(&'static str, Vec<Event>),
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layer(layer) => {
                let Layer { index, heads, head_width, prefix_tokens, .. } = layer;
                let Layer { grid_height, grid_width, dropout, .. } = layer;
                write!(
                    f,
                    "layer {index}, {heads} heads of width {head_width}, {prefix_tokens} prefix \
                     tokens, {grid_height}x{grid_width} patches, dropout {dropout}"
                )
            }
            Self::Batch(Batch { height, width, channels, classes }) => {
                write!(f, "images {height}x{width}x{channels}, {classes} classes")
            }
            Self::Image(Image { width, height, channels, .. }, sample) => {
                write!(f, "image {width}x{height}x{channels}, seed {:#x}", sample.seed)
            }
            Self::Events(name, _) => write!(f, "{name} run"),
        }
    }
}

/// An ordinary layer, small enough for finite differences.
pub(super) const LAYER: Layer = Layer {
    index: 1,
    depth: 4,
    heads: 2,
    head_width: 4,
    prefix_tokens: 1,
    grid_height: 4,
    grid_width: 4,
    dropout: 0.0,
};

/// Ordinary batches, small enough for finite differences.
pub(super) const BATCH: Batch = Batch { height: 6, width: 6, channels: 3, classes: 4 };

/// What both forms of a plugin must do the same with; the first is an ordinary one.
pub(super) fn inputs(kind: Kind) -> Vec<Input> {
    match kind {
        Kind::Attention => layers().map(Input::Layer).into(),
        Kind::BatchAugmentation => batches().map(Input::Batch).into(),
        Kind::ImageAugmentation => images(),
        Kind::Monitor => vec![
            Input::Events("ordinary", events::ordinary()),
            Input::Events("troubled", events::troubled()),
        ],
    }
}

fn layers() -> [Layer; 6] {
    let vit = Layer { depth: 12, heads: 6, head_width: 64, ..LAYER };
    let vit = Layer { grid_height: 14, grid_width: 14, ..vit };
    [
        LAYER,
        Layer { index: 0, dropout: 0.1, ..LAYER },
        vit,
        Layer { index: 0, prefix_tokens: 5, dropout: 0.1, ..vit },
        Layer { prefix_tokens: 0, grid_height: 3, grid_width: 7, ..LAYER },
        Layer { index: 3, heads: 1, head_width: 1, grid_height: 1, grid_width: 1, ..LAYER },
    ]
}

fn batches() -> [Batch; 4] {
    [
        BATCH,
        Batch { height: 224, width: 224, channels: 3, classes: 1000 },
        Batch { height: 28, width: 28, channels: 1, classes: 10 },
        Batch { height: 5, width: 7, channels: 3, classes: 1 },
    ]
}

/// Seeds for each image: an augmentation may do different things by chance.
const SEEDS: u64 = 16;

fn images() -> Vec<Input> {
    let mut inputs = Vec::new();
    for (width, height) in [(32, 32), (224, 224), (33, 17), (1, 1), (3, 50)] {
        for channels in [3, 1] {
            for index in 0..SEEDS {
                let seed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let sample = Sample { seed, epoch: index as u32, size: 32 };
                inputs.push(Input::Image(image(width, height, channels, index), sample));
            }
        }
    }
    inputs
}

/// A picture: even ones are smooth, odd ones are noise.
pub(crate) fn image(width: u32, height: u32, channels: u32, number: u64) -> Image {
    let picture = match number % 2 {
        0 => pictures::ramp(width, height, channels),
        _ => pictures::noise(width, height, channels, number),
    };
    Image { width, height, channels, pixels: picture.pixels }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vitral_host::{Example, Parameter, ParameterType, Value};

    #[test]
    fn defaults_are_a_configuration_unless_something_must_be_set() {
        let description = |default| Description {
            name: "x".into(),
            version: "1.0.0".into(),
            summary: "Does".into(),
            parameters: vec![Parameter {
                name: "on".into(),
                doc: "Whether.".into(),
                r#type: ParameterType::Boolean,
                default,
            }],
            examples: vec![Example::new("On").set("on", true)],
        };
        let titles = |default| -> Vec<_> {
            configurations(&description(default)).into_iter().map(|it| it.title).collect()
        };
        assert_eq!(titles(Some(Value::Boolean(false))), ["defaults", "example \"On\""]);
        assert_eq!(titles(None), ["example \"On\""]);
    }

    #[test]
    fn every_kind_has_inputs() {
        for kind in Kind::ALL {
            assert!(inputs(kind).len() >= 2, "{kind}");
        }
    }
}
