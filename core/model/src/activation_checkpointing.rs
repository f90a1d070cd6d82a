//! Activation checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): a
//! block keeps only what goes into it and computes the rest again for its backward pass. The noise
//! of a block follows from its seed, so that gradients are exactly those without it.

use burn::tensor::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ViT, costs::Costs};

/// Which blocks compute their activations again rather than keeping them: less memory for more
/// time, with the same gradients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ActivationCheckpointing {
    /// No block.
    #[default]
    None,
    /// Every block.
    EveryBlock,
    /// Every n-th block, from the first on.
    EveryNth(#[schemars(range(min = 1, max = 1000))] usize),
    /// As few blocks, counted from the first, as keep what the blocks of one micro-batch store for
    /// the backward pass within this many MiB; weights, gradients and averages come on top.
    Fit {
        /// MiB (1,048,576 bytes).
        #[schemars(range(min = 1))]
        mib: u64,
    },
}

impl ActivationCheckpointing {
    /// Which blocks of a model it is for on a device, with `batch` images in a micro-batch.
    pub fn plan(self, model: &ViT, batch: usize, device: &Device) -> Vec<bool> {
        let depth = model.blocks.len();
        match self {
            Self::None => vec![false; depth],
            Self::EveryBlock => vec![true; depth],
            Self::EveryNth(n) => (0..depth).map(|layer| layer % n.max(1) == 0).collect(),
            Self::Fit { mib } => {
                let limit = mib as f64 * f64::from(1 << 20) / batch as f64;
                let Costs { kept_by_blocks, block_inputs, .. } = Costs::of(model, device);
                let sum = |first: usize| {
                    block_inputs[..first].iter().sum::<f64>()
                        + kept_by_blocks[first..].iter().sum::<f64>()
                };
                let first = (0..=depth).find(|&first| sum(first) <= limit).unwrap_or(depth);
                (0..depth).map(|layer| layer < first).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::HashMap,
        sync::{Arc, Mutex},
    };

    use burn::tensor::{Gradients, Tensor, TensorData};
    use vitral_burn::kernels::Taker;
    use vitral_seed::Seed;

    use super::*;
    use crate::{
        Mode, ViTConfig, init::Init, parameters, token_merging::TokenMerging,
        token_reorganization::TokenReorganization,
    };

    fn config() -> ViTConfig {
        ViTConfig {
            image_size: 8,
            patch_size: Some(4),
            width: Some(12),
            depth: Some(3),
            heads: Some(3),
            classes: 3,
            drop_path: 0.4,
            // Its head is not zero, so that every block has a gradient.
            init: Init::Timm,
            ..ViTConfig::default()
        }
    }

    fn gradients(config: &ViTConfig, plan: Vec<bool>, device: &Device) -> Vec<Vec<f32>> {
        let (model, mut gradients) = backward(config, plan, device, |model| model);
        parameters::gradients(&model, &mut gradients)
            .into_iter()
            .map(|gradient| gradient.try_into_vec_as().unwrap())
            .collect()
    }

    /// The same by what backward hands over, and how many of them that are.
    fn handed_over(config: &ViTConfig, plan: Vec<bool>, device: &Device) -> (Vec<Vec<f32>>, usize) {
        let taken = Arc::new(Mutex::new(HashMap::new()));
        let taker = {
            let taken = Arc::clone(&taken);
            Taker::new(move |id, gradient: Tensor<1>| {
                let values: Vec<f32> = gradient.try_into_vec_as().unwrap();
                assert!(taken.lock().unwrap().insert(id, values).is_none(), "it came twice");
            })
        };
        let hand_over = |model: ViT| model.handing_over(taker);
        let (model, mut gradients) = backward(config, plan, device, hand_over);
        let mut taken = taken.lock().unwrap();
        let count = taken.len();
        let left = parameters::gradients_left(&model, &mut gradients);
        let all = parameters::ids(&model).into_iter().zip(left).map(|(id, left)| {
            let left = left.map(|gradient| gradient.try_into_vec_as().unwrap());
            assert!(left.is_none() || !taken.contains_key(&id), "a part of it was left");
            left.or(taken.remove(&id)).unwrap()
        });
        (all.collect(), count)
    }

    fn backward(
        config: &ViTConfig,
        plan: Vec<bool>,
        device: &Device,
        change: impl FnOnce(ViT) -> ViT,
    ) -> (ViT, Gradients) {
        let mut model = ViT::new(config, Seed::new(1), &device.clone().autodiff()).unwrap();
        model.set_activation_checkpointing(plan);
        let model = change(model);
        let values: Vec<f32> = (0..4 * 8 * 8 * 3).map(|n| (n as f32 * 0.37).sin()).collect();
        let images = Tensor::<4>::from_data(TensorData::new(values, [4, 8, 8, 3]), device);
        let logits = model.forward(images.autodiff(), Mode::Train(Seed::new(5)));
        let gradients = (logits.clone() * logits).sum().backward();
        (model, gradients)
    }

    /// Fused kernels, and Burn's own operations (RoPE, dropout, normalised queries, fewer tokens).
    #[test]
    fn gradients_are_the_same_to_the_bit() {
        let composed = ViTConfig { rope: Some(100.0), qk_norm: true, dropout: 0.2, ..config() };
        let weighed = ViTConfig { attention_dropout: 0.2, ..config() };
        let mixer = ViTConfig {
            variant: "Mixer-S/16".parse().unwrap(),
            heads: None,
            class_token: false,
            pool: crate::pool::Pool::Mean,
            position: crate::position::Position::None,
            token_mixing: crate::token_mixing::TokenMixing::Mlp { hidden: None },
            ..config()
        };
        let scaled = ViTConfig { layer_scale: Some(0.5), ..config() };
        let merging = ViTConfig { token_merging: Some(TokenMerging::constant(1)), ..config() };
        let token_reorganization = Some(TokenReorganization::keeping(0.5));
        let keeping = ViTConfig { token_reorganization, ..config() };
        for config in [config(), scaled, composed, weighed, mixer, merging, keeping] {
            let device = Device::flex();
            let kept = gradients(&config, vec![false; 3], &device);
            for plan in [vec![true; 3], vec![false, true, false]] {
                assert_eq!(gradients(&config, plan.clone(), &device), kept);
                let (handed, count) = handed_over(&config, plan, &device);
                assert_eq!(handed, kept);
                assert!(count > kept.len() / 2, "{count} of {} were handed over", kept.len());
            }
            assert_eq!(handed_over(&config, vec![false; 3], &device).0, kept);
            let found = kept.iter().filter(|gradient| gradient.iter().any(|&value| value != 0.0));
            assert_eq!(found.count(), kept.len());
        }
    }

    #[test]
    fn plans_cover_what_they_say() {
        let built = |config: &ViTConfig| ViT::new(config, Seed::new(1), &Device::flex()).unwrap();
        let model = built(&config());
        let plan = |choice: ActivationCheckpointing| choice.plan(&model, 2, &Device::flex());
        assert_eq!(plan(ActivationCheckpointing::None), [false; 3]);
        assert_eq!(plan(ActivationCheckpointing::EveryBlock), [true; 3]);
        assert_eq!(plan(ActivationCheckpointing::EveryNth(2)), [true, false, true]);
        assert_eq!(plan(ActivationCheckpointing::Fit { mib: 1000 }), [false; 3]);
        let large = built(&ViTConfig {
            variant: "Ti/16".parse().unwrap(),
            classes: 10,
            ..ViTConfig::default()
        });
        let blocks = |mib: u64| {
            let plan = ActivationCheckpointing::Fit { mib }.plan(&large, 16, &Device::flex());
            plan.into_iter().filter(|&again| again).count()
        };
        // 12 blocks of 23.1 MiB, of which 2.3 MiB stay.
        assert_eq!([blocks(280), blocks(200), blocks(100), blocks(1)], [0, 4, 9, 12]);
    }
}
