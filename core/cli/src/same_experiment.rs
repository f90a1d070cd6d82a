//! Whether an experiment is still the one that a run was started with, for `train --resume-if-any`: the run goes
//! on by its own, and what was changed since would have no effect.

use std::{fs, path::Path};

use serde_json::Value;
use vitral_train::Experiment;

use crate::failure::Failure;

/// As many differences as are shown.
const SHOWN: usize = 5;
/// As much as is shown of a value.
const WIDTH: usize = 60;

/// Refuses to go on with a run by an experiment that is another than its own.
///
/// # Errors
/// The fields that differ, and what would be right.
pub fn check_same(given: &Experiment, of_run: &Experiment, run: &Path) -> Result<(), Failure> {
    let found = differences(given, of_run, run)?;
    if found.is_empty() {
        return Ok(());
    }
    let run = run.display();
    Err(Failure::Usage(format!(
        "{run} holds a run of another experiment, with which it would go on:\n  {}\n  help: `train --resume {run}` \
         goes on with the run, and takes changes by `--set`, with which both are the same again; another \
         `output` starts a new run",
        found.join("\n  ")
    )))
}

/// The first fields in which an experiment is another than that of a run, in sentences, and how many more there
/// are.
pub fn differences(
    given: &Experiment,
    of_run: &Experiment,
    run: &Path,
) -> Result<Vec<String>, Failure> {
    let given = given.resolved(match given.model.classes {
        // As many as the data has, which the run wrote out.
        0 => of_run.model.classes,
        classes => classes,
    });
    let [given, of_run] = [&given, of_run].map(|experiment| {
        let experiment = Experiment { output: run.into(), ..experiment.clone() };
        serde_json::to_value(experiment)
    });
    let [given, of_run] = [given, of_run].map(|value| {
        value.map_err(|error| Failure::Other(format!("an experiment cannot be compared: {error}")))
    });
    let mut found = Vec::new();
    compare("", &given?, &of_run?, &mut found);
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    Ok(found)
}

/// Adds what differs between two values, with the field that they are of.
fn compare(field: &str, given: &Value, of_run: &Value, found: &mut Vec<String>) {
    match (given, of_run) {
        (Value::Object(one), Value::Object(other)) if one.keys().eq(other.keys()) => {
            for (name, value) in one {
                compare(&below(field, name), value, &other[name], found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (value, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{field}[{index}]"), value, other, found);
            }
        }
        _ if given == of_run || is_same_path(given, of_run) => {}
        _ => found.push(format!("`{field}` is {}, and {} in the run", short(given), short(of_run))),
    }
}

/// A field of a field. What is written with a capital is no field, but the choice whose fields these are.
fn below(field: &str, name: &str) -> String {
    match (field.is_empty(), name.starts_with(char::is_uppercase)) {
        (true, _) => name.to_owned(),
        (false, true) => field.to_owned(),
        (false, false) => format!("{field}.{name}"),
    }
}

/// Whether two texts name one file, in two ways.
fn is_same_path(one: &Value, other: &Value) -> bool {
    let place = |value: &Value| fs::canonicalize(value.as_str()?).ok();
    place(one).is_some_and(|one| place(other) == Some(one))
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(fields: &str) -> Experiment {
        let text = format!(
            r#"(data: (train: Cifar10(files: ["a"]), val: Cifar10(files: ["b"])), {fields})"#
        );
        vitral_config::Document::new("test", text).parse().unwrap()
    }

    fn difference(given: &str, of_run: &str) -> Option<String> {
        let (given, of_run) = (experiment(given), experiment(of_run).resolved(10));
        match check_same(&given, &of_run, Path::new("run")) {
            Ok(()) => None,
            Err(Failure::Usage(message)) => Some(message),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_run_writes_out_and_its_place_are_no_difference() {
        assert_eq!(difference("", ""), None);
        let variant = r#"output: "a", model: (variant: "Ti/16")"#;
        assert_eq!(difference(variant, &variant.replace("\"a\"", "\"b\"")), None);
    }

    #[test]
    fn what_differs_is_named_with_both_values() {
        let said = difference("train: (epochs: 5)", "train: (epochs: 6)").unwrap();
        assert!(said.contains("`train.epochs` is 5.0, and 6.0 in the run"), "{said}");
        let said = difference("model: (classes: 7)", "").unwrap();
        assert!(said.contains("`model.classes` is 7, and 10 in the run"), "{said}");
        let (one, other) = ("train: (optimizer: Lion(beta1: 0.8))", "train: (optimizer: Lion())");
        let said = difference(one, other).unwrap();
        assert!(said.contains("`train.optimizer.beta1` is 0.8"), "{said}");
        let many =
            "seed: 4, device: \"x\", train: (epochs: 5, batch: 7, ema: Some(0.5), log_every: 3)";
        let said = difference(many, "").unwrap();
        assert!(said.contains("and 1 more"), "{said}");
    }
}
