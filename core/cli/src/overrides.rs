//! Changes to an experiment on the command line. Those that would change nothing are refused, with what
//! would be right.

use clap::Args;
use vitral_config::Document;
use vitral_model::ConfigProblem;
use vitral_train::{Error, experiment::TrainConfig};

use crate::failure::Failure;

/// Changes to an experiment from the command line.
#[derive(Debug, Args)]
pub struct Overrides {
    /// Set a field of the experiment, e.g. `--set train.batch=64`; can be given several times.
    /// Relative paths start at the current folder.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,
}

/// Fields that have a say in evaluating a trained model, each with all that is in it.
const EVALUATED: [&str; 12] = [
    "device",
    "data.train",
    "data.val",
    "data.eval_transforms",
    "data.normalize",
    "data.workers",
    "data.prefetch",
    "data.on_error",
    "train.batch",
    "train.precision",
    "model.token_merging",
    "model.token_reorganization",
];

/// Fields that have no say any more in a run that goes on.
const DECIDED: [(&str, &str); 3] = [
    (
        "init",
        "the weights are the checkpoint's; `train EXPERIMENT --init RUN` starts a new run from them",
    ),
    ("model.init", "the weights are the checkpoint's"),
    ("model.head_bias_init", "the weights are the checkpoint's"),
];

/// Pairs of fields of which the second, where it is given, has the first mean nothing.
const LENGTHS: [(&str, &str); 2] =
    [("train.epochs", "train.steps"), ("train.warmup_epochs", "train.warmup_steps")];

/// Refuses changes that `eval` makes nothing of.
pub fn check_eval(document: &Document) -> Result<(), Failure> {
    let has_a_say = |field: &String| EVALUATED.iter().any(|known| is_within(field, known));
    let Some(field) = document.assigned().find(|field| !has_a_say(field)) else {
        return Ok(());
    };
    let known = EVALUATED.map(|field| format!("`{field}`")).join(", ");
    Err(refused(
        &field,
        "a model is evaluated as it was trained, so this has no effect on `eval`",
        &format!("fields that can be set: {known}"),
    ))
}

/// Refuses changes that a run which goes on makes nothing of.
pub fn check_resume(document: &Document) -> Result<(), Failure> {
    for field in document.assigned() {
        if let Some((_, help)) = DECIDED.iter().find(|(decided, _)| is_within(&field, decided)) {
            return Err(refused(&field, "this has no effect on a resumed run", help));
        }
    }
    Ok(())
}

/// Refuses to set epochs where the text gives steps, which rule.
pub fn check_length(document: &Document, train: &TrainConfig) -> Result<(), ConfigProblem> {
    for (epochs, steps) in LENGTHS {
        let is_set = |field: &str| document.assigned().any(|assigned| assigned == field);
        if is_set(epochs) && !is_set(steps) && steps_of(train, steps).is_some() {
            return Err(ConfigProblem {
                field: epochs.into(),
                message: format!("`{steps}` is given, so `{epochs}` has no effect"),
                help: format!("set `{steps}`, or remove it: `--set {steps}=None`"),
            });
        }
    }
    Ok(())
}

/// What an experiment gives twice, in sentences.
pub fn given_twice(document: &Document, train: &TrainConfig) -> Vec<String> {
    let twice = LENGTHS.iter().filter_map(|(epochs, steps)| {
        let rules = steps_of(train, steps).filter(|_| document.gives(epochs))?;
        Some(format!("`{steps}` is {rules}, so `{epochs}` has no effect"))
    });
    twice.collect()
}

fn steps_of(train: &TrainConfig, field: &str) -> Option<u64> {
    if field == "train.steps" { train.steps } else { train.warmup_steps }
}

/// Whether a field is another, or a part of it.
pub fn is_within(field: &str, whole: &str) -> bool {
    let rest = field.strip_prefix(whole);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn refused(field: &str, message: &str, help: &str) -> Failure {
    let problem = ConfigProblem { field: field.into(), message: message.into(), help: help.into() };
    Failure::Run(Error::Experiment(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(set: &[&str]) -> Document {
        let mut document = Document::new("test", "(data: (), train: (epochs: 5), model: ())");
        for assignment in set {
            document.set::<vitral_train::Experiment>(assignment).unwrap();
        }
        document
    }

    #[test]
    fn what_has_a_say_is_told_from_what_has_none() {
        for (set, evaluates, resumes) in [
            ("data.val.path=\"x\"", true, true),
            ("data.workers=3", true, true),
            ("data.augment=[]", false, true),
            ("model.pool=Mean", false, true),
            ("model.token_merging=None", true, true),
            ("model.token_reorganization=(keep: 0.7)", true, true),
            ("model.init=Timm", false, false),
            ("train.precision=BF16", true, true),
            ("train.precisionn=BF16", false, true),
            ("train.epochs=3", false, true),
            ("output=\"x\"", false, true),
            ("init=Fresh", false, false),
        ] {
            let document = document(&[set]);
            assert_eq!(check_eval(&document).is_ok(), evaluates, "{set}");
            assert_eq!(check_resume(&document).is_ok(), resumes, "{set}");
        }
    }

    #[test]
    fn epochs_have_no_effect_beside_steps() {
        let steps = TrainConfig { steps: Some(9), ..TrainConfig::default() };
        let set = document(&["train.epochs=3"]);
        assert_eq!(check_length(&set, &TrainConfig::default()), Ok(()));
        assert_eq!(check_length(&set, &steps).unwrap_err().field, "train.epochs");
        assert_eq!(check_length(&document(&["train.steps=9"]), &steps), Ok(()));
        let said = given_twice(&document(&["train.steps=9"]), &steps);
        assert_eq!(said, ["`train.steps` is 9, so `train.epochs` has no effect"]);
        assert!(given_twice(&set, &TrainConfig::default()).is_empty());
    }
}
