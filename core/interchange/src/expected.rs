//! The parameters that a configuration has, without making any: names and shapes by arithmetic, so
//! that a file is compared with a model before there is memory for one.

use std::collections::BTreeMap;

use vitral_model::{ViTConfig, mlp::Mlp, pool::Pool, position::Position, resnet::Stem};

/// Names and shapes of a model with softmax attention, or of an MLP-Mixer, as
/// [`vitral_model::parameters::infos`] has them.
pub(crate) fn expected(config: &ViTConfig) -> BTreeMap<String, Vec<usize>> {
    let mut list = List(BTreeMap::new());
    let (width, grid, patch) = (config.width(), config.grid(), config.patch_size());
    list.stem(config);
    let channels = config.stem.channels(config.channels);
    list.linear("patch_embed.proj", patch * patch * channels, width, true);
    if config.class_token {
        list.add("cls_token", &[1, 1, width]);
    }
    if config.distillation_token {
        list.add("dist_token", &[1, 1, width]);
    }
    if config.register_tokens > 0 {
        list.add("reg_token", &[1, config.register_tokens, width]);
    }
    if config.position == Position::Learned {
        list.add("pos_embed", &[1, grid * grid + config.prefix_positions(), width]);
    }
    for layer in 0..config.depth() {
        list.block(config, layer);
    }
    list.norm(if config.fc_norm { "fc_norm" } else { "norm" }, width);
    if config.pool == Pool::Map {
        list.add("attn_pool.latent", &[1, 1, width]);
        list.linear("attn_pool.q", width, width, true);
        list.linear("attn_pool.kv", width, 2 * width, true);
        list.linear("attn_pool.proj", width, width, true);
        list.norm("attn_pool.norm", width);
        list.mlp("attn_pool.mlp", config, [width, config.mlp_dim()]);
    }
    if let Some(size) = config.representation_size {
        list.linear("pre_logits", config.pooled_width(), size, true);
    }
    if config.classes > 0 {
        let features = config.representation_size.unwrap_or(config.pooled_width());
        list.linear("head", features, config.classes, true);
        if config.distillation_token {
            list.linear("head_dist", width, config.classes, true);
        }
    }
    list.0
}

/// Names and shapes of the parameters that a model with softmax attention has, by name.
pub fn parameters(config: &ViTConfig) -> Vec<(String, Vec<usize>)> {
    expected(config).into_iter().collect()
}

struct List(BTreeMap<String, Vec<usize>>);

impl List {
    fn add(&mut self, name: &str, shape: &[usize]) {
        self.0.insert(name.into(), shape.to_vec());
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize, bias: bool) {
        self.add(&format!("{name}.weight"), &[inputs, outputs]);
        if bias {
            self.add(&format!("{name}.bias"), &[outputs]);
        }
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.add(&format!("{name}.weight"), &[width]);
        self.add(&format!("{name}.bias"), &[width]);
    }

    fn mlp(&mut self, name: &str, config: &ViTConfig, [width, hidden]: [usize; 2]) {
        let projected = if config.mlp == Mlp::SwiGlu { 2 * hidden } else { hidden };
        self.linear(&format!("{name}.fc1"), width, projected, true);
        self.linear(&format!("{name}.fc2"), hidden, width, true);
    }

    fn block(&mut self, config: &ViTConfig, layer: usize) {
        let width = config.width();
        let at = |name: &str| format!("blocks.{layer}.{name}");
        self.norm(&at("norm1"), width);
        match config.tokens_mlp_dim() {
            Some(hidden) => {
                self.mlp(&at("mlp_tokens"), config, [config.grid() * config.grid(), hidden]);
            }
            None => self.attention(config, layer),
        }
        self.norm(&at("norm2"), width);
        self.mlp(&at("mlp"), config, [width, config.mlp_dim()]);
        if config.layer_scale.is_some() {
            self.add(&at("ls1.gamma"), &[width]);
            self.add(&at("ls2.gamma"), &[width]);
        }
    }

    fn stem(&mut self, config: &ViTConfig) {
        let Stem::ResNet { layers, width } = &config.stem else { return };
        let mut conv = |place: &str, name: &str, [inputs, outputs, kernel]: [usize; 3]| {
            let at =
                |what: &str| format!("patch_embed.backbone.{place}.{}", name.replace('?', what));
            self.add(&format!("{}.weight", at("conv")), &[outputs, inputs, kernel, kernel]);
            self.norm(&at("norm"), outputs);
        };
        conv("stem", "?", [config.channels, *width, 7]);
        let mut inputs = *width;
        for (stage, &units) in layers.iter().enumerate() {
            let (features, outputs) = (width << stage, (4 * width) << stage);
            for unit in 0..units {
                let place = format!("stages.{stage}.blocks.{unit}");
                if unit == 0 {
                    conv(&place, "downsample.?", [inputs, outputs, 1]);
                }
                conv(&place, "?1", [inputs, features, 1]);
                conv(&place, "?2", [features, features, 3]);
                conv(&place, "?3", [features, outputs, 1]);
                inputs = outputs;
            }
        }
    }

    fn attention(&mut self, config: &ViTConfig, layer: usize) {
        let (width, heads) = (config.width(), config.heads_of(layer));
        let at = |name: &str| format!("blocks.{layer}.attn.{name}");
        self.linear(&at("qkv"), width, 3 * width, config.qkv_bias);
        if config.attention_of(layer).qk_norm().unwrap_or(config.qk_norm) {
            self.norm(&at("q_norm"), width / heads);
            self.norm(&at("k_norm"), width / heads);
        }
        if config.relative_position_bias {
            let side = 2 * config.grid() - 1;
            let entries = side * side + if config.prefix_tokens() > 0 { 3 } else { 0 };
            self.add(&at("rel_pos.table"), &[entries, heads]);
        }
        self.linear(&at("proj"), width, width, true);
    }
}

#[cfg(test)]
mod tests {
    use vitral_model::{ViT, device::Device, parameters};
    use vitral_seed::Seed;

    use super::*;

    #[test]
    fn the_list_is_what_models_have() {
        let base = ViTConfig {
            image_size: 8,
            channels: 2,
            classes: 5,
            patch_size: Some(2),
            width: Some(16),
            depth: Some(2),
            heads: Some(2),
            mlp_ratio: 1.5,
            ..ViTConfig::default()
        };
        let mixer = ViTConfig {
            image_size: 8,
            classes: 5,
            patch_size: Some(2),
            width: Some(16),
            depth: Some(2),
            ..ViTConfig::of_variant("Mixer-S/16".parse().unwrap())
        };
        let mean = ViTConfig { pool: Pool::Mean, class_token: false, ..base.clone() };
        for config in [
            base.clone(),
            mixer.clone(),
            ViTConfig {
                image_size: 32,
                patch_size: Some(1),
                stem: Stem::ResNet { layers: vec![2, 1], width: 32 },
                ..base.clone()
            },
            ViTConfig {
                image_size: 32,
                stem: Stem::ResNet { layers: vec![], width: 64 },
                ..base.clone()
            },
            ViTConfig { mlp: Mlp::SwiGlu, layer_scale: Some(1.0), ..mixer },
            ViTConfig { fc_norm: true, ..mean.clone() },
            ViTConfig { pool: Pool::Map, mlp: Mlp::SwiGlu, ..mean.clone() },
            ViTConfig { relative_position_bias: true, position: Position::None, ..mean },
            ViTConfig { relative_position_bias: true, qk_norm: true, ..base.clone() },
            ViTConfig { register_tokens: 3, class_position: false, ..base.clone() },
            ViTConfig { register_tokens: 3, register_position: true, ..base.clone() },
            ViTConfig { distillation_token: true, ..base.clone() },
            ViTConfig { pool: Pool::ClassTokenAndMean, ..base.clone() },
            ViTConfig { layer_scale: Some(1.0), qkv_bias: false, ..base.clone() },
            ViTConfig { representation_size: Some(7), position: Position::SinCos2d, ..base },
        ] {
            let model = ViT::new(&config, Seed::new(0), &Device::flex()).unwrap();
            let infos = parameters::infos(&model).into_iter();
            let found: BTreeMap<String, Vec<usize>> =
                infos.map(|info| (info.name, info.shape)).collect();
            assert_eq!(expected(&config), found, "{config:?}");
        }
    }
}
