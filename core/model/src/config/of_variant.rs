//! What a published name says of fields that an experiment leaves out.

use serde::Deserializer;

use super::{
    ViTConfig,
    options::{Pool, Position, TokenMixing},
};
use crate::{Variant, variant::Family};

impl ViTConfig {
    /// The model that a published name means, with everything else by default.
    pub fn of_variant(variant: Variant) -> Self {
        let base = Self { variant, ..Self::default() };
        match variant.family {
            Family::ViT => base,
            Family::Hybrid(_) => Self { stem: variant.stem(), ..base },
            Family::Mixer => Self {
                token_mixing: TokenMixing::Mlp { hidden: None },
                class_token: false,
                pool: Pool::Mean,
                position: Position::None,
                ..base
            },
        }
    }
}

/// Deserialises a model whose fields, where they are left out, are those of its variant.
///
/// # Errors
/// Those of the format, and of the fields.
pub fn model_of_variant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ViTConfig, D::Error> {
    let (config, given) = vitral_config::with_given::<ViTConfig, D>(deserializer)?;
    let is_given = |field: &str| given.iter().any(|given| given == field);
    let preset = ViTConfig::of_variant(config.variant);
    let mut config = config;
    if !is_given("stem") {
        config.stem = preset.stem;
    }
    if !is_given("token_mixing") {
        config.token_mixing = preset.token_mixing;
    }
    if !is_given("class_token") {
        config.class_token = preset.class_token;
    }
    if !is_given("pool") {
        config.pool = preset.pool;
    }
    if !is_given("position") {
        config.position = preset.position;
    }
    Ok(config)
}
