//! How much a model computes, for monitors and comparisons.

use crate::{AttentionPrograms, ViTConfig, mlp::Mlp, pool::Pool, resnet::Stem};

/// Floating-point operations of one image's forward pass: two for each multiplication and addition
/// of the matrix products, which is where nearly all of them are. Backward takes twice as many.
pub fn forward(config: &ViTConfig, programs: &AttentionPrograms) -> f64 {
    let (width, hidden) = (config.width() as f64, config.mlp_dim() as f64);
    let patches = (config.grid() * config.grid()) as f64;
    let tokens = config.tokens_by_layer();
    let channels = config.stem.channels(config.channels);
    let patch = (config.patch_size() * config.patch_size() * channels) as f64;
    let product = |rows: f64, inner: f64, columns: f64| 2.0 * rows * inner * columns;
    let matrices = match config.mlp {
        Mlp::Gelu | Mlp::GeluTanh => 2.0,
        Mlp::SwiGlu => 3.0,
    };
    let blocks: f64 = (0..config.depth())
        .map(|layer| {
            // Tokens of attention, and those that it leaves to the MLP.
            let (tokens, left) = (tokens[layer] as f64, tokens[layer + 1] as f64);
            let mixing = match (config.tokens_mlp_dim(), programs.get(&layer)) {
                (Some(hidden), _) => matrices * product(width, tokens, hidden as f64),
                (None, program) => {
                    product(tokens, width, 4.0 * width)
                        + match program {
                            Some(program) => program.products() as f64,
                            None => 2.0 * product(tokens, width, tokens),
                        }
                }
            };
            mixing + matrices * product(left, width, hidden) + matching(config, layer, tokens)
        })
        .sum();
    let pool = match config.pool {
        // Keys and values of every token, and an MLP on one.
        Pool::Map => {
            product(tokens[config.depth()] as f64, width, 2.0 * width)
                + 2.0 * product(1.0, width, hidden)
        }
        _ => 0.0,
    };
    let classes = config.classes as f64;
    let heads = if config.distillation_token { 2.0 } else { 1.0 };
    let head = heads * product(1.0, config.pooled_width() as f64, classes);
    stem(config) + product(patches, patch, width) + blocks + pool + head
}

/// The convolutions of a ResNet before the patches.
fn stem(config: &ViTConfig) -> f64 {
    let Stem::ResNet { layers, width } = &config.stem else { return 0.0 };
    let convolution = |side: usize, inputs: usize, outputs: usize, kernel: usize| {
        2.0 * (side * side) as f64 * (inputs * kernel * kernel) as f64 * outputs as f64
    };
    let root = convolution(config.image_size.div_ceil(2), config.channels, *width, 7);
    let (mut side, mut inputs) = (config.image_size.div_ceil(4), *width);
    let mut units = 0.0;
    for (stage, &count) in layers.iter().enumerate() {
        let (features, outputs) = (width << stage, (4 * width) << stage);
        for unit in 0..count {
            let before = side;
            if stage > 0 && unit == 0 {
                side = side.div_ceil(2);
            }
            units += convolution(before, inputs, features, 1)
                + convolution(side, features, features, 3)
                + convolution(side, features, outputs, 1);
            if unit == 0 {
                units += convolution(side, inputs, outputs, 1);
            }
            inputs = outputs;
        }
    }
    root + units
}

/// What finding the tokens to merge takes: similarities of half of the patches with the others.
fn matching(config: &ViTConfig, layer: usize, tokens: f64) -> f64 {
    if config.merged_of(layer) == 0 {
        return 0.0;
    }
    let half = (tokens - config.prefix_tokens() as f64) / 2.0;
    2.0 * half * half * (config.width() / config.heads_of(layer)) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published: 1.3 and 4.6 billion multiplications and additions (Touvron et al. 2021), and what
    /// PyTorch's `FlopCounterMode` counts of timm's MLP-Mixer and hybrids.
    #[test]
    fn published_sizes_have_their_published_cost() {
        for (variant, billions) in [
            ("Ti/16", 1.26),
            ("S/16", 4.61),
            ("B/16", 17.58),
            ("Mixer-B/16", 12.602),
            ("R+ViT-Ti/16", 0.43368),
            ("R50+ViT-B/16", 21.535),
        ] {
            let config =
                ViTConfig { classes: 1000, ..ViTConfig::of_variant(variant.parse().unwrap()) };
            let found = forward(&config, &AttentionPrograms::new()) / 2e9;
            assert!((found / billions - 1.0).abs() < 0.01, "{variant}: {found}");
        }
    }
}
