//! What a stranger has put into a folder, and a disk that is full, when files are written.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::support::{
    images::{Workspace, write_image_folder},
    program::{Finished, vitral, vitral_within},
};

/// A folder that no command is told of, and links to it.
struct Outside(PathBuf);

impl Outside {
    fn new(workspace: &Workspace) -> Self {
        let path = workspace.join("outside");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("kept"), "kept").unwrap();
        Self(path)
    }

    /// Puts links in these places, to what is there and to what is not.
    fn plant(&self, places: &[PathBuf]) {
        for (number, place) in places.iter().enumerate() {
            let to = if number % 2 == 0 { "kept".into() } else { format!("new-{number}") };
            symlink(self.0.join(to), place).unwrap();
        }
    }

    #[track_caller]
    fn is_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["kept"]);
        assert_eq!(fs::read_to_string(self.0.join("kept")).unwrap(), "kept");
    }
}

/// The hidden files and folders in a folder and all that are in it, but for a run's lock.
fn hidden(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with('.') && ![".lock", ".plugins"].contains(&name) {
            found.push(path);
        } else if path.is_dir() {
            found.extend(hidden(&path));
        }
    }
    found
}

fn trained() -> Workspace {
    let workspace = Workspace::new();
    let short = ["train", "experiment.ron", "--set", "train.steps=3"];
    vitral(workspace.path(), &short).succeeded();
    workspace
}

#[test]
fn links_in_a_strangers_run_lead_nowhere() {
    let workspace = trained();
    let outside = Outside::new(&workspace);
    let run = workspace.join("run");
    // Names that temporary files had once, and of files that are replaced.
    let temporary = ["metrics.jsonl", "last", "best", "config.ron", "plugins.lock.ron"];
    outside.plant(&temporary.map(|name| run.join(format!(".{name}.writing"))));
    outside.plant(
        &[".writing-step-00000006", ".removing-step-00000003", "step-00000006"]
            .map(|name| run.join("checkpoints").join(name)),
    );
    let replaced = ["best", "config.ron"];
    for name in replaced {
        fs::remove_file(run.join(name)).unwrap();
    }
    outside.plant(&replaced.map(|name| run.join(name)));
    let longer = |steps: &str| {
        let steps = format!("train.steps={steps}");
        let last = "run/checkpoints/step-00000003";
        vitral(workspace.path(), &["train", "--resume", last, "--set", &steps])
    };
    longer("6").succeeded();
    outside.is_untouched();
    assert!(run.join("checkpoints/step-00000006/state.ron").is_file());
    assert!(run.join("config.ron").symlink_metadata().unwrap().is_file());

    // What stays in its place is refused where it is a link.
    for (name, is_folder) in [(".lock", false), ("metrics.jsonl", false), ("checkpoints", true)] {
        let (place, aside) = (run.join(name), workspace.join("aside"));
        fs::rename(&place, &aside).unwrap();
        match is_folder {
            true => symlink(&aside, &place).unwrap(),
            false => outside.plant(std::slice::from_ref(&place)),
        }
        let before = fs::read_dir(run.join("checkpoints")).unwrap().count();
        let said = longer("7").failed_with(1).stderr;
        assert!(said.contains(name) && said.contains("link"), "{said}");
        outside.is_untouched();
        assert_eq!(fs::read_dir(run.join("checkpoints")).unwrap().count(), before);
        fs::remove_file(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
    }
    longer("7").succeeded();
    // Of a run that is said to have failed at once.
    fs::create_dir(workspace.join("other")).unwrap();
    symlink(outside.0.join("new"), workspace.join("other/metrics.jsonl")).unwrap();
    let other = ["train", "experiment.ron", "--set", "output=other"];
    let said = vitral(workspace.path(), &other).failed_with(1).stderr;
    assert!(said.contains("metrics.jsonl: it is a link"), "{said}");
    outside.is_untouched();
}

#[test]
fn links_beside_what_is_made_lead_nowhere_and_nothing_is_replaced() {
    let workspace = trained();
    let outside = Outside::new(&workspace);
    let folder = workspace.path();
    write_image_folder(&workspace.join("images"), 3);
    let made = ["x.onnx", "x.npz", "x-timm", "x-saved", "x-native", "x.vcache", "run/report.html"];
    let temporary = made.map(|name| {
        let place = workspace.join(name);
        let name = place.file_name().unwrap().to_str().unwrap();
        place.with_file_name(format!(".{name}.writing"))
    });
    outside.plant(&temporary);
    let formats = [
        ("onnx", "x.onnx"),
        ("npz", "x.npz"),
        ("timm", "x-timm"),
        ("saved-model", "x-saved"),
        ("native", "x-native"),
    ];
    let export = |format: &str, out: &str| {
        vitral(folder, &["export", "run", "--format", format, "--out", out])
    };
    for (format, out) in formats {
        export(format, out).succeeded();
        // Once more: what is there stays, whatever it is.
        let said = export(format, out).failed_with(1).stderr;
        assert!(said.contains(out) && said.contains("of that name already"), "{said}");
        outside.plant(&[workspace.join(&format!("link-{out}"))]);
        let said = export(format, &format!("link-{out}")).failed_with(1).stderr;
        assert!(said.contains("of that name already"), "{said}");
    }
    vitral(folder, &["report", "run"]).succeeded();
    // What a cache goes on with stays in its place.
    let cache = ["data", "cache", "images", "--out", "x.vcache"];
    for name in ["x.vcache.partial", "x.vcache.journal"] {
        outside.plant(&[workspace.join(name)]);
        let said = vitral(folder, &cache).failed_with(1).stderr;
        assert!(said.contains(name) && said.contains("it is a link"), "{said}");
        fs::remove_file(workspace.join(name)).unwrap();
        let _ = fs::remove_file(workspace.join("x.vcache.journal"));
    }
    vitral(folder, &cache).succeeded();
    let said = vitral(folder, &cache).failed_with(1).stderr;
    assert!(said.contains("x.vcache") && said.contains("of that name already"), "{said}");
    outside.is_untouched();
    let planted: Vec<_> = hidden(folder);
    assert_eq!(planted.len(), temporary.len(), "{planted:?}");
}

/// The limit of a file's size is a disk that is full at that size.
#[test]
fn a_full_disk_is_named_and_nothing_is_left_on_it() {
    let workspace = trained();
    let folder = workspace.path();
    write_image_folder(&workspace.join("images"), 20);
    let kib = |kib: u32, arguments: &[&str]| vitral_within(&format!("-f {kib}"), folder, arguments);
    let full = |found: Finished, file: &str| {
        let said = found.failed_with(1).stderr;
        assert!(said.contains(file) && said.contains("File too large"), "{said}");
        for foreign in ["panicked", "ZipWriter", ".writing-"] {
            assert!(!said.contains(foreign), "{said}");
        }
    };
    let before = fs::read_dir(workspace.join("run/checkpoints")).unwrap().count();
    let longer = ["train", "--resume", "run", "--set", "train.steps=6"];
    full(kib(4, &longer), "step-00000006/model.safetensors");
    assert_eq!(fs::read_dir(workspace.join("run/checkpoints")).unwrap().count(), before);
    for (format, out, file) in [
        ("onnx", "x.onnx", "x.onnx"),
        ("npz", "x.npz", "x.npz"),
        ("timm", "x-timm", "x-timm/model.safetensors"),
        ("saved-model", "x-saved", "x-saved/variables"),
        ("native", "x-native", "x-native/model.safetensors"),
    ] {
        full(kib(4, &["export", "run", "--format", format, "--out", out]), file);
        assert!(!workspace.join(out).exists(), "{out}");
    }
    full(kib(4, &["report", "run"]), "report.html");
    full(kib(4, &["data", "info", "images", "--sheet", "sheet.png"]), "sheet.png");
    full(kib(1, &["data", "cache", "images", "--out", "x.vcache"]), "x.vcache");
    assert_eq!(hidden(folder), [] as [PathBuf; 0]);
    // With room, all goes on from there.
    vitral(folder, &["data", "cache", "images", "--out", "x.vcache"]).succeeded();
    vitral(folder, &longer).succeeded();
}

#[test]
fn what_a_killed_process_left_goes_at_the_next_start() {
    let workspace = trained();
    let folder = workspace.path();
    let places = ["", "run", "run/checkpoints"].map(|inner| workspace.join(inner));
    for place in &places {
        fs::create_dir(place.join(".writing-abcdefghijkl")).unwrap();
        fs::write(place.join(".writing-abcdefghijkl/model.safetensors"), "half").unwrap();
        fs::write(place.join(".writing-ABCDEFGHIJKL"), "half").unwrap();
    }
    // One that goes on holds what it writes.
    let held = fs::File::open(workspace.join(".writing-ABCDEFGHIJKL")).unwrap();
    held.lock().unwrap();
    vitral(folder, &["train", "--resume", "run", "--set", "train.steps=6"]).succeeded();
    vitral(folder, &["export", "run", "--format", "npz", "--out", "x.npz"]).succeeded();
    assert_eq!(hidden(folder), [workspace.join(".writing-ABCDEFGHIJKL")]);
}

#[test]
fn a_run_or_a_file_without_a_name_is_refused_with_what_would_be_right() {
    let workspace = trained();
    let folder = workspace.path();
    for output in ["\"\"", "\".\"", "\"..\"", "\"~/x\"", "\"a/./.\""] {
        let set = format!("output={output}");
        let said =
            vitral(folder, &["train", "experiment.ron", "--set", &set]).failed_with(2).stderr;
        assert!(said.contains("runs/first"), "{output}: {said}");
    }
    for out in [".", "~/x", ".."] {
        for format in ["npz", "native"] {
            let export = ["export", "run", "--format", format, "--out", out];
            vitral(folder, &export).failed_with(1);
        }
        vitral(folder, &["data", "cache", "experiment.ron", "--out", out]).failed_with(1);
    }
    assert!(!workspace.join("~").exists() && hidden(folder).is_empty());
}
