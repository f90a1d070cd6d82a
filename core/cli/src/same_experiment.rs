//! What differs between two experiments, and whether one is still that which a run was started with, for
//! `train --resume-if-any`: the run goes on by its own, and what was changed since would have no effect.

use std::{
    fs,
    path::{Path, PathBuf},
};

use vitral_config::Difference;
use vitral_train::Experiment;

use crate::{failure::Failure, overrides::is_within};

/// As many differences as are shown.
const SHOWN: usize = 5;
/// Fields of which a resumed run itself tells what they change, where they have numbers.
const TOLD: [&str; 3] = ["train.batch", "train.epochs", "train.steps"];
/// As much as is shown of a value.
const WIDTH: usize = 60;

/// Refuses to go on with a run by an experiment that is another than its own.
///
/// # Errors
/// The fields that differ, and what would be right.
pub fn check_same(given: &Experiment, of_run: &Experiment, run: &Path) -> Result<(), Failure> {
    let found = told(given, of_run, run)?;
    if found.is_empty() {
        return Ok(());
    }
    let run = run.display();
    Err(Failure::Usage(format!(
        "{run} holds a run of a different experiment:\n  {}\n  help: `train --resume {run}` \
         resumes it, and `--set` makes changes to it, so that both are the same again; another \
         `output` starts a new run",
        found.join("\n  ")
    )))
}

/// The first fields in which an experiment is another than that of a run, in sentences, and how many more there
/// are.
pub fn told(given: &Experiment, of_run: &Experiment, run: &Path) -> Result<Vec<String>, Failure> {
    let given = given.resolved(match given.model.classes {
        // As many as the data has, which the run wrote out.
        0 => of_run.model.classes,
        classes => classes,
    });
    let text = |experiment: &Experiment| {
        let experiment = Experiment { output: run.into(), ..experiment.clone() };
        let text = experiment.to_ron();
        text.map_err(|error| Failure::Other(format!("an experiment cannot be compared: {error}")))
    };
    let differences = differences(&text(&given)?, &text(of_run)?);
    let mut found: Vec<String> = differences.iter().take(SHOWN).map(in_words).collect();
    let more = differences.len() - found.len();
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    Ok(found)
}

/// What `--set` has changed in the experiment of a run that goes on, and which of the fields that it sets it has
/// not, in sentences. The folder that a run goes to is told elsewhere.
pub fn changed(
    before: &Experiment,
    now: &Experiment,
    assigned: impl Iterator<Item = String>,
) -> Result<Vec<String>, Failure> {
    let found = differences(&vitral_config::to_ron(before)?, &vitral_config::to_ron(now)?);
    let found: Vec<_> = found.iter().filter(|found| found.field != "output").collect();
    let shown = |value: &Option<String>| value.as_deref().map_or("not there".into(), short);
    let of = |Difference { field, first, second }: &Difference| {
        format!("changed: `{field}` is {}, and was {}", shown(second), shown(first))
    };
    let mut told: Vec<String> =
        found.iter().filter(|found| !is_told(found)).copied().map(of).collect();
    // A part of what was not there before comes with the whole.
    let is_found = |field: &str| {
        let mut found = found.iter().map(|found| found.field.as_str());
        found.any(|other| is_within(other, field) || is_within(field, other))
    };
    let same = assigned.filter(|field| field != "output" && !is_found(field));
    told.extend(same.map(|field| format!("unchanged: `{field}` had this value before")));
    Ok(told)
}

/// Whether a resumed run itself tells of a difference, with what comes of it. Of a batch that is not a number it sees
/// only how many images it has.
fn is_told(Difference { field, first, second }: &Difference) -> bool {
    let is_auto = [first, second].into_iter().flatten().any(|value| value.starts_with("Auto"));
    TOLD.contains(&field.as_str()) && !is_auto
}

/// The fields whose values differ in two texts of experiments. Two paths of one file are no difference.
pub fn differences(first: &str, second: &str) -> Vec<Difference> {
    let mut found = vitral_config::differences(first, second);
    found.retain(|found| {
        let places = [&found.first, &found.second].map(|value| place(value.as_deref()?));
        places[0].is_none() || places[0] != places[1]
    });
    found
}

/// Where a value leads to, if it is the path of something that is there.
fn place(value: &str) -> Option<PathBuf> {
    let text = vitral_config::Document::new("", value).parse::<String>().ok()?;
    fs::canonicalize(vitral_config::path_text::from_text(&text).ok()?).ok()
}

fn in_words(Difference { field, first, second }: &Difference) -> String {
    let shown = |value: &Option<String>| value.as_deref().map_or("not there".into(), short);
    format!("`{field}` is {}, and {} in the run", shown(first), shown(second))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
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

    #[test]
    fn what_a_resumed_run_does_otherwise_is_told() {
        let before = experiment(r#"seed: 1, output: "a", train: (epochs: 5)"#);
        let now = experiment(r#"seed: 3, output: "b", train: (epochs: 5, ema: Some(0.9))"#);
        let assigned = ["seed", "train.ema", "train.epochs", "output"].map(str::to_owned);
        let told = changed(&before, &now, assigned.into_iter()).unwrap();
        assert_eq!(
            told,
            [
                "changed: `seed` is 3, and was 1",
                "changed: `train.ema` is 0.9, and was None",
                "unchanged: `train.epochs` had this value before",
            ]
        );
        let told = |before: &str, now: &str, field: &str| {
            let assigned = std::iter::once(field.to_owned());
            changed(&experiment(before), &experiment(now), assigned).unwrap().join("\n")
        };
        let prune = "train: (prune: (flops: 0.6, from_epoch: 1.0, until_epoch: 2.0))";
        let said = told("", prune, "train.prune.flops");
        assert!(said.contains("changed: `train.prune`") && !said.contains("unchanged"), "{said}");
        let said = told("", "train: (batch: Auto(effective: 128))", "train.batch");
        assert!(said.contains("changed: `train.batch`"), "{said}");
    }

    #[test]
    fn two_paths_of_one_file_are_no_difference() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other, missing] =
            ["a.bin", "b/../a.bin", "c.bin"].map(|name| folder.path().join(name));
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(&one, "").unwrap();
        let text = |path: &Path| format!("(files: [{}])", vitral_config::path_text::quoted(path));
        assert_eq!(differences(&text(&one), &text(&other)), []);
        let found = differences(&text(&one), &text(&missing));
        assert_eq!(found[0].field, "files[0]");
    }
}
