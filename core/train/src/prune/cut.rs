//! A model's tensors, and those that belong to its parameters, without what is pruned.

use vitral_model::ViTConfig;

use super::Kept;
use crate::checkpoint::NamedTensor;

/// What is left of tensors of a model: of its parameters, of averages of these, and of what heads and neurons
/// matter. Those of a branch that loses all are gone, with its norm and scale.
pub(crate) fn cut(tensors: Vec<NamedTensor>, model: &ViTConfig, kept: &Kept) -> Vec<NamedTensor> {
    tensors.into_iter().filter_map(|tensor| cut_one(tensor, model, kept)).collect()
}

fn cut_one(tensor: NamedTensor, model: &ViTConfig, kept: &Kept) -> Option<NamedTensor> {
    // An average's name is that of its parameter, behind its own.
    let name = tensor.name.rsplit('/').next().unwrap_or_default();
    let Some((layer, part)) = layer_and_part(name) else { return Some(tensor) };
    let (heads, neurons) = (&kept.heads[layer], &kept.neurons[layer]);
    let branch = match part.split('.').next() {
        Some("norm1" | "attn" | "ls1") => heads,
        Some("norm2" | "mlp" | "ls2") => neurons,
        _ => return Some(tensor),
    };
    if branch.is_empty() {
        return None;
    }
    let head_width = model.head_width_of(layer);
    let rows_of_heads = || of_parts(heads, head_width, 1, model.heads_of(layer));
    let columns_of_heads = || of_parts(heads, head_width, 3, model.heads_of(layer));
    // Of SwiGLU gate and value.
    let columns_of_neurons = |columns: usize| {
        let hidden = model.hidden_of(layer);
        of_parts(neurons, 1, columns / hidden, hidden)
    };
    let last = tensor.shape.last().copied().unwrap_or_default();
    Some(match part {
        "attn" => pick(tensor, 0, heads),
        "mlp" => pick(tensor, 0, neurons),
        "attn.qkv.weight" => pick(tensor, 1, &columns_of_heads()),
        "attn.qkv.bias" => pick(tensor, 0, &columns_of_heads()),
        "attn.proj.weight" => pick(tensor, 0, &rows_of_heads()),
        "attn.rel_pos.table" => pick(tensor, 1, heads),
        "mlp.fc1.weight" => pick(tensor, 1, &columns_of_neurons(last)),
        "mlp.fc1.bias" => pick(tensor, 0, &columns_of_neurons(last)),
        "mlp.fc2.weight" => pick(tensor, 0, neurons),
        // Norms, scales, what is shared by all heads, and what is added behind them.
        _ => tensor,
    })
}

/// `blocks.3.attn.qkv.weight` as 3 and `attn.qkv.weight`.
fn layer_and_part(name: &str) -> Option<(usize, &str)> {
    let (layer, part) = name.strip_prefix("blocks.")?.split_once('.')?;
    Some((layer.parse().ok()?, part))
}

/// Places of units of a width, of which there are so many side by side in each of some parts.
fn of_parts(units: &[usize], width: usize, parts: usize, all: usize) -> Vec<usize> {
    let of_unit = |part: usize, unit: usize| {
        let start = (part * all + unit) * width;
        start..start + width
    };
    (0..parts).flat_map(|part| units.iter().flat_map(move |&unit| of_unit(part, unit))).collect()
}

/// What a tensor has at these places of an axis.
fn pick(tensor: NamedTensor, axis: usize, places: &[usize]) -> NamedTensor {
    let NamedTensor { name, mut shape, values } = tensor;
    let size = shape[axis];
    let inner: usize = shape[axis + 1..].iter().product();
    let row = |row: &[f32]| -> Vec<f32> {
        places.iter().flat_map(|place| &row[place * inner..(place + 1) * inner]).copied().collect()
    };
    let values = values.chunks(size * inner).flat_map(row).collect();
    shape[axis] = places.len();
    NamedTensor { name, shape, values }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};
    use rand::Rng as _;
    use vitral_model::{Mode, ViT, mlp::Mlp, parameters};
    use vitral_seed::Seed;

    use super::*;
    use crate::checkpoint::to_device;

    fn random(shape: &[usize], name: &str) -> Vec<f32> {
        let mut rng = Seed::new(2).named(name).rng();
        (0..shape.iter().product()).map(|_| rng.random_range(-0.5..0.5)).collect()
    }

    fn logits(config: &ViTConfig, tensors: &[NamedTensor]) -> Vec<f32> {
        let device = Device::flex();
        let model = ViT::new(config, Seed::new(0), &device).unwrap();
        let values = to_device(tensors, &parameters::infos(&model), &device).unwrap();
        let images = TensorData::new(random(&[2, 8, 8, 1], "images"), [2, 8, 8, 1]);
        let images = Tensor::<4>::from_data(images, &device);
        let logits = parameters::with_values(model, values).forward(images, Mode::Eval);
        logits.try_into_vec_as().unwrap()
    }

    /// A model whose heads and neurons add nothing gives the same logits without them.
    #[test]
    fn what_is_left_computes_what_it_did_before() {
        let base = ViTConfig {
            image_size: 8,
            channels: 1,
            classes: 3,
            patch_size: Some(4),
            width: Some(12),
            depth: Some(2),
            heads: Some(3),
            mlp_ratio: 0.5,
            layer_scale: Some(0.5),
            ..ViTConfig::default()
        };
        let relative = ViTConfig { relative_position_bias: true, qk_norm: true, ..base.clone() };
        let gated = ViTConfig { mlp: Mlp::SwiGlu, qkv_bias: false, ..base.clone() };
        let kept = Kept {
            heads: vec![vec![0, 2], vec![]],
            neurons: vec![vec![1, 3, 4], vec![0, 1, 2, 3, 4, 5]],
        };
        for config in [base, relative, gated] {
            let model = ViT::new(&config, Seed::new(0), &Device::flex()).unwrap();
            let tensors: Vec<NamedTensor> = parameters::infos(&model)
                .into_iter()
                .map(|info| NamedTensor {
                    values: random(&info.shape, &info.name),
                    name: info.name,
                    shape: info.shape,
                })
                .collect();
            let silenced = tensors.iter().cloned().map(|mut tensor| {
                let rows = match tensor.name.as_str() {
                    // The second head, of a width of 4; all of the second layer; neurons 0, 2 and 5.
                    "blocks.0.attn.proj.weight" => vec![4, 5, 6, 7],
                    "blocks.1.attn.proj.weight" => (0..12).collect(),
                    "blocks.1.attn.proj.bias" => vec![0],
                    "blocks.0.mlp.fc2.weight" => vec![0, 2, 5],
                    _ => Vec::new(),
                };
                for row in rows {
                    tensor.values[row * 12..(row + 1) * 12].fill(0.0);
                }
                tensor
            });
            let silenced: Vec<NamedTensor> = silenced.collect();
            let pruned = ViTConfig { layers: kept.sizes(), ..config.clone() };
            let left = cut(silenced.clone(), &config, &kept);
            let (before, after) = (logits(&config, &silenced), logits(&pruned, &left));
            for (before, after) in before.iter().zip(&after) {
                assert!((before - after).abs() < 1e-5, "{before} is not {after}: {config:?}");
            }
            // Once more, of what is left: numbers are those of what is there.
            let again = Kept { heads: vec![vec![1], vec![]], neurons: vec![vec![2], vec![5]] };
            let twice = cut(cut(tensors.clone(), &config, &kept), &pruned, &again);
            let at_once = Kept { heads: vec![vec![2], vec![]], neurons: vec![vec![4], vec![5]] };
            assert_eq!(twice, cut(tensors, &config, &at_once));
        }
    }

    #[test]
    fn averages_and_importance_are_cut_like_their_parameters() {
        let config = ViTConfig {
            width: Some(2),
            depth: Some(1),
            heads: Some(2),
            mlp_ratio: 1.0,
            ..ViTConfig::default()
        };
        let kept = Kept { heads: vec![vec![1]], neurons: vec![vec![]] };
        let tensor = |name: &str, shape: &[usize]| NamedTensor {
            name: name.into(),
            shape: shape.into(),
            values: (0..shape.iter().product()).map(|n: usize| n as f32).collect(),
        };
        let found = cut(
            vec![
                tensor("exp_avg/blocks.0.attn.qkv.bias", &[6]),
                tensor("exp_avg/blocks.0.norm2.bias", &[2]),
                tensor("blocks.0.attn", &[2]),
                tensor("blocks.0.mlp", &[2]),
                tensor("exp_avg/norm.bias", &[2]),
            ],
            &config,
            &kept,
        );
        let found: Vec<_> = found.iter().map(|one| (one.name.as_str(), &one.values[..])).collect();
        assert_eq!(
            found,
            [
                ("exp_avg/blocks.0.attn.qkv.bias", &[1.0, 3.0, 5.0][..]),
                ("blocks.0.attn", &[1.0]),
                ("exp_avg/norm.bias", &[0.0, 1.0]),
            ]
        );
    }
}
