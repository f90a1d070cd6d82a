//! The published models' sizes.

use burn::tensor::Device;
use vitral_model::{ViT, ViTConfig, parameters};
use vitral_seed::Seed;

/// Parameter counts that timm lists for its models at 224 px with 1000 classes.
#[test]
fn presets_have_the_published_parameter_counts() {
    for (variant, published) in [
        ("Ti/16", 5_717_416),
        ("S/16", 22_050_664),
        ("S/32", 22_878_952),
        ("B/16", 86_567_656),
        ("B/32", 88_224_232),
        ("L/16", 304_326_632),
        ("L/32", 306_535_400),
        ("H/14", 632_045_800),
        ("R+ViT-Ti/16", 6_337_704),
        ("R26+ViT-S/32", 36_431_912),
        ("R50+ViT-B/16", 98_659_112),
        ("R50+ViT-L/32", 328_994_856),
        ("Mixer-S/16", 18_528_264),
        ("Mixer-B/16", 59_880_472),
        ("Mixer-B/32", 60_293_428),
        ("Mixer-L/16", 208_196_168),
    ] {
        let config = ViTConfig { classes: 1000, ..ViTConfig::of_variant(variant.parse().unwrap()) };
        // All blocks are alike, so two small models tell the size of the deep one.
        let [one, two] =
            [1, 2].map(|depth| count(&ViTConfig { depth: Some(depth), ..config.clone() }));
        assert_eq!(one + (config.depth() - 1) * (two - one), published, "{variant}");
        if variant == "Ti/16" {
            assert_eq!(count(&config), published);
        }
    }
}

fn count(config: &ViTConfig) -> usize {
    parameters::count(&ViT::new(config, Seed::new(0), &Device::flex()).unwrap())
}
