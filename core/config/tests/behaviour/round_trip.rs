//! What is written can be read, and the schema describes it.

use std::collections::BTreeMap;

use vitral_config::{Document, schema, to_ron};

use crate::example::*;

fn again(experiment: &Experiment) -> Experiment {
    let text = to_ron(experiment).unwrap();
    Document::new("written", text.clone()).parse().unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn every_kind_of_value_is_read_as_it_was_written() {
    let mut experiment = Experiment { name: "a \"b\" \\ é\n".into(), ..Experiment::default() };
    assert_eq!(again(&experiment), experiment);

    experiment.model.pool = Pool::Attention { heads: 4 };
    experiment.model.dropout = 0.033_333_335;
    experiment.train.learning_rate = 1e-12;
    experiment.train.optimizer = Optimizer::Lion { beta1: 0.1 + 0.2 };
    experiment.train.clip = Some(1e-7);
    experiment.train.seed = u64::MAX;
    experiment.train.warmup = Length::Steps(7);
    experiment.train.milestones = vec![1, 2, 3];
    experiment.train.resume = Some(Resume { run: "runs/ü 1".into() });
    experiment.data.path = "/data/train".into();
    experiment.data.augment = vec![Augment { name: "flip".into(), probability: 0.3 }];
    experiment.data.weights = BTreeMap::from([("a.b".into(), 0.25), ("\"".into(), -3.0)]);
    assert_eq!(again(&experiment), experiment);

    experiment.train.optimizer = Optimizer::Sgd;
    assert_eq!(again(&experiment), experiment);
}

#[test]
fn written_files_read_like_a_table() {
    let experiment = Experiment {
        train: Train { clip: Some(1.0), ..Train::default() },
        ..Experiment::default()
    };
    let text = to_ron(&experiment).unwrap();
    assert!(text.contains("optimizer: AdamW(\n            beta1: 0.9,"), "{text}");
    assert!(text.contains("clip: 1.0,"), "{text}");
    assert!(text.contains("image: (224, 224),"), "{text}");
    assert!(text.starts_with("(\n    name: \"\",\n    model: (\n"), "{text}");
    assert!(text.ends_with(",\n)\n"), "{text}");
}

#[test]
fn options_may_be_written_with_and_without_some() {
    for resume in ["(run: \"x\")", "Some(run: \"x\")"] {
        let text = format!("(name: \"n\", model: (), train: (clip: Some(1), resume: {resume}))");
        let parsed: Experiment = Document::new("t", text).parse().unwrap();
        assert_eq!(parsed.train.clip, Some(1.0));
        assert_eq!(parsed.train.resume.unwrap().run.to_str(), Some("x"));
    }
}

#[test]
fn the_example_is_valid_with_its_comments_and_with_a_byte_order_mark() {
    let plain: Experiment = Document::new("t", VALID).parse().unwrap();
    let marked = format!("\u{feff}{}", VALID.replace('\n', "\r\n"));
    assert_eq!(Document::new("t", marked).parse::<Experiment>().unwrap(), plain);
    assert_eq!(again(&plain), plain);
}

#[test]
fn the_schema_is_that_of_draft_2020_12() {
    let schema = schema::<Experiment>();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["name"]["description"], "What the run is called.");
}
