//! Finding fields in a text, and errors that the caller makes about them.

use vitral_config::Document;

use crate::example::*;

#[test]
fn a_path_leads_to_the_value_or_to_its_nearest_parent() {
    let document = Document::new("t.ron", VALID);
    for (path, value) in [
        ("name", "\"quick\""),
        ("model.depth", "2"),
        ("model.pool.heads", "2"),
        ("train.optimizer", "AdamW(beta1: 0.95)"),
        ("train.optimizer.beta1", "0.95"),
        ("train.milestones[1]", "5"),
        ("train.resume.run", "r#\"runs/ü\"#"),
        ("data.augment[0].probability", "0.5"),
        ("data.weights[\"a.b\"]", "0.5"),
        ("data.weights.ö", "1"),
        ("train.warmup", "Steps(10)"),
        // Not in the text.
        ("data.augment[1].probability", "(name: \"crop\")"),
        ("train.optimizer.weight_decay", "AdamW(beta1: 0.95)"),
        ("data.augment[7].name", "[(name: \"flip\", probability: 0.5), (name: \"crop\")]"),
    ] {
        assert_eq!(&VALID[document.span_of(path)], value, "{path}");
    }
    assert!(VALID[document.span_of("nothing.here")].starts_with("(\n"));
    assert!(VALID[document.span_of("..")].starts_with("(\n"));
    assert_eq!(Document::new("t", "").span_of("a"), 0..0);
}

#[test]
fn a_callers_error_underlines_the_field() {
    let document = Document::new("t.ron", VALID);
    let error = document.error_at("model.width", "64 is not a multiple of 3", None);
    assert_eq!(underlined(&error), "64");
    assert_eq!(error.to_string(), "t.ron:4:30: 64 is not a multiple of 3");
}

#[test]
fn a_callers_error_about_a_default_underlines_what_leaves_it_out() {
    let document = Document::new("t.ron", VALID);
    let error = document.error_at("train.seed", "bad seed", Some("try 7".to_owned()));
    assert_eq!(underlined(&error), "train");
    assert_eq!(error.label, "`train.seed` is not given here, so its default is used");
    assert_eq!(error.help.as_deref(), Some("try 7"));

    let error = document.error_at("train.optimizer.weight_decay", "bad decay", None);
    assert_eq!(underlined(&error), "AdamW");

    let error = Document::new("t.ron", "").error_at("a.b", "bad", None);
    assert_eq!(error.span, Some(0..0));
}
