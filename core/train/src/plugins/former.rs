//! Plugins that were compiled in once, and what there is in their place.

/// What to write in place of a plugin that is no longer compiled in.
pub fn instead_of(plugin: &str) -> Option<&'static str> {
    match plugin {
        "mixup-cutmix" => Some(
            "the trainer has it: write `train: (mix: (mixup: 0.8, cutmix: 1.0))`, with `probability`, \
             `switch_probability` and `mode: Element` as the plugin had them",
        ),
        _ => None,
    }
}
