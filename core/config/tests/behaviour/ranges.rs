//! Values of the right type outside their schema's range.

use crate::example::*;

/// The parts of a text around the value to blame, the message and the help.
fn check(text: &str, value: &str, message: &str, help: Option<&str>) {
    let error = error(text);
    assert_eq!(underlined(&error), value, "{error}");
    assert_eq!(error.message, message);
    assert_eq!(error.help.as_deref(), help, "{text}");
}

#[test]
fn a_number_out_of_range_is_shown_as_it_was_written() {
    let rate = Some("Step size at the peak of the schedule.");
    let depth = Some("Transformer blocks.");
    let dropout = Some("Share of activations that are dropped.");
    for (text, value, message, help) in [
        (
            "(model: (), train: (learning_rate: 3.00))",
            "3.00",
            "`train.learning_rate` is 3.00, but must be at most 1.0",
            rate,
        ),
        (
            "(model: (), train: (learning_rate: 0))",
            "0",
            "`train.learning_rate` is 0, but must be more than 0.0",
            rate,
        ),
        ("(model: (depth: 0))", "0", "`model.depth` is 0, but must be at least 1", depth),
        ("(model: (depth: 0x65))", "0x65", "`model.depth` is 0x65, but must be at most 100", depth),
        (
            "(model: (dropout: 0.11))",
            "0.11",
            "`model.dropout` is 0.11, but must be at most 0.1",
            dropout,
        ),
        (
            "(model: (), train: (clip: -1))",
            "-1",
            "`train.clip` is -1, but must be at least 0.0",
            Some("Largest norm of the gradients, or `None`."),
        ),
        (
            "(model: (), train: (clip: Some(-1)))",
            "-1",
            "`train.clip` is -1, but must be at least 0.0",
            Some("Largest norm of the gradients, or `None`."),
        ),
    ] {
        check(text, value, message, help);
    }
}

#[test]
fn a_single_precision_value_at_its_limit_is_allowed() {
    let document =
        vitral_config::Document::new("t", "(name: \"n\", model: (dropout: 0.1, depth: 100))");
    assert_eq!(document.parse::<Experiment>().unwrap().model.dropout, 0.1);
}

#[test]
fn ranges_reach_into_variants_lists_and_texts() {
    check(
        "(model: (), train: (optimizer: AdamW(beta1: 1.0)))",
        "1.0",
        "`train.optimizer.beta1` is 1.0, but must be less than 1.0",
        Some("Decay of the first moment."),
    );
    check(
        "(model: (), train: (warmup: Epochs(-2)))",
        "-2",
        "`train.warmup` is -2, but must be at least 0.0",
        None,
    );
    check(
        "(model: (), train: (milestones: [1, 0]))",
        "0",
        "`train.milestones[1]` is 0, but must be at least 1",
        None,
    );
    check(
        "(model: (), train: (milestones: [1, 2, 3, 4]))",
        "[1, 2, 3, 4]",
        "`train.milestones` has 4 items, but must have at most 3 items",
        None,
    );
    check(
        "(model: (), data: (augment: [(name: \"a\"), (name: \"b\", probability: 2)]))",
        "2",
        "`data.augment[1].probability` is 2, but must be at most 1",
        Some("How often it is applied."),
    );
    check(
        "(name: \"\", model: ())",
        "\"\"",
        "`name` is empty, but must have at least 1 character",
        Some("What the run is called."),
    );
}

#[test]
fn numbers_must_be_finite() {
    for value in ["NaN", "inf", "-inf", "1e999"] {
        let text = format!("(name: \"n\", model: (), train: (clip: {value}))");
        let error = error(&text);
        assert_eq!(underlined(&error), value);
        assert_eq!(error.message, format!("`train.clip` is {value}, but must be a finite number"));
    }
    check(
        "(name: \"n\", model: (), data: (weights: {\"a.b\": NaN}))",
        "NaN",
        "`data.weights[\"a.b\"]` is NaN, but must be a finite number",
        None,
    );
    check(
        "(name: \"n\", model: (), train: (warmup: Epochs(inf)))",
        "inf",
        "`train.warmup` is inf, but must be a finite number",
        None,
    );
}

#[test]
fn the_first_violation_in_the_text_is_reported() {
    let error = error("(train: (learning_rate: 2), model: (depth: 0))");
    assert_eq!(underlined(&error), "2");
}

#[test]
fn a_default_out_of_range_is_blamed_on_the_group_that_leaves_it_out() {
    // The default name is empty, which the schema forbids.
    let error = error("(\n  model: (),\n)");
    assert_eq!(underlined(&error), "(");
    assert_eq!(error.message, "`name` is empty, but must have at least 1 character");
    assert_eq!(error.label, "`name` is not given here, so its default is used");
}

#[test]
fn given_values_come_before_defaults() {
    let error = error("(model: (depth: 0))");
    assert_eq!(underlined(&error), "0");
}

#[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Wrapped {
    optional: Option<Optimizer>,
    #[serde(default)]
    tagged: Option<Tagged>,
    #[serde(default)]
    pair: Option<(Share, Share)>,
}

#[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "kind")]
enum Tagged {
    Small {
        #[schemars(range(max = 1))]
        size: u32,
    },
    Large {
        #[schemars(range(min = 100))]
        size: u32,
    },
}

#[derive(Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
struct Share(#[schemars(range(max = 1.0))] f32);

#[test]
fn ranges_are_those_of_the_branch_that_was_written() {
    let parse = |text: &str| vitral_config::Document::new("t", text).parse::<Wrapped>();
    for text in [
        "(optional: None)",
        "(optional: Sgd, tagged: (kind: \"Large\", size: 100))",
        "(optional: AdamW(beta1: 0.5), tagged: (kind: \"Small\", size: 1), pair: (0.5, 1.0))",
    ] {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    for (text, value, path) in [
        ("(optional: AdamW(beta1: 7))", "7", "`optional.beta1`"),
        ("(optional: Some(AdamW(beta1: 7)))", "7", "`optional.beta1`"),
        ("(optional: Sgd, tagged: (kind: \"Large\", size: 99))", "99", "`tagged.size`"),
        ("(optional: Sgd, tagged: (kind: \"Small\", size: 2))", "2", "`tagged.size`"),
        ("(optional: Sgd, pair: (0.5, 1.5))", "1.5", "`pair[1]`"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(underlined(&error), value, "{error}");
        assert!(error.message.starts_with(path), "{error}");
    }
}
