//! Devices, pipes, folders and sockets where a file is meant: each is named at once, and none is read.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    images::Workspace,
    program::{Finished, start, vitral},
};

/// Longer than any of these commands takes, and shorter than any that waits for a pipe.
const PATIENCE: Duration = Duration::from_secs(30);

const KINDS: [(&str, &str); 4] = [
    ("device", "it is a device"),
    ("pipe", "it is a pipe"),
    ("socket", "it is a socket"),
    ("folder", "it is a folder"),
];

/// Makes something of a kind that is no regular file. A socket is there for as long as what this returns.
fn make(kind: &str, path: &Path) -> Option<UnixListener> {
    match kind {
        "device" => symlink("/dev/zero", path).unwrap(),
        "pipe" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        "folder" => fs::create_dir(path).unwrap(),
        _ => return Some(UnixListener::bind(path).unwrap()),
    }
    None
}

/// The end of a command, which has to come soon.
#[track_caller]
fn soon(folder: &Path, arguments: &[&str]) -> Finished {
    let mut child = start(folder, arguments);
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{arguments:?} does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Has a command fail soon, and say that it is no regular file, and which.
#[track_caller]
fn refused(folder: &Path, arguments: &[&str], name: &str, what: &str) {
    let found = soon(folder, arguments);
    let said = format!("{}{}", found.stdout, found.stderr);
    assert!(!found.status.success(), "{arguments:?} succeeded");
    // Lines are broken where a terminal ends.
    let flat: String = said.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(name) && flat.contains(what), "{arguments:?}: {said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn what_is_no_file_is_named_by_every_command_and_field_that_takes_one() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    vitral(folder, &["train", "experiment.ron", "--set", "train.steps=3"]).succeeded();
    vitral(folder, &["plugin", "keygen", "me"]).succeeded();
    let images = r#"data.train=Idx(images: "X", labels: "train-labels")"#;
    let labels = r#"data.val=Idx(images: "val-images", labels: "X")"#;
    let cifar = r#"data.train=Cifar10(files: ["X"])"#;
    let shards = r#"data.train=WebDataset(shards: ["X"])"#;
    let parquet = r#"data.train=Parquet(files: ["X"])"#;
    let cache = r#"data.train=Cache(path: "X")"#;
    let init = r#"init=Pretrained(path: "X")"#;
    let bundle = r#"plugins={"odd": (bundle: "X")}"#;
    let odd = r#"monitors=[(name: "odd")]"#;
    // Whether a folder has a meaning there.
    let commands: &[(&[&str], bool)] = &[
        (&["config", "resolved", "X"], true),
        (&["train", "X"], false),
        (&["train", "experiment.ron", "--init", "X"], true),
        (&["train", "experiment.ron", "--set", images], false),
        (&["train", "experiment.ron", "--set", labels], false),
        (&["train", "experiment.ron", "--set", cifar], false),
        (&["train", "experiment.ron", "--set", shards], false),
        (&["train", "experiment.ron", "--set", parquet], false),
        (&["train", "experiment.ron", "--set", cache], false),
        (&["train", "experiment.ron", "--set", init], true),
        (&["train", "experiment.ron", "--set", bundle, "--set", odd], false),
        (&["data", "info", "X.ron"], true),
        (&["data", "info", "X.vcache"], true),
        (&["data", "info", "X.tar"], true),
        (&["data", "info", "X.parquet"], true),
        (&["data", "verify", "X"], false),
        (&["data", "cache", "X.tar", "--out", "y.vcache"], true),
        (&["bench", "data", "X"], false),
        (&["bench", "step", "X"], false),
        (&["import", "X", "--out", "y"], true),
        (&["eval", "run", "--data", "X.ron"], true),
        (&["predict", "run", "X"], true),
        (&["plugin", "trust", "X"], false),
        (&["plugin", "install", "X"], false),
        (&["plugin", "sign", "X", "--key", "me.key"], false),
        (&["plugin", "check", "X.wasm"], true),
        (&["plugin", "bench", "X.vitral"], true),
    ];
    for (kind, what) in KINDS {
        let extensions = ["", ".ron", ".vcache", ".tar", ".parquet", ".wasm", ".vitral"];
        let _made =
            extensions.map(|extension| make(kind, &workspace.join(&format!("X{extension}"))));
        for (arguments, is_meant) in commands {
            if !(kind == "folder" && *is_meant) {
                refused(folder, arguments, "X", what);
            }
        }
        // Where a file is read if there is one, nothing else is, either.
        let unread: &[&[&str]] = &[
            &["train", "--resume", "X"],
            &["eval", "X"],
            &["predict", "X", "y.png"],
            &["export", "X", "--format", "npz", "--out", "y"],
            &["report", "X"],
            &["plugin", "inspect", "X"],
            &["plugin", "verify", "X"],
            &["plugin", "distrust", "X"],
        ];
        for arguments in unread {
            refused(folder, arguments, "X", "");
        }
        for extension in extensions {
            vitral_files::remove(&workspace.join(&format!("X{extension}"))).unwrap();
        }
    }
}

#[test]
fn what_is_no_file_is_named_in_runs_and_data_sets_too() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    vitral(folder, &["train", "experiment.ron", "--set", "train.steps=3"]).succeeded();
    fs::create_dir_all(workspace.join("images/class")).unwrap();
    let step = "run/checkpoints/step-00000003";
    for (kind, what) in KINDS {
        for name in ["SHA256SUMS", "state.ron", "config.ron", "model.safetensors"] {
            let (place, aside) = (workspace.join(step).join(name), workspace.join("aside"));
            fs::rename(&place, &aside).unwrap();
            let _made = make(kind, &place);
            refused(folder, &["eval", "run"], name, what);
            vitral_files::remove(&place).unwrap();
            fs::rename(&aside, &place).unwrap();
        }
        for name in ["metrics.jsonl", "config.ron"] {
            let (place, aside) = (workspace.join("run").join(name), workspace.join("aside"));
            fs::rename(&place, &aside).unwrap();
            let _made = make(kind, &place);
            refused(folder, &["report", "run"], name, what);
            vitral_files::remove(&place).unwrap();
            fs::rename(&aside, &place).unwrap();
        }
        if kind != "folder" {
            let place = workspace.join("images/class/a.png");
            let _made = make(kind, &place);
            refused(folder, &["data", "info", "images", "--check"], "a.png", what);
            fs::remove_file(place).unwrap();
        }
        for name in ["y.vcache.partial", "y.vcache.journal"] {
            let _made = make(kind, &workspace.join(name));
            // A device is a link here, which is not followed.
            let what = if kind == "device" { "it is a link" } else { what };
            let cache = ["data", "cache", "experiment.ron", "--out", "y.vcache"];
            refused(folder, &cache, name, what);
            vitral_files::remove(&workspace.join(name)).unwrap();
            let _ = fs::remove_file(workspace.join("y.vcache.journal"));
        }
    }
}
