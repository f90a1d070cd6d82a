//! Trained models that go on with fewer tokens than they were trained with, where the command line says so.

use clap::Args;
use vitral_model::{
    token_merging::{MergeSchedule, TokenMerging},
    token_reorganization::TokenReorganization,
};
use vitral_train::Experiment;

use crate::failure::Failure;

/// How many tokens a trained model goes on with.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct FewerTokens {
    /// Merge this many tokens away in each layer (ToMe), without training again: faster, and
    /// usually a little less accurate. 0 merges none, even if the model was trained to merge.
    #[arg(long, value_name = "R")]
    pub token_merging: Option<usize>,
    /// Keep this share of the patches, those that the class token attends to most, and fuse the
    /// others (EViT), without training again: faster, and usually a little less accurate. It does
    /// so after three layers of the model, at a quarter, half and three quarters of its depth, or
    /// after those that it was trained with. 1 keeps all.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub keep_tokens: Option<f64>,
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| "it is not a number".to_owned())?;
    match (0.01..=1.0).contains(&share) {
        true => Ok(share),
        false => Err("a share of the patches is from 0.01 to 1".into()),
    }
}

impl FewerTokens {
    /// Changes a trained model's experiment.
    ///
    /// # Errors
    /// The model is one with which that does not go.
    pub fn change(self, experiment: &mut Experiment) -> Result<(), Failure> {
        let model = &mut experiment.model;
        let check = |model: &vitral_model::ViTConfig, option: String| {
            model.check().map_err(|problem| {
                Failure::Other(format!("{option}: {}: {}", problem.message, problem.help))
            })
        };
        if let Some(r) = self.token_merging {
            let merging = model.token_merging.take().unwrap_or_else(|| TokenMerging::constant(r));
            if r > 0 {
                model.token_merging =
                    Some(TokenMerging { r: MergeSchedule::Constant(r), ..merging });
            }
        }
        if let Some(keep) = self.keep_tokens {
            let asked = model.token_reorganization.take();
            let asked = asked.unwrap_or_else(|| TokenReorganization::keeping(keep));
            if keep < 1.0 {
                model.token_reorganization = Some(TokenReorganization { keep, ..asked });
            }
        }
        match (self.token_merging, self.keep_tokens) {
            (None, None) => Ok(()),
            (Some(r), None) => check(model, format!("--token-merging {r}")),
            (None, Some(keep)) => check(model, format!("--keep-tokens {keep}")),
            (Some(r), Some(keep)) => {
                check(model, format!("--token-merging {r} --keep-tokens {keep}"))
            }
        }
    }
}
