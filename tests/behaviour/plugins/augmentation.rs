//! Augmentation plugins in training, well-behaved and not.

use std::fs;

use super::built;
use crate::support::{
    images::Workspace,
    program::{Finished, vitral},
};

fn train(workspace: &Workspace, output: &str, changes: &[&str]) -> Finished {
    let output = format!("output={output}");
    let mut arguments = vec!["train", "experiment.ron", "--set", &output];
    arguments.extend(built::arguments(changes));
    vitral(workspace.path(), &arguments)
}

fn weights(workspace: &Workspace, run: &str) -> Vec<u8> {
    let last = fs::read_to_string(workspace.join(run).join("last")).unwrap();
    fs::read(workspace.join(run).join(last.trim()).join("model.safetensors")).unwrap()
}

const RANDAUGMENT: &str = r#"data.augment=[Plugin(name: "randaugment"), HorizontalFlip()]"#;

#[test]
fn image_augmentations_do_not_depend_on_form_or_workers() {
    let workspace = Workspace::new();
    let bundle = built::bundle("plugins/randaugment");
    train(&workspace, "compiled-in", &[RANDAUGMENT]).succeeded();
    let expected = weights(&workspace, "compiled-in");
    for (output, form, workers) in [("wasm", "Wasm", 1), ("wasm-3", "Wasm", 3), ("so", "Native", 2)]
    {
        let take = built::take("randaugment", &bundle, form);
        let workers = format!("data.workers={workers}");
        let allow = built::allow("randaugment", form);
        train(&workspace, output, &[RANDAUGMENT, &take, &workers, &allow]).succeeded();
        assert!(weights(&workspace, output) == expected, "{output} differs");
    }
    train(&workspace, "without", &[]).succeeded();
    assert!(weights(&workspace, "without") != expected, "the plugin does nothing");
}

#[test]
fn batch_augmentations_run_and_resume_without_their_plugin() {
    let workspace = Workspace::new();
    let bundle = workspace.join("mix.vitral");
    fs::copy(built::bundle("plugins/token-mix"), &bundle).unwrap();
    let mix = r#"train.batch_augment=[(name: "token-mix", settings: {"mode": "element"})]"#;
    let plain = "train.mix=()";
    let take = built::take("token-mix", &bundle, "Wasm");
    train(&workspace, "run", &[mix, plain, &take, &built::allow("token-mix", "Wasm")]).succeeded();
    let expected = weights(&workspace, "run");
    fs::remove_file(&bundle).unwrap();
    let resumed = ["train", "--resume", "run/checkpoints/step-00000003"];
    vitral(workspace.path(), &resumed).succeeded();
    assert!(weights(&workspace, "run") == expected, "the resumed run differs");
    train(&workspace, "without", &[plain]).succeeded();
    assert!(weights(&workspace, "without") != expected, "the plugin does nothing");
}

#[test]
fn who_names_the_former_plugin_for_mixup_is_told_of_the_trainers() {
    let workspace = Workspace::new();
    let mix = r#"train.batch_augment=[(name: "mixup-cutmix")]"#;
    let refused = train(&workspace, "run", &[mix]).failed_with(2).stderr;
    let inspected = vitral(workspace.path(), &["plugin", "inspect", "mixup-cutmix"]);
    for said in [refused, inspected.failed_with(1).stderr] {
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("mix: (mixup: 0.8, cutmix: 1.0)"), "{said}");
    }
}

#[test]
fn a_resumed_run_refuses_another_content_of_a_plugin() {
    let workspace = Workspace::new();
    let bundle = workspace.join("randaugment.vitral");
    fs::copy(built::bundle("plugins/randaugment"), &bundle).unwrap();
    let take = built::take("randaugment", &bundle, "Wasm");
    let allow = "--allow=randaugment:run,native";
    train(&workspace, "run", &[RANDAUGMENT, &take, allow]).succeeded();
    let resume = ["train", "--resume", "run/checkpoints/step-00000003", allow, "--set"];
    let again = vitral(workspace.path(), &[&resume[..], &["train.log_every=1"]].concat());
    again.succeeded();
    // The same plugin in another form has another content.
    let native = built::take("randaugment", &bundle, "Native");
    let refused = vitral(workspace.path(), &[&resume[..], &[&native]].concat()).failed_with(1);
    for part in ["not the one that the run was started with", "install the bundle of its version"] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
}

/// The experiment's changes for a plugin that fails.
fn faulty(fault: &str, on_error: &str, grant: &str) -> [String; 2] {
    let bundle = built::bundle("tests/fixtures/plugins/faulty");
    [
        format!(
            r#"data.augment=[Plugin(name: "faulty", on_error: {on_error}, settings: {{"fault": "{fault}"}})]"#
        ),
        format!(r#"plugins={{"faulty": (bundle: "{}", grant: ({grant}))}}"#, bundle.display()),
    ]
}

const ALLOW: &str = "--allow=faulty:run,clock";

fn train_faulty(fault: &str, on_error: &str) -> Finished {
    let workspace = Workspace::new();
    let [augment, take] = faulty(fault, on_error, "clock: true");
    train(&workspace, "run", &[&augment, &take, ALLOW])
}

#[test]
fn a_failing_plugin_stops_the_run_by_name_call_and_input() {
    for (fault, wanted) in [
        ("error", "this image is not to my taste"),
        ("panic", "that was too much"),
        ("loop", "took longer than its limit of 500ms"),
        ("memory", "its limit of 16 MiB"),
    ] {
        let shown = train_faulty(fault, "Stop").failed_with(1).stderr;
        assert!(shown.contains("plugin `faulty` failed in augment (image 8x8x1"), "{shown}");
        assert!(shown.contains(wanted), "{fault}: {shown}");
    }
}

#[test]
fn a_failing_plugin_can_be_skipped_for_a_sample() {
    let finished = train_faulty("panic", "Skip").succeeded();
    assert!(finished.stderr.contains("left out"), "{}", finished.stderr);
    assert!(finished.stdout.contains("training images (repeats counted)"), "{}", finished.stdout);
}

#[test]
fn a_failing_plugin_can_be_disabled() {
    let finished = train_faulty("panic", "Disable").succeeded();
    let shown = &finished.stderr;
    assert!(shown.contains("the run goes on without it"), "{shown}");
    assert!(!shown.contains("left out"), "{shown}");
}

#[test]
fn a_plugin_gets_only_what_is_granted() {
    let workspace = Workspace::new();
    let [augment, take] = faulty("panic", "Skip", "");
    let shown = train(&workspace, "run", &[&augment, &take, ALLOW]).failed_with(2).stderr;
    assert!(shown.contains("asks for the clock, which is not granted"), "{shown}");
    assert!(shown.contains("grant: (clock: true)"), "{shown}");
    let [augment, take] = faulty("panic", "Skip", "clock: true, network: [\"lab:80\"]");
    let shown = train(&workspace, "run", &[&augment, &take, ALLOW]).failed_with(2).stderr;
    assert!(shown.contains("does not ask for the network"), "{shown}");
    // What the experiment grants is what it would have; the user has not said so.
    let [augment, take] = faulty("panic", "Skip", "clock: true");
    let shown = train(&workspace, "run", &[&augment, &take, "--allow=faulty:run"]).failed_with(2);
    assert!(shown.stderr.contains("read the time"), "{}", shown.stderr);
}
