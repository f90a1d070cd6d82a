//! Runs that learn from a trained model, too.

use std::fs;

use serde_json::Value;

use crate::{
    resume::{assert_same, copy_folder},
    support::{
        images::{Workspace, write_image_folder},
        program::{Finished, vitral},
    },
};

/// A workspace with a trained run, the teacher.
fn with_teacher() -> Workspace {
    let workspace = Workspace::new();
    student(&workspace, &["output=teacher", "train.steps=6"]).succeeded();
    workspace
}

fn student(workspace: &Workspace, changes: &[&str]) -> Finished {
    let mut arguments = vec!["train", "experiment.ron"];
    arguments.extend(changes.iter().flat_map(|change| ["--set", change]));
    vitral(workspace.path(), &arguments)
}

fn resumed(workspace: &Workspace, run: &str, changes: &[&str]) -> Finished {
    let mut arguments = vec!["train", "--resume", run];
    arguments.extend(changes.iter().flat_map(|change| ["--set", change]));
    vitral(workspace.path(), &arguments)
}

const TEACHER: &str = r#"train.teacher=(checkpoint: "teacher")"#;

/// The teacher sees what the model sees, mixed images included, and computes as the model does without its
/// noise.
#[test]
fn a_model_has_nothing_to_learn_from_itself() {
    let workspace = with_teacher();
    let first_loss = |teacher: &str, output: &str| {
        let output = format!("output={output}");
        let init = r#"init=Pretrained(path: "teacher")"#;
        let without_noise = ["model.dropout=0", "model.drop_path=0", "model.patch_dropout=0"];
        let changes = [&without_noise[..], &[init, teacher, &output, "train.steps=2"]].concat();
        student(&workspace, &changes).succeeded();
        let run = output.trim_start_matches("output=").to_owned();
        let metrics = fs::read_to_string(workspace.join(&run).join("metrics.jsonl")).unwrap();
        let first: Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
        assert_eq!((&first["kind"], &first["step"]), (&"step".into(), &1.into()));
        first["loss"].as_f64().unwrap()
    };
    let all = r#"train.teacher=(checkpoint: "teacher", weight: 1, temperature: 2)"#;
    let (of_itself, half, none) =
        (first_loss(all, "itself"), first_loss(TEACHER, "half"), first_loss("seed=0", "none"));
    assert!(of_itself.abs() < 1e-5, "{of_itself}");
    assert!((half - none / 2.0).abs() < 1e-4, "{half} is not half of {none}");
}

#[test]
fn resumed_student_equals_uninterrupted_student() {
    let workspace = with_teacher();
    let hard = r#"train.teacher=(checkpoint: "teacher", hard: true)"#;
    for (name, changes) in [
        ("token", [hard, "model.distillation_token=true", "train.precision=BF16"]),
        ("soft", [TEACHER, "train.batch=Auto(effective: 16)", "train.accum_steps=1"]),
    ] {
        let output = format!("output={name}");
        let said = student(&workspace, &[&changes[..], &[&output]].concat()).succeeded().stderr;
        assert!(said.contains("teacher: ") && said.contains("50% of the loss"), "{said}");
        let copy = format!("{name}-resumed");
        copy_folder(&workspace.join(name), &workspace.join(&copy));
        let said = resumed(&workspace, &format!("{copy}/checkpoints/step-00000006"), &[]);
        assert!(!said.succeeded().stderr.contains("teach"), "nothing has changed");
        assert_same(&workspace.join(&copy), &workspace.join(name));
    }
}

#[test]
fn a_teacher_that_cannot_teach_is_refused_before_the_run() {
    let workspace = with_teacher();
    write_image_folder(&workspace.join("photos"), 4);
    let photos = r#"data.train=ImageFolder(path: "photos")"#;
    let val = r#"data.val=ImageFolder(path: "photos")"#;
    let cold = r#"train.teacher=(checkpoint: "teacher", hard: true, temperature: 2)"#;
    for (changes, words) in [
        (&[TEACHER, photos, val][..], "does not know these classes of the data: class_0"),
        (&[TEACHER, "model.channels=3"], "takes images of 1 channels, but the model takes 3"),
        (
            &[TEACHER, "model.image_size=9", "model.patch_size=3"],
            "the teacher's patches of 2 px do not fill images of 9 px",
        ),
        (&[TEACHER, "model.classes=9"], "`model.classes` is 9, but the data names 4 classes"),
        (&[cold], "a temperature does not change which class"),
        (&[r#"train.teacher=(checkpoint: "nowhere")"#], "nowhere"),
    ] {
        let refused = student(&workspace, &[changes, &["output=student"]].concat());
        assert!(!refused.status.success() && refused.stderr.contains(words), "{}", refused.stderr);
        assert!(!workspace.join("student").exists(), "{words}");
    }
}

/// Classes are matched by name, images normalised as the teacher's were and brought to its patches.
#[test]
fn a_teacher_may_know_more_classes_and_see_images_in_its_own_way() {
    let workspace = Workspace::new();
    write_image_folder(&workspace.join("photos"), 4);
    let data = [
        r#"data.train=ImageFolder(path: "photos")"#,
        r#"data.val=ImageFolder(path: "photos")"#,
        "train.batch=4",
    ];
    let teacher = [
        "output=teacher",
        "train.steps=2",
        "model.patch_size=4",
        "data.normalize=Custom(mean: [0.3], std: [0.2])",
    ];
    student(&workspace, &[&data[..], &teacher].concat()).succeeded();
    // Of four classes, three are left.
    fs::remove_dir_all(workspace.join("photos/class_1")).unwrap();
    let changes = [&data[..], &[TEACHER, "train.steps=2", "model.image_size=16"]].concat();
    let said = student(&workspace, &changes).succeeded().stderr;
    assert!(said.contains("1 of the teacher's 4 classes are left out"), "{said}");
}

#[test]
fn another_teacher_is_told_or_refused() {
    let workspace = with_teacher();
    student(&workspace, &[TEACHER, "train.steps=4", "checkpoints.every=Steps(2)"]).succeeded();
    let at = "run/checkpoints/step-00000002";
    // The folder has a newer checkpoint now, which is another model.
    resumed(&workspace, "teacher", &["train.steps=7"]).succeeded();
    let refused = resumed(&workspace, at, &[]);
    let words = "is a different model from the one that the run has learned from so far";
    assert!(!refused.status.success() && refused.stderr.contains(words), "{}", refused.stderr);
    let older = r#"train.teacher.checkpoint="teacher/checkpoints/step-00000003""#;
    let said = resumed(&workspace, at, &[older]).succeeded().stderr;
    assert!(said.contains("resume: the teacher is ") && said.contains(", and was "), "{said}");
    let said = resumed(&workspace, at, &["train.teacher=None"]).succeeded().stderr;
    assert!(said.contains("no longer teaches"), "{said}");
    let same = r#"train.teacher=(checkpoint: "teacher/checkpoints/step-00000006")"#;
    let said = resumed(&workspace, at, &[same]).succeeded().stderr;
    assert!(said.contains("teacher: the model learns its probabilities from"), "{said}");
}

const LOGITS: &str = r#"train.teacher=(logits: "logits.safetensors")"#;
/// As in the experiment of the tests, without what makes other images of the same.
const UNCHANGED: [&str; 3] = ["data.augment=[]", "train.mix=()", "train.batch_augment=[]"];

fn teach(workspace: &Workspace, out: &str, changes: &[&str]) -> Finished {
    let mut arguments = vec!["teach", "teacher", "experiment.ron", "--out", out];
    arguments.extend(changes.iter().flat_map(|change| ["--set", change]));
    vitral(workspace.path(), &arguments)
}

/// The losses of all steps and evaluations of a run.
fn losses(workspace: &Workspace, run: &str) -> Vec<f64> {
    let metrics = fs::read_to_string(workspace.join(run).join("metrics.jsonl")).unwrap();
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter_map(|line| line["loss"].as_f64()).collect()
}

#[test]
fn logits_from_a_file_teach_as_their_teacher_does() {
    let workspace = with_teacher();
    let said = teach(&workspace, "logits.safetensors", &UNCHANGED).succeeded().stdout;
    assert!(said.contains("logits of each of"), "{said}");
    let again = teach(&workspace, "logits.safetensors", &UNCHANGED);
    assert!(!again.status.success() && again.stderr.contains("logits.safetensors"));
    for (name, more) in [
        ("plain", &["train.log_every=1"][..]),
        ("auto", &["train.batch=Auto(effective: 16)", "train.accum_steps=1", "train.log_every=1"]),
    ] {
        let by = |teacher: &str, run: &str| {
            let output = format!("output={run}");
            let changes = [&UNCHANGED[..], more, &[teacher, &output]].concat();
            let said = student(&workspace, &changes).succeeded().stderr;
            assert!(said.contains("its probabilities from"), "{said}");
            losses(&workspace, run)
        };
        let runs = [format!("{name}-model"), format!("{name}-file")];
        let (model, file) = (by(TEACHER, &runs[0]), by(LOGITS, &runs[1]));
        assert!(model.len() > 3);
        assert_eq!(model, file, "{name}");
        let copy = format!("{name}-resumed");
        copy_folder(&workspace.join(&runs[1]), &workspace.join(&copy));
        resumed(&workspace, &format!("{copy}/checkpoints/step-00000006"), &[]).succeeded();
        assert_same(&workspace.join(&copy), &workspace.join(&runs[1]));
    }
}

#[test]
fn logits_of_something_else_are_refused_before_the_run() {
    let workspace = with_teacher();
    teach(&workspace, "logits.safetensors", &UNCHANGED).succeeded();
    write_image_folder(&workspace.join("photos"), 4);
    fs::write(workspace.join("none.safetensors"), "nothing").unwrap();
    let flipped = "data.augment=[HorizontalFlip()]";
    let refused = teach(&workspace, "other.safetensors", &[flipped]);
    let words = "`HorizontalFlip` changes images at random";
    assert!(!refused.status.success() && refused.stderr.contains(words), "{}", refused.stderr);
    let photos = r#"data.train=ImageFolder(path: "photos")"#;
    let val = r#"data.val=ImageFolder(path: "photos")"#;
    let both = r#"train.teacher=(checkpoint: "teacher", logits: "logits.safetensors")"#;
    for (changes, words) in [
        (&[LOGITS, flipped][..], words),
        (&[LOGITS, "train.mix=(mixup: 0.8)"], "Mixup and CutMix make new images"),
        (&[LOGITS, "data.repeated_augmentation=2"], "augmented differently"),
        (&[LOGITS, "data.augment=[Resize()]"], "logits were made with `data.augment` []"),
        (&[LOGITS, "model.image_size=16"], "logits were made with `model.image_size`"),
        (&[LOGITS, photos, val], "logits were made of other images"),
        (&[both], "`checkpoint` and `logits` are both given"),
        (&["train.teacher=()"], "there is no teacher"),
        (&[r#"train.teacher=(logits: "none.safetensors")"#], "it is not a safetensors file"),
        (&[r#"train.teacher=(logits: "nowhere.safetensors")"#], "nowhere.safetensors"),
    ] {
        let all = [&UNCHANGED[..], changes, &["output=student"]].concat();
        let refused = student(&workspace, &all);
        assert!(!refused.status.success() && refused.stderr.contains(words), "{}", refused.stderr);
        assert!(!workspace.join("student").exists(), "{words}");
    }
    // Other logits of the same name are not those that a run has learned from.
    student(&workspace, &[&UNCHANGED[..], &[LOGITS]].concat()).succeeded();
    fs::remove_file(workspace.join("logits.safetensors")).unwrap();
    resumed(&workspace, "teacher", &["train.steps=7"]).succeeded();
    teach(&workspace, "logits.safetensors", &UNCHANGED).succeeded();
    let refused = resumed(&workspace, "run", &["train.steps=20"]);
    let words = "has different logits from those that the run has learned from so far";
    assert!(!refused.status.success() && refused.stderr.contains(words), "{}", refused.stderr);
}
