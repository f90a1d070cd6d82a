//! What an experiment that starts from a trained model leaves to that model: parts of the architecture that
//! it does not set, and how images are normalised.

use std::path::Path;

use vitral_data::Normalization;
use vitral_interchange::{Hints, Pretrained};
use vitral_model::ConfigProblem;
use vitral_train::{
    Error, Experiment, Init, checkpoint::find, groups::matches,
    init::preprocessing::eval_transforms, open_pretrained,
};

use crate::{experiment::Loaded, failure::Failure, progress::note, words::one_line};

/// Fields that a variant sets where the experiment names one.
const OF_VARIANT: [&str; 6] = ["stem", "patch_size", "width", "depth", "heads", "token_mixing"];

/// A parameter that a field brings: where `init` says that the file's is to be ignored, the field is not
/// taken over.
const BROUGHT: [(&str, &str); 7] = [
    ("class_token", "cls_token"),
    ("distillation_token", "dist_token"),
    ("register_tokens", "reg_token"),
    ("position", "pos_embed"),
    ("layer_scale", "blocks.0.ls1.gamma"),
    ("qk_norm", "blocks.0.attn.q_norm.weight"),
    ("representation_size", "pre_logits.weight"),
];

impl Loaded {
    /// Reads an experiment to train it, whose model is as that of its `init` where it does not say.
    ///
    /// # Errors
    /// Those of [`Loaded::read`] and [`Loaded::start_from_init`].
    pub fn read_to_train(path: &Path, set: &[String]) -> Result<Self, Failure> {
        let mut loaded = Self::read(path, set)?;
        loaded.start_from_init()?;
        Ok(loaded)
    }

    /// Reads an experiment to look at its model. Where its `init` cannot be read the model is as the experiment
    /// says, which is told.
    ///
    /// # Errors
    /// Those of [`Loaded::read`].
    pub fn read_to_look(path: &Path, set: &[String]) -> Result<Self, Failure> {
        let mut loaded = Self::read(path, set)?;
        if let Err(failure) = loaded.start_from_init() {
            note(&format!(
                "the model is as the experiment says, without what `init` would add: {}",
                failure.sentence()
            ));
        }
        Ok(loaded)
    }

    /// Takes over what the model of `init` has and the experiment does not set; returns what that was, and what
    /// could not be taken over, in a sentence, if it was anything.
    ///
    /// # Errors
    /// The model cannot be read, or what was taken over does not go together with what was set.
    pub fn start_from_init(&mut self) -> Result<Option<String>, Failure> {
        let Init::Pretrained { path, positions, ignore, .. } = &self.experiment.init else {
            return Ok(None);
        };
        let (path, ignore) = (path.clone(), ignore.clone());
        let hints = Hints {
            heads: None,
            part: None,
            image_size: Some(self.experiment.model.image_size),
            positions: (*positions).into(),
        };
        let pretrained = open_pretrained(&path, &hints)?;
        let variant = self.sets("model.variant");
        let is_set = |field: &str| {
            let brought = BROUGHT.iter().find(|(brings, _)| *brings == field);
            self.sets(&format!("model.{field}"))
                || variant && OF_VARIANT.contains(&field)
                || brought.is_some_and(|(_, name)| ignore.iter().any(|p| matches(p, name)))
        };
        let normalize = !self.sets("data.normalize");
        self.check_width(&pretrained)?;
        let mut experiment = self.experiment.clone();
        let mut taken = take_over(&mut experiment, &pretrained, is_set)?;
        if normalize && let Some((mean, std)) = pretrained.normalization {
            let own = experiment.input().ok().map(|(channels, _)| channels);
            let own = own.and_then(|channels| experiment.data.normalize.mean_std(channels).ok());
            if own.is_none_or(|own| own != (mean.clone(), std.clone())) {
                taken.push(format!("data.normalize with mean {mean:?} and deviation {std:?}"));
                experiment.data.normalize = Normalization::Custom { mean, std };
            }
        }
        let evaluates = !self.sets("data.eval_transforms");
        if evaluates && let Some(preprocessing) = pretrained.preprocessing {
            let size = experiment.model.image_size;
            let transforms = eval_transforms(preprocessing, size);
            if transforms != experiment.data.eval_transforms {
                let written = one_line(&vitral_config::to_ron(&transforms)?);
                taken.push(format!("data.eval_transforms={written}"));
                experiment.data.eval_transforms = transforms;
            }
        }
        self.replace(experiment)?;
        let from = path.display();
        let taken = (!taken.is_empty()).then(|| format!("taken from {from}: {}", taken.join(", ")));
        // A run always has transforms: none here means that they cannot be taken over.
        let left = evaluates && pretrained.preprocessing.is_none() && find(&path).is_ok();
        let left = left.then(|| {
            format!("not taken from {from}: its `data.eval_transforms`; set that field to evaluate as it did")
        });
        let said: Vec<String> = taken.into_iter().chain(left).collect();
        Ok((!said.is_empty()).then(|| said.join("; ")))
    }

    /// Refuses a width of its own, with which nothing of another model would fit.
    fn check_width(&self, pretrained: &Pretrained) -> Result<(), Failure> {
        let (own, file) = (self.experiment.model.resolved(), pretrained.config.resolved());
        let given = ["model.width", "model.variant"].into_iter().find(|field| self.sets(field));
        let Some(field) = given.filter(|_| own.width() != file.width()) else { return Ok(()) };
        let given: Vec<String> = ["variant", "width", "depth", "heads", "patch_size", "mlp_ratio"]
            .map(|field| format!("model.{field}"))
            .into_iter()
            .filter(|field| self.sets(field))
            .collect();
        Err(self.locate(Error::Experiment(ConfigProblem {
            field: field.into(),
            message: format!(
                "the model has a width of {}, and that of `init` one of {}",
                own.width(),
                file.width()
            ),
            help: format!(
                "leave out {}: what the experiment does not set of the architecture, it takes from {}",
                given.join(", "),
                pretrained.origin
            ),
        })))
    }
}

/// Has the experiment's model be as the file's is, but for what `is_set`.
fn take_over(
    experiment: &mut Experiment,
    pretrained: &Pretrained,
    is_set: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Failure> {
    let (file, own) = (pretrained.config.resolved(), experiment.model.resolved());
    let mut taken = Vec::new();
    macro_rules! fields {
        ($($field:ident),* $(,)?) => {$(
            if !is_set(stringify!($field)) && own.$field != file.$field {
                experiment.model.$field.clone_from(&file.$field);
                let value = one_line(&vitral_config::to_ron(&file.$field)?);
                taken.push(format!("model.{}={value}", stringify!($field)));
            }
        )*};
    }
    fields!(
        stem,
        channels,
        patch_size,
        width,
        depth,
        heads,
        layers,
        token_mixing,
        mlp_ratio,
        mlp,
        class_token,
        distillation_token,
        register_tokens,
        pool,
        fc_norm,
        position,
        class_position,
        register_position,
        rope,
        relative_position_bias,
        attention,
        qkv_bias,
        qk_norm,
        layer_scale,
        representation_size,
        norm_eps,
    );
    Ok(taken)
}
