//! Which learning rate and weight decay each parameter gets: no decay on biases, norms, positions
//! and tokens; layer-wise learning-rate decay; and what the experiment says by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use vitral_model::parameters::ParameterInfo;

/// An exception to the rules, for the parameters whose names match.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupOverride {
    /// Names, `*` standing for anything: `head.*`, `blocks.0.*`, `*.bias`.
    #[schemars(length(min = 1))]
    pub parameters: String,
    /// Factor on the learning rate; 0 freezes.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub learning_rate_scale: Option<f64>,
    /// Weight decay in place of the experiment's.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: Option<f64>,
}

/// What one parameter is trained with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterGroup {
    /// Factor on the scheduled learning rate.
    pub learning_rate_scale: f64,
    /// Its own weight decay; none follows the schedule.
    pub weight_decay: Option<f64>,
}

impl ParameterGroup {
    /// Whether the parameter stays as it is.
    pub fn is_frozen(&self) -> bool {
        self.learning_rate_scale == 0.0
    }
}

/// The group of each parameter. Later overrides win over earlier ones, and `frozen` over all.
pub fn groups(
    parameters: &[ParameterInfo],
    depth: usize,
    layer_decay: Option<f64>,
    overrides: &[GroupOverride],
    frozen: &[String],
) -> Vec<ParameterGroup> {
    let group = |parameter: &ParameterInfo| {
        let layers_above = depth + 1 - layer_of(&parameter.name, depth);
        let mut group = ParameterGroup {
            learning_rate_scale: layer_decay.map_or(1.0, |decay| decay.powi(layers_above as i32)),
            weight_decay: is_undecayed(parameter).then_some(0.0),
        };
        for exception in overrides.iter().filter(|o| matches(&o.parameters, &parameter.name)) {
            group.learning_rate_scale *= exception.learning_rate_scale.unwrap_or(1.0);
            group.weight_decay = exception.weight_decay.or(group.weight_decay);
        }
        if frozen.iter().any(|pattern| matches(pattern, &parameter.name)) {
            group.learning_rate_scale = 0.0;
        }
        group
    };
    parameters.iter().map(group).collect()
}

/// The first override that matches no parameter, which is most likely a misspelling.
pub fn unmatched<'a>(
    parameters: &[ParameterInfo],
    overrides: &'a [GroupOverride],
) -> Option<(usize, &'a GroupOverride)> {
    overrides
        .iter()
        .enumerate()
        .find(|(_, o)| !parameters.iter().any(|parameter| matches(&o.parameters, &parameter.name)))
}

/// The first pattern of `frozen` that matches no parameter.
pub fn unmatched_frozen<'a>(
    parameters: &[ParameterInfo],
    frozen: &'a [String],
) -> Option<(usize, &'a String)> {
    let is_unmatched =
        |pattern: &str| !parameters.iter().any(|parameter| matches(pattern, &parameter.name));
    frozen.iter().enumerate().find(|(_, pattern)| is_unmatched(pattern))
}

/// Vectors (biases, norms, LayerScale), positions and tokens are not decayed, as in timm and
/// vit_jax; of a plugin's parameters the plugin says it.
fn is_undecayed(parameter: &ParameterInfo) -> bool {
    if let Some(decay) = parameter.decay {
        return !decay;
    }
    let last = parameter.name.rsplit('.').next().unwrap_or_default();
    parameter.shape.len() <= 1
        || matches!(
            last,
            "cls_token" | "dist_token" | "reg_token" | "pos_embed" | "latent" | "table"
        )
}

/// 0 for what comes before the blocks, 1 for the first block, ..., depth + 1 for what comes after
/// (Clark et al. 2020, as in BEiT and timm).
fn layer_of(name: &str, depth: usize) -> usize {
    let mut parts = name.split('.');
    match (parts.next(), parts.next().and_then(|index| index.parse::<usize>().ok())) {
        (Some("blocks"), Some(index)) => index + 1,
        (Some("patch_embed" | "cls_token" | "dist_token" | "reg_token" | "pos_embed"), _) => 0,
        _ => depth + 1,
    }
}

/// Whether a name fits a pattern in which `*` stands for any characters.
/// ```
/// use vitral_train::groups::matches;
///
/// assert!(matches("blocks.*.attn.*", "blocks.3.attn.qkv.weight"));
/// assert!(!matches("head.*", "blocks.3.attn.qkv.weight"));
/// ```
pub fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, rank: usize) -> ParameterInfo {
        ParameterInfo { name: name.into(), shape: vec![2; rank], decay: None }
    }

    #[test]
    fn patterns_match_names() {
        for (pattern, name, expected) in [
            ("head.*", "head.weight", true),
            ("head.*", "attn_head.weight", false),
            ("*.bias", "blocks.0.attn.qkv.bias", true),
            ("blocks.*.attn.*", "blocks.11.attn.proj.weight", true),
            ("blocks.*.attn.*", "blocks.11.mlp.fc1.weight", false),
            ("blocks.1.*", "blocks.11.mlp.fc1.weight", false),
            ("norm.weight", "norm.weight", true),
            ("norm.weight", "norm.weights", false),
            ("*", "anything", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    #[test]
    fn vectors_positions_and_tokens_are_not_decayed() {
        let names = [
            ("head.weight", 2, None),
            ("head.bias", 1, Some(0.0)),
            ("pos_embed", 3, Some(0.0)),
            ("cls_token", 3, Some(0.0)),
            ("blocks.0.ls1.gamma", 1, Some(0.0)),
            ("blocks.0.attn.rel_pos.table", 2, Some(0.0)),
            ("blocks.0.attn.qkv.weight", 2, None),
            ("blocks.0.mlp_tokens.fc1.weight", 2, None),
            ("patch_embed.backbone.stem.conv.weight", 4, None),
            ("patch_embed.backbone.stem.norm.weight", 1, Some(0.0)),
        ];
        for (name, rank, expected) in names {
            let found = groups(&[parameter(name, rank)], 12, None, &[], &[])[0];
            assert_eq!(
                found,
                ParameterGroup { learning_rate_scale: 1.0, weight_decay: expected },
                "{name}"
            );
        }
    }

    #[test]
    fn layer_decay_falls_towards_the_input() {
        let parameters = [
            "patch_embed.backbone.stages.0.blocks.1.norm1.weight",
            "pos_embed",
            "blocks.0.norm1.weight",
            "blocks.1.norm1.weight",
            "norm.weight",
            "head.weight",
        ]
        .map(|name| parameter(name, 1));
        let scales: Vec<f64> = groups(&parameters, 2, Some(0.5), &[], &[])
            .iter()
            .map(|group| group.learning_rate_scale)
            .collect();
        assert_eq!(scales, [0.125, 0.125, 0.25, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn frozen_parameters_have_no_learning_rate() {
        let parameters = [parameter("blocks.0.norm1.weight", 1), parameter("head.bias", 1)];
        let patterns = ["blocks.0.*".to_owned()];
        let found = groups(&parameters, 1, None, &[], &patterns);
        assert_eq!([found[0].is_frozen(), found[1].is_frozen()], [true, false]);
        assert_eq!(unmatched_frozen(&parameters, &patterns), None);
        let misspelt = ["block.0.*".to_owned()];
        assert_eq!(unmatched_frozen(&parameters, &misspelt), Some((0, &misspelt[0])));
    }

    #[test]
    fn overrides_change_what_they_name() {
        let exception = GroupOverride {
            parameters: "head.*".into(),
            learning_rate_scale: Some(10.0),
            weight_decay: Some(0.3),
        };
        let found = groups(
            &[parameter("head.bias", 1), parameter("norm.bias", 1)],
            1,
            None,
            std::slice::from_ref(&exception),
            &[],
        );
        assert_eq!(found[0], ParameterGroup { learning_rate_scale: 10.0, weight_decay: Some(0.3) });
        assert_eq!(found[1], ParameterGroup { learning_rate_scale: 1.0, weight_decay: Some(0.0) });
        let misspelt = GroupOverride { parameters: "haed.*".into(), ..exception };
        assert_eq!(
            unmatched(&[parameter("head.bias", 1)], &[misspelt]).map(|(index, _)| index),
            Some(0)
        );
    }
}
