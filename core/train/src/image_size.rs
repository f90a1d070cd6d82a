//! What does not go together with training on smaller images first (progressive resizing; Howard
//! 2018, FixRes of Touvron et al. 2019, progressive learning of Tan and Le 2021).

use vitral_config::PluginUse;
use vitral_data::ImageSizeStage;
use vitral_model::{ConfigProblem, ViTConfig};

/// Checks the sizes of `train.image_size`, and that the model and the plugins take images of them.
///
/// # Errors
/// The first problem, with the field's path from the root of the experiment.
pub(crate) fn check(
    model: &ViTConfig,
    sizes: &[ImageSizeStage],
    batch_augment: &[PluginUse],
) -> Result<(), ConfigProblem> {
    if sizes.is_empty() {
        return Ok(());
    }
    let problem = |field: String, message: String, help: String| {
        Err(ConfigProblem { field: format!("train.{field}"), message, help })
    };
    let (full, patch) = (model.image_size, model.patch_pixels());
    let mut before = 0;
    for (index, stage) in sizes.iter().enumerate() {
        let size = stage.size as usize;
        if size == 0 || !size.is_multiple_of(patch) {
            let (below, above) =
                ((size / patch).max(1) * patch, size.div_ceil(patch).max(1) * patch);
            return problem(
                format!("image_size[{index}].size"),
                format!("patches of {patch} px do not fill an image of {size} px"),
                match below == above {
                    true => format!("it must be a multiple of the patch size: {below} px is one"),
                    false => format!(
                        "it must be a multiple of the patch size: {below} or {above} px are"
                    ),
                },
            );
        }
        if size > full {
            return problem(
                format!("image_size[{index}].size"),
                format!("images of {size} px are larger than the model's of {full} px"),
                "progressive resizing trains on smaller images first; `model.image_size` is the \
                 largest size, and the one of evaluation"
                    .into(),
            );
        }
        if stage.until_epoch <= before {
            return problem(
                format!("image_size[{index}].until_epoch"),
                format!("epoch {} does not come after epoch {before}", stage.until_epoch),
                "each stage ends at a later epoch than the one before it".into(),
            );
        }
        before = stage.until_epoch;
    }
    let fixed = |what: String, help: &str| {
        problem(
            "image_size".into(),
            format!("images of several sizes cannot be combined with {what}"),
            help.into(),
        )
    };
    if model.relative_position_bias {
        return fixed(
            "a relative position bias".into(),
            "its table has one size; positions that are added to the tokens, and `rope`, still \
             work",
        );
    }
    if model.is_mixer() {
        return fixed(
            "an MLP-Mixer".into(),
            "its MLPs over tokens have weights for each place of one grid",
        );
    }
    let plugin = model.attention.iter().position(|entry| entry.attention.plugin().is_some());
    if let Some(index) = plugin {
        return fixed(
            format!("the plugin of model.attention[{index}]"),
            "a plugin's attention is traced for the grid of one image size",
        );
    }
    if !batch_augment.is_empty() {
        return fixed(
            "the plugin of train.batch_augment[0]".into(),
            "a plugin's batch augmentation is traced for one image size; `train.mix` still works",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Experiment;

    fn experiment(stages: &[(u64, u32)]) -> Experiment {
        let text = r#"(
            model: (image_size: 12, patch_size: 4),
            data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])),
        )"#;
        let mut experiment: Experiment =
            vitral_config::Document::new("test", text).parse().unwrap();
        experiment.train.image_size = stages
            .iter()
            .map(|&(until_epoch, size)| ImageSizeStage { until_epoch, size })
            .collect();
        experiment
    }

    #[test]
    fn sizes_that_grow_to_the_models_are_accepted() {
        for stages in [&[][..], &[(1, 4)], &[(1, 4), (3, 8), (4, 12)], &[(2, 8), (3, 4)]] {
            assert_eq!(experiment(stages).check(), Ok(()));
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_named() {
        let cases = [
            (&[(1, 6)][..], "image_size[0].size", "patches of 4 px do not fill an image of 6 px"),
            (&[(1, 0)], "image_size[0].size", "0 px"),
            (&[(1, 8), (2, 16)], "image_size[1].size", "larger than the model's of 12 px"),
            (&[(2, 4), (2, 8)], "image_size[1].until_epoch", "epoch 2 does not come after epoch 2"),
            (&[(0, 4)], "image_size[0].until_epoch", "epoch 0"),
        ];
        for (stages, field, message) in cases {
            let problem = experiment(stages).check().unwrap_err();
            assert_eq!(problem.field, format!("train.{field}"));
            assert!(problem.message.contains(message), "{}", problem.message);
        }
        let help = experiment(&[(1, 6)]).check().unwrap_err().help;
        assert!(help.contains("4 or 8 px"), "{help}");
    }

    #[test]
    fn what_is_made_for_one_size_is_refused() {
        let mut biased = experiment(&[(1, 4)]);
        biased.model.relative_position_bias = true;
        let mut mixer = experiment(&[(1, 4)]);
        mixer.model = vitral_model::ViTConfig {
            image_size: 12,
            patch_size: Some(4),
            ..vitral_model::ViTConfig::of_variant("Mixer-S/16".parse().unwrap())
        };
        let mut mixed = experiment(&[(1, 4)]);
        mixed.train.batch_augment = ron::from_str(r#"[(name: "token-mix")]"#).unwrap();
        let mut windowed = experiment(&[(1, 4)]);
        windowed.model.attention =
            ron::from_str(r#"[(layers: (0, 1), attention: Plugin(name: "window"))]"#).unwrap();
        for (experiment, what) in [
            (biased, "relative position bias"),
            (mixer, "an MLP-Mixer"),
            (mixed, "batch_augment[0]"),
            (windowed, "attention[0]"),
        ] {
            let problem = experiment.check().unwrap_err();
            assert_eq!(problem.field, "train.image_size");
            assert!(problem.message.contains(what), "{}", problem.message);
        }
    }
}
