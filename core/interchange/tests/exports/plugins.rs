//! Models whose attention is a first-party plugin's.

use std::{collections::BTreeMap, sync::Arc};

use vitral_host::Value;
use vitral_model::{
    AttentionPrograms, ViTConfig,
    config::{AttentionKind, LayerAttention},
};
use vitral_program::Program;
use vitral_testkit::{Attention, layer};

use crate::models::base;

/// A plugin's attention in both layers, for every plugin and its modes.
pub fn plugins() -> Vec<(&'static str, ViTConfig, AttentionPrograms)> {
    let text = |value: &str| Value::Text(value.to_owned());
    vec![
        of::<vitral_window::Window>("window", &[("size", Value::Integer(2))]),
        of::<vitral_window::Window>(
            "window over the border",
            &[("size", Value::Integer(3)), ("shift", text("always"))],
        ),
        of::<vitral_linear::Linear>("linear", &[]),
        of::<vitral_linear::Linear>(
            "linear with random features",
            &[("kernel", text("favor")), ("features", Value::Integer(16))],
        ),
        of::<vitral_pooled::Pooled>("pooled", &[]),
        of::<vitral_pooled::Pooled>("pooled by convolution", &[("mode", text("conv"))]),
        of::<vitral_talking_heads::TalkingHeads>("talking-heads", &[]),
        of::<vitral_differential::Differential>("differential", &[]),
    ]
}

fn of<P: vitral_sdk::Attention>(
    name: &'static str,
    settings: &[(&str, Value)],
) -> (&'static str, ViTConfig, AttentionPrograms) {
    let attention = AttentionKind::Plugin {
        name: name.into(),
        version: semver::VersionReq::STAR,
        settings: BTreeMap::default(),
        heads: None,
        qk_norm: None,
    };
    let attention = vec![LayerAttention { layers: (0, 1), attention }];
    let config = ViTConfig { attention, ..base() };
    let programs = (0..config.depth()).map(|index| (index, traced::<P>(&config, index, settings)));
    let programs = programs.collect();
    (name, config, programs)
}

fn traced<P: vitral_sdk::Attention>(
    config: &ViTConfig,
    index: usize,
    settings: &[(&str, Value)],
) -> Arc<Program> {
    let size = |value: usize| u32::try_from(value).unwrap();
    let mut described = layer();
    described.index = size(index);
    described.depth = size(config.depth());
    described.heads = size(config.heads());
    described.head_width = size(config.width() / config.heads());
    described.prefix_tokens = size(config.prefix_tokens());
    described.grid_height = size(config.grid());
    described.grid_width = size(config.grid());
    let attention = Attention::of::<P>().layer(described);
    let set =
        |attention: Attention, (name, value): &(&str, Value)| attention.set(*name, value.clone());
    Arc::new(settings.iter().fold(attention, set).program())
}
