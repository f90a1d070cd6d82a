//! Paths are bytes, and start where the user wrote them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    resume::copy_folder,
    support::{
        images::{Workspace, write_image_folder},
        program::vitral,
    },
};

/// An experiment on the folders `train` and `val` beside it.
fn write_experiment(workspace: &Workspace, folder: &str) {
    write_image_folder(&workspace.join(folder).join("train"), 4);
    write_image_folder(&workspace.join(folder).join("val"), 2);
    let text = fs::read_to_string(workspace.join("experiment.ron")).unwrap();
    let source = |name: &str| format!("Idx(images: \"{name}-images\", labels: \"{name}-labels\")");
    let folder_of = |name: &str| format!("ImageFolder(path: \"{name}\")");
    let text = text.replace(&source("train"), &folder_of("train"));
    let text = text.replace(&source("val"), &folder_of("val")).replace("steps: 12", "steps: 3");
    fs::write(workspace.join(folder).join("experiment.ron"), text).unwrap();
}

fn images(folder: &Path, arguments: &[&str]) -> u64 {
    let said = vitral(folder, arguments).succeeded().stdout;
    let found: serde_json::Value = serde_json::from_str(&said).unwrap();
    found["images"].as_u64().unwrap()
}

#[test]
fn paths_on_the_command_line_start_where_the_command_does() {
    let workspace = Workspace::new();
    write_experiment(&workspace, "project");
    write_image_folder(&workspace.join("elsewhere/photos"), 5);
    let here = workspace.join("elsewhere");
    let photos = ["--set", "data.val=ImageFolder(path: \"photos\")"];
    let train = ["train", "../project/experiment.ron", "--set", "output=\"run\""];
    vitral(&here, &train).succeeded();
    assert_eq!(
        images(&here, &["eval", "run", "--json"]),
        8,
        "the experiment's own start at its folder"
    );
    assert_eq!(images(&here, &[&["eval", "run", "--json"], &photos[..]].concat()), 20);
    let item = ["--set", "data.val.path=photos"];
    assert_eq!(images(&here, &[&["eval", "run", "--json"], &item[..]].concat()), 20);
    assert_eq!(images(&here, &["eval", "run", "--json", "--data", "photos"]), 20);
    let resume = ["train", "--resume", "run", "--set", "train.steps=6"];
    vitral(&here, &[&resume, &photos[..]].concat()).succeeded();
    assert_eq!(images(&workspace.join("."), &["eval", "elsewhere/run", "--json"]), 20);
    let again = [&train[..3], &["output=\"tuned\"", "--init", "run"], &photos].concat();
    vitral(&here, &again).succeeded();
    assert_eq!(images(&here, &["eval", "tuned", "--json"]), 20);
}

#[test]
fn a_project_that_was_moved_or_copied_finds_its_data() {
    let workspace = Workspace::new();
    write_experiment(&workspace, "first");
    vitral(&workspace.join("first"), &["train", "experiment.ron"]).succeeded();
    fs::rename(workspace.join("first"), workspace.join("second")).unwrap();
    let eval = |project: &str| vitral(&workspace.join(project), &["eval", "run", "--json"]);
    let said = eval("second").succeeded();
    assert!(said.stdout.contains("\"images\":8"), "{}", said.stdout);
    assert!(
        said.stderr.contains("`data.val`") && said.stderr.contains("second/val"),
        "{}",
        said.stderr
    );
    let longer = ["train", "--resume", "second/run", "--set", "train.steps=6"];
    let said = vitral(workspace.path(), &longer).succeeded().stderr;
    assert!(said.contains("`data.train`") && said.contains("second/train"), "{said}");
    // A copy has its own data, also where the first one's is still there.
    copy_folder(&workspace.join("second"), &workspace.join("third"));
    write_image_folder(&workspace.join("third/val"), 3);
    let said = eval("third").succeeded();
    assert!(said.stdout.contains("\"images\":12"), "{}", said.stdout);
    assert!(!eval("second").succeeded().stderr.contains("moved"));
    // A run that was moved alone goes on with the data that it knows.
    fs::rename(workspace.join("third/run"), workspace.join("alone")).unwrap();
    assert_eq!(images(workspace.path(), &["eval", "alone", "--json"]), 8);
}

/// As file systems of the last century have them.
#[cfg(target_os = "linux")]
mod bytes {
    use std::{
        collections::BTreeSet,
        ffi::{OsStr, OsString},
        os::unix::ffi::OsStrExt as _,
    };

    use super::*;
    use crate::support::program::{Finished, vitral_os};

    fn odd(name: &[u8]) -> OsString {
        OsStr::from_bytes(name).to_owned()
    }

    /// Everything that is read lies in folders and files whose names are not Unicode.
    struct Odd {
        workspace: Workspace,
        folder: PathBuf,
        tried: BTreeSet<String>,
    }

    impl Odd {
        fn new() -> Self {
            let workspace = Workspace::new();
            write_experiment(&workspace, "project");
            let folder = workspace.join("").join(odd(b"latin1_\xe4 [v2]"));
            fs::rename(workspace.join("project"), &folder).unwrap();
            for (from, to) in [
                ("experiment.ron", &b"experiment_\xe4.ron"[..]),
                ("train/class_0/000.png", b"train/class_0/\xff.png"),
                ("val/class_0/000.png", b"val/class_0/image_\xe4.png"),
            ] {
                fs::rename(folder.join(from), folder.join(odd(to))).unwrap();
            }
            Self { workspace, folder, tried: BTreeSet::new() }
        }

        fn run_in(&mut self, folder: &Path, arguments: &[&[u8]]) -> Finished {
            let arguments: Vec<OsString> = arguments.iter().map(|bytes| odd(bytes)).collect();
            self.tried.insert(arguments[0].to_string_lossy().into_owned());
            let said = vitral_os(folder, &arguments);
            let whole = format!("{arguments:?}\n{}\n{}", said.stdout, said.stderr);
            assert_ne!(said.status.code(), Some(101), "{whole}");
            assert!(said.status.code().is_some(), "{whole}");
            assert!(!said.stderr.contains("panicked at"), "{whole}");
            said
        }

        fn run(&mut self, arguments: &[&[u8]]) -> Finished {
            self.run_in(&self.folder.clone(), arguments)
        }

        #[track_caller]
        fn works(&mut self, arguments: &[&[u8]]) -> Finished {
            self.run(arguments).succeeded()
        }
    }

    #[test]
    fn every_command_takes_paths_that_are_not_unicode() {
        let mut odd = Odd::new();
        let image: &[u8] = b"val/class_0/image_\xe4.png";
        odd.works(&[b"train", b"experiment_\xe4.ron"]);
        odd.works(&[b"train", b"--resume", b"run", b"--set", b"train.steps=5"]);
        odd.works(&[
            b"train",
            b"experiment_\xe4.ron",
            b"--init",
            b"run",
            b"--set",
            b"output=tuned",
        ]);
        odd.works(&[b"eval", b"run"]);
        odd.works(&[b"eval", b"run", b"--data", b"val"]);
        let said =
            odd.works(&[b"predict", b"run", b"--json", image, b"val/class_1/001.png"]).stdout;
        let mut lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
        let first: serde_json::Value = lines.next().unwrap();
        let bytes: Vec<u8> = serde_json::from_value(first["image_bytes"].clone()).unwrap();
        assert_eq!(
            (bytes.as_slice(), first["image"].as_str()),
            (image, Some("val/class_0/image_\u{fffd}.png"))
        );
        let second: serde_json::Value = lines.next().unwrap();
        assert_eq!(second["image_bytes"], serde_json::Value::Null);
        odd.works(&[b"predict", b"run", image]);
        for (format, out) in [
            (&b"native"[..], &b"native_\xe4"[..]),
            (b"npz", b"\xe4.npz"),
            (b"timm", b"timm_\xe4"),
            (b"onnx", b"\xe4.onnx"),
            (b"saved-model", b"saved_\xe4"),
        ] {
            odd.works(&[b"export", b"run", b"--format", format, b"--out", out]);
            assert!(odd.folder.join(OsStr::from_bytes(out)).exists(), "{out:?}");
        }
        odd.works(&[b"inspect", b"\xe4.npz"]);
        odd.works(&[b"inspect", b"experiment_\xe4.ron"]);
        odd.works(&[b"average", b"run", b"native_\xe4", b"--output", b"mean_\xe4"]);
        odd.works(&[b"config", b"diff", b"experiment_\xe4.ron", b"run"]);
        odd.works(&[b"prune", b"run", b"--neurons", b"0.25", b"--out", b"pruned_\xe4"]);
        odd.works(&[b"eval", b"pruned_\xe4"]);
        odd.works(&[
            b"teach",
            b"run",
            b"experiment_\xe4.ron",
            b"--out",
            b"logits_\xe4.safetensors",
            b"--set",
            b"data.augment=[]",
            b"--set",
            b"train.mix=()",
        ]);
        odd.works(&[
            b"tune",
            b"experiment_\xe4.ron",
            b"--over",
            b"train.learning_rate=0.001,0.01",
            b"--out",
            b"trials_\xe4",
        ]);
        odd.works(&[b"runs", b"trials_\xe4", b"--json"]);
        odd.works(&[b"import", b"\xe4.npz", b"--heads", b"2", b"--out", b"imported_\xe4"]);
        odd.works(&[b"import", b"timm_\xe4", b"--out", b"imported_timm_\xe4"]);
        odd.works(&[b"predict", b"imported_\xe4", b"-k", b"1", image]);
        odd.works(&[b"report", b"run", b"--output", b"report_\xe4.html"]);
        odd.works(&[b"config", b"resolved", b"experiment_\xe4.ron"]);
        odd.works(&[
            b"data",
            b"info",
            b"experiment_\xe4.ron",
            b"--check",
            b"--sheet",
            b"sheet_\xe4.png",
        ]);
        odd.works(&[b"data", b"info", b"train", b"--json"]);
        odd.works(&[b"data", b"cache", b"experiment_\xe4.ron", b"--out", b"\xe4.vcache"]);
        odd.works(&[b"data", b"info", b"\xe4.vcache"]);
        odd.works(&[b"data", b"verify", b"\xe4.vcache"]);
        let bench: [&[u8]; 9] = [
            b"bench",
            b"data",
            b"experiment_\xe4.ron",
            b"--seconds",
            b"0.01",
            b"--rounds",
            b"1",
            b"--workers",
            b"1",
        ];
        odd.works(&bench);
        odd.works(&[
            b"bench",
            b"step",
            b"experiment_\xe4.ron",
            b"--steps",
            b"1",
            b"--warmup",
            b"0",
        ]);
        odd.works(&[b"plugin", b"keygen", b"key_\xe4"]);
        odd.works(&[b"plugin", b"trust", b"key_\xe4.pub"]);
        odd.works(&[b"plugin", b"new", b"dim", b"--kind", b"monitor", b"--folder", b"dim_\xe4"]);
        odd.works(&[b"plugin", b"list"]);
        odd.works(&[b"doctor"]);
        odd.works(&[b"completions", b"bash"]);
        odd.works(&[b"man", b"pages-\xe4"]);
        odd.works(&[b"quickstart", b"first-\xe4"]);
        // From outside, where the folder is a part of every path.
        let root = odd.workspace.path().to_owned();
        let inside = |name: &[u8]| [b"latin1_\xe4 [v2]/", name].concat();
        let outside: [(&[&[u8]], bool); 6] = [
            (&[b"train", &inside(b"experiment_\xe4.ron"), b"--set", b"output=outside"], true),
            (&[b"train", b"--resume", b"outside"], true),
            (&[b"eval", b"outside", b"--data", &inside(b"val")], true),
            (&[b"predict", &inside(b"run"), &inside(image), b"missing_\xe4.png"], false),
            (&[b"data", b"info", &inside(b"val")], true),
            (&[b"report", &inside(b"run")], true),
        ];
        for (arguments, succeeds) in outside {
            let said = odd.run_in(&root, arguments);
            assert_eq!(said.status.success(), succeeds, "{}\n{}", said.stdout, said.stderr);
        }
        // And where there is nothing of that name.
        let nothing: [&[&[u8]]; 24] = [
            &[b"teach", b"\xe4", b"experiment_\xe4.ron", b"--out", b"other"],
            &[b"prune", b"\xe4", b"--flops", b"0.5", b"--out", b"other"],
            &[b"tune", b"\xe4", b"--over", b"train.learning_rate=0.001,0.01", b"--out", b"other"],
            &[b"runs", b"\xe4"],
            &[b"inspect", b"\xe4"],
            &[b"average", b"run", b"\xe4", b"--output", b"other"],
            &[b"config", b"diff", b"\xe4", b"run"],
            &[b"train", b"\xe4"],
            &[b"train", b"--resume", b"\xe4"],
            &[b"train", b"experiment_\xe4.ron", b"--set", b"data.val=\xe4"],
            &[b"eval", b"\xe4"],
            &[b"eval", b"run", b"--data", b"\xe4"],
            &[b"predict", b"\xe4", b"\xe4"],
            &[b"import", b"\xe4", b"--out", b"\xe4\xe4"],
            &[b"export", b"\xe4", b"--format", b"npz", b"--out", b"\xe4\xe4"],
            &[b"report", b"\xe4"],
            &[b"config", b"resolved", b"\xe4"],
            &[b"data", b"info", b"\xe4*.tar"],
            &[b"bench", b"tricks", b"\xe4"],
            &[b"plugin", b"inspect", b"\xe4"],
            &[b"plugin", b"verify", b"\xe4", b"--key", b"key_\xe4.pub"],
            &[b"plugin", b"check", b"\xe4"],
            &[b"plugin", b"install", b"\xe4"],
            &[b"plugin", b"build", b"\xe4", b"--offline"],
        ];
        for arguments in nothing {
            let said = odd.run(arguments);
            assert!(!said.status.success() && !said.stderr.is_empty(), "{arguments:?}");
        }
        let help = odd.works(&[b"--help"]).stdout;
        let listed = help.split_once("Commands:").unwrap().1.split_once("Options:").unwrap().0;
        let commands =
            listed.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        let commands = commands.filter_map(|line| line.split_whitespace().next());
        for command in commands.filter(|command| *command != "help") {
            assert!(odd.tried.contains(command), "`{command}` was not tried");
        }
    }
}
