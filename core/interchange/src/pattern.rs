//! Names of parameters without the layer that they are of, and with it again.

/// A name with `{}` in the place of its layer, and the layer: both dialects of path separators.
pub(crate) fn pattern_of(name: &str) -> (String, String) {
    if let Some(pattern) = unit_of(name) {
        return pattern;
    }
    for prefix in ["blocks.", "encoder.layer.", "Transformer/encoderblock_", "MixerBlock_"] {
        let Some(rest) = name.strip_prefix(prefix) else { continue };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (layer, rest) = rest.split_at(digits);
        // One way to write a number, so that no two names mean the same layer.
        if digits > 0 && digits < 6 && (layer == "0" || !layer.starts_with('0')) {
            return (format!("{prefix}{{}}{rest}"), layer.into());
        }
    }
    (name.into(), String::new())
}

/// The same of a ResNet's unit, whose layer is stage and unit, both from 0: `2.0`.
fn unit_of(name: &str) -> Option<(String, String)> {
    let number = |text: &str| {
        let plain = text.len() < 4 && (text == "0" || !text.starts_with('0'));
        text.parse::<usize>().ok().filter(|_| plain)
    };
    if let Some(rest) = name.strip_prefix(UNITS) {
        let mut parts = rest.splitn(4, '.');
        let (stage, blocks) = (number(parts.next()?)?, parts.next()?);
        let (unit, rest) = (number(parts.next()?)?, parts.next()?);
        return (blocks == "blocks")
            .then(|| (format!("{UNITS}{{}}.{rest}"), format!("{stage}.{unit}")));
    }
    let (stage, rest) = name.strip_prefix("block")?.split_once('/')?;
    let (unit, rest) = rest.strip_prefix("unit")?.split_once('/')?;
    let (stage, unit) = (number(stage)?.checked_sub(1)?, number(unit)?.checked_sub(1)?);
    Some((format!("block{{}}/{rest}"), format!("{stage}.{unit}")))
}

/// What our names of a ResNet's units start with.
const UNITS: &str = "patch_embed.backbone.stages.";

/// A pattern with its layer put in, in the words of whoever's name it is.
pub(crate) fn named(pattern: &str, layer: &str) -> String {
    match (layer.split_once('.'), pattern.strip_prefix("block{}/")) {
        (Some((stage, unit)), Some(rest)) => {
            // Numbers of a pattern: `unit_of` has read them.
            let next = |number: &str| number.parse::<usize>().map_or(0, |number| number + 1);
            format!("block{}/unit{}/{rest}", next(stage), next(unit))
        }
        (Some((stage, unit)), None) => pattern.replace("{}", &format!("{stage}.blocks.{unit}")),
        (None, _) => pattern.replace("{}", layer),
    }
}
