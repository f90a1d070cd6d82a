//! What a mistake is answered with: the right name, plugin or form, where the mistake stands.

use std::fs;

use crate::support::{images::Workspace, program::vitral, root};

/// Replaces something in the experiment and returns what `train` says about it.
fn complaint(changes: &[(&str, &str)]) -> String {
    let workspace = Workspace::new();
    let mut text = fs::read_to_string(workspace.join("experiment.ron")).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    workspace.write("experiment.ron", &text);
    let said = vitral(workspace.path(), &["train", "experiment.ron"]).failed_with(2).stderr;
    assert!(!workspace.join("run").exists(), "nothing is written for an experiment that is wrong");
    said
}

const TRAIN: &str = r#"Idx(images: "train-images", labels: "train-labels")"#;

#[test]
fn what_other_programs_call_a_thing_is_known_by_its_name_here() {
    for (from, to, place, words) in [
        ("depth: 2", "lr: 2", "9:9", "`lr` is called `learning_rate`, which belongs to `train`"),
        ("ema: 0.9", "amp: true", "30:9", "`amp` is called `precision` here"),
        (
            "ema: 0.9",
            "optimizer: AdamW(betas: (0.9, 0.95))",
            "30:26",
            "`betas` is called `beta1` and `beta2` here",
        ),
        ("HorizontalFlip()", "RandAugment()", "19:40", r#"write `Plugin(name: "randaugment")`"#),
        ("HorizontalFlip()", "RandomErasing()", "19:40", r#"`Plugin(name: "random-erasing")`"#),
        ("learning_rate: 2e-3", "learning_rate: 0,05", "26:24", "write 0.05"),
        (r#"device: "cpu""#, r#"device: "gpu""#, "3:13", "`auto` uses a GPU if there is one"),
        (
            TRAIN,
            r#"ImageFolder(images: "photos")"#,
            "17:28",
            "`images` belongs to `Idx( ... )`; fields here: path, classes",
        ),
        (
            TRAIN,
            r#"WebDataset(shards: "x.tar")"#,
            "17:35",
            r#"write it in square brackets: ["x.tar"]"#,
        ),
        (
            "HorizontalFlip()",
            r#"Plugin(name: "randaugment", settings: {"magnitud": 9})"#,
            "19:79",
            "did you mean `magnitude`?",
        ),
        (
            "HorizontalFlip()",
            r#"Plugin(name: "randagument")"#,
            "19:53",
            "did you mean `randaugment`?",
        ),
        (TRAIN, r#"Idx(images: "nothing", labels: "train-labels")"#, "17:28", "cannot read"),
        (TRAIN, r#"ImageFolder(path: "no/folder")"#, "17:34", "cannot read"),
    ] {
        let said = complaint(&[(from, to)]);
        // A line may be broken where the box of the message ends.
        let plain: String = said.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains(&format!("experiment.ron:{place}")),
            "{to}: {place} is not in\n{said}"
        );
        assert!(plain.contains(words), "{to}: {words} is not in\n{said}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_shown_at_once() {
    let said = complaint(&[
        ("depth: 2", "dept: 2"),
        ("HorizontalFlip()", "HorizontalFlop()"),
        ("batch: 16", "batch: 0"),
        ("ema: 0.9", "ema: 1.5"),
    ]);
    for words in
        ["`dept`", "`HorizontalFlop`", "`train.ema` is 1.5", "4 mistakes in experiment.ron"]
    {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
}

#[test]
fn an_empty_file_is_answered_with_the_least_that_is_right() {
    let workspace = Workspace::new();
    workspace.write("empty.ron", "");
    let said = vitral(workspace.path(), &["train", "empty.ron"]).failed_with(2).stderr;
    assert!(said.contains("write at least `(data: (train: ..., val: ...))`"), "{said}");
}

#[test]
fn a_setting_of_a_default_choice_needs_no_choice_in_the_file() {
    let workspace = Workspace::new();
    let resolved = |set: &str| {
        vitral(workspace.path(), &["config", "resolved", "experiment.ron", "--set", set])
    };
    let text = resolved("train.optimizer.beta2=0.95").succeeded().stdout;
    assert!(text.contains("AdamW(") && text.contains("beta2: 0.95"), "{text}");
    let said = resolved("train.optimizer.momentum=0.8").failed_with(2).stderr;
    assert!(said.contains("`AdamW` by default, which has no `momentum`"), "{said}");
    assert!(said.contains("train.optimizer=Sgd(momentum: ...)"), "{said}");
    let said = resolved("train.precision.initial_scale=2.0").failed_with(2).stderr;
    assert!(said.contains("`F32` by default") && said.contains("F16(initial_scale:"), "{said}");
    let said = resolved("train.learning_rate=0,05").failed_with(2).stderr;
    assert!(said.contains("write it with a point: 0.05"), "{said}");
}

#[test]
fn a_resolved_experiment_has_what_counts_and_nothing_beside_it() {
    let workspace = Workspace::new();
    let resolved = ["config", "resolved", "experiment.ron", "--set", r#"model.variant="S/16""#];
    let text = vitral(workspace.path(), &resolved).succeeded().stdout;
    assert!(text.contains("stem: None,") && !text.contains("r#"), "{text}");
    assert!(text.contains("width: 16") || text.contains("width: Some(16)"), "{text}");
    assert!(!text.contains("variant"), "sizes are given, so a variant means nothing:\n{text}");
    workspace.write("again.ron", &text);
    let again = vitral(workspace.path(), &["config", "resolved", "again.ron"]).succeeded().stdout;
    assert_eq!(again, text);
}

#[test]
fn fields_are_explained_from_the_schema() {
    let folder = root();
    let config = |arguments: &[&str]| vitral(&folder, &[&["config"], arguments].concat());
    let text = config(&["explain", "train.mix"]).succeeded().stdout;
    for words in ["Mixup and CutMix.", "cutmix: a number from 0.0 to 100.0; default `0.0`"] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let text = config(&["explain", "train.batch"]).succeeded().stdout;
    for words in ["an integer from 1 to", "Auto( ... )", "effective: an integer from 1 to"] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    let schema = config(&["schema", "train.batch"]).succeeded().stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert!(schema["$defs"]["BatchSize"].is_object() && schema["$defs"]["Mix"].is_null());
    let said = config(&["explain", "lr"]).failed_with(2).stderr;
    assert!(said.contains("did you mean `train.learning_rate`?"), "{said}");
    let text = config(&["defaults"]).succeeded().stdout;
    assert!(text.contains("// Decay of the gradient's average.\n"), "{text}");
}

#[test]
fn a_misspelt_plugin_comes_with_the_one_that_is_meant() {
    let said = vitral(&root(), &["plugin", "inspect", "windw"]).failed_with(1).stderr;
    assert!(said.contains("did you mean `window`?"), "{said}");
}

#[test]
fn doctor_lists_every_source_of_data() {
    let said = vitral(&root(), &["doctor"]).succeeded().stdout;
    let schema = vitral(&root(), &["config", "schema", "data.train"]).succeeded().stdout;
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let sources = schema["$defs"]["SourceConfig"]["oneOf"].as_array().unwrap();
    assert!(sources.len() >= 7);
    for source in sources {
        let name = source["required"][0].as_str().unwrap();
        assert!(said.contains(&format!("  {name} ")), "{name} is not in\n{said}");
    }
}

#[test]
fn a_run_says_what_set_cannot_change_in_it() {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    let deeper = ["train", "--resume", "run", "--set", "model.depth=3"];
    let run = vitral(workspace.path(), &deeper);
    assert!(!run.status.success(), "{}", run.stdout);
    let said = run.stderr;
    assert!(said.contains("--set") && !said.contains("its own experiment"), "{said}");
    let out = ["export", "run", "--format", "native", "--out", "model"];
    let said = vitral(workspace.path(), &out).succeeded().stdout;
    assert!(said.contains("the last checkpoint, of step 12"), "{said}");
    let best = ["export", "run/best", "--format", "native", "--out", "best"];
    let said = vitral(workspace.path(), &best).succeeded().stdout;
    assert!(!said.contains("the last checkpoint"), "{said}");
}

#[test]
fn a_new_plugin_takes_the_sdk_from_where_everybody_can() {
    let workspace = Workspace::new();
    let new = ["plugin", "new", "dim", "--kind", "monitor"];
    let said = vitral(workspace.path(), &new).succeeded().stdout;
    let manifest = fs::read_to_string(workspace.join("dim/Cargo.toml")).unwrap();
    assert!(manifest.contains("git = ") && !manifest.contains("path = \"/"), "{manifest}");
    assert!(manifest.contains("rev = ") || manifest.contains("tag = "), "{manifest}");
    assert!(said.contains("the SDK comes from https://"), "{said}");
    let sdk = root().join("sdk");
    let sdk = sdk.to_str().unwrap();
    let new = ["plugin", "new", "dam", "--kind", "monitor", "--sdk", sdk];
    vitral(workspace.path(), &new).succeeded();
    let manifest = fs::read_to_string(workspace.join("dam/Cargo.toml")).unwrap();
    assert!(manifest.contains("path = "), "{manifest}");
    let new = ["plugin", "new", "dem", "--kind", "monitor", "--sdk", "nowhere"];
    vitral(workspace.path(), &new).failed_with(2);
}
