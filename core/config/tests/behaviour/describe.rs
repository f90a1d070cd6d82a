//! What is said of fields, from their doc comments: explanations, parts of the schema, comments.

use vitral_config::{Document, choices, commented, explain, schema_of, to_ron};

use crate::example::*;

#[test]
fn a_field_is_explained_with_what_it_takes() {
    for (path, parts) in [
        (
            "model.depth",
            &["model.depth: an integer from 1 to 100; default `12`", "Twelve in ViT-B."][..],
        ),
        ("train.clip", &["a number of at least 0.0, or `None`; default `None`", "Largest norm"]),
        (
            "train.optimizer",
            &[
                "; default `AdamW(beta1: 0.9, weight_decay: 0.05)`",
                "AdamW( ... )",
                "beta1: a number",
                "Decay of",
            ],
        ),
        ("train.optimizer.beta1", &["a number", "Elsewhere called `betas`."]),
        ("model", &["a group `( ... )`", "The network.", "  depth: an integer from 1 to 100"]),
        ("data.augment[0].probability", &["How often it is applied."]),
        ("model.pool", &["default `Class`", "Mean", "The mean of all tokens."]),
    ] {
        let text = explain::<Experiment>(path).unwrap();
        for part in parts {
            assert!(text.contains(part), "{path}: {part} is not in\n{text}");
        }
    }
}

#[test]
fn a_field_that_is_not_there_comes_with_what_is_meant() {
    for (path, underline, help) in [
        ("model.dept", "dept", "did you mean `depth`?"),
        ("train.depth", "depth", "did you mean `model.depth`?"),
        ("lr", "lr", "did you mean `train.learning_rate`?"),
        ("model.depth.x", "x", ""),
    ] {
        for error in
            [explain::<Experiment>(path).unwrap_err(), schema_of::<Experiment>(path).unwrap_err()]
        {
            assert_eq!(underlined(&error), underline, "{error}");
            let given = error.help.clone().unwrap_or_default();
            assert!(given.contains(help), "{path}: {given}");
        }
    }
}

#[test]
fn a_part_of_the_schema_stands_alone() {
    let schema = schema_of::<Experiment>("train.optimizer").unwrap();
    let text = schema.to_string();
    assert!(text.contains("\"$defs\"") && text.contains("beta1") && !text.contains("milestones"));
    let definitions = schema["$defs"].as_object().unwrap();
    for reference in text.split("#/$defs/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(definitions.contains_key(name), "{name} is missing in {text}");
    }
}

#[test]
fn commented_text_reads_as_the_text_and_says_what_fields_mean() {
    let experiment: Experiment = Document::new("t.ron", VALID).parse().unwrap();
    let plain = to_ron(&experiment).unwrap();
    let text = commented::<Experiment>(&plain);
    assert_eq!(Document::new("t.ron", text.clone()).parse::<Experiment>().unwrap(), experiment);
    assert!(text.contains("    // The network.\n    model: ("), "{text}");
    assert!(
        text.contains("        // Transformer blocks. Twelve in ViT-B.\n        depth: "),
        "{text}"
    );
    let without: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    assert_eq!(without, plain.lines().collect::<Vec<_>>());
}

#[test]
fn choices_come_with_their_first_sentence() {
    let pools = choices::<Pool>();
    let names: Vec<&str> = pools.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Class", "Mean", "Attention"]);
    assert_eq!(pools[1].1, "The mean of all tokens.");
}
