//! Escapes in whatever others name: nothing that they wrote acts on a terminal or on a page.

use std::{fs, os::unix::ffi::OsStrExt as _, path::Path};

use crate::support::{
    images::{Workspace, write_image_folder},
    program::{Finished, vitral, vitral_os, vitral_with},
};

/// An escape that clears the screen, one of eight bits, a bell, and a letter that turns the line around.
const EVIL: &str = "x\u{1b}[2J\u{9b}31m\u{7}\u{202e}y";

/// Whether a character acts on what is around it; line breaks and tabs are a part of what is printed.
fn acts(character: char) -> bool {
    (character.is_control() && !"\n\t".contains(character))
        || matches!(character, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Makes sure that what was printed shows the text, and does none of what it says.
#[track_caller]
fn shown(found: &Finished) {
    let said = format!("{}{}", found.stdout, found.stderr);
    assert!(!said.contains(acts), "{said:?}");
    // In JSON, or elsewhere.
    let shows = ["\\u{1b}[2J", "\\u001b[2J"].iter().any(|escaped| said.contains(escaped));
    assert!(shows, "{said:?}");
}

fn run(folder: &Path, arguments: &[&str]) -> Finished {
    vitral(folder, arguments)
}

fn tar_with(path: &Path, name: &str) {
    let mut tar = tar::Builder::new(fs::File::create(path).unwrap());
    for extension in ["png", "txt"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{name}.{extension}"), &b"none"[..]).unwrap();
    }
    tar.finish().unwrap();
}

#[test]
fn names_of_classes_and_files_are_shown_and_do_nothing() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    write_image_folder(&workspace.join("images"), 3);
    let first = fs::read_dir(workspace.join("images")).unwrap().next().unwrap().unwrap().path();
    let image = fs::read_dir(&first).unwrap().next().unwrap().unwrap().path();
    fs::copy(image, first.join(format!("{EVIL}.png"))).unwrap();
    fs::write(first.join(format!("{EVIL}-damaged.png")), "none").unwrap();
    fs::write(first.join(format!("a.{EVIL}")), "none").unwrap();
    fs::rename(&first, workspace.join("images").join(EVIL)).unwrap();
    shown(&run(folder, &["data", "info", "images", "--check"]));
    shown(&run(folder, &["data", "info", "images", "--check", "--json"]));
    let data = "ImageFolder(path: \"images\")";
    let [train, val] = ["train", "val"].map(|part| format!("data.{part}={data}"));
    let sets =
        ["--set", &train, "--set", &val, "--set", "train.steps=3", "--set", "model.channels=3"];
    let skip = ["--set", "data.on_error=Skip"];
    shown(&run(folder, &[&["train", "experiment.ron"][..], &sets].concat()).failed_with(1));
    let trained = run(folder, &[&["-v", "train", "experiment.ron"][..], &sets, &skip].concat());
    shown(&trained.succeeded());
    shown(&run(folder, &["eval", "run"]).succeeded());
    shown(&run(folder, &["eval", "run", "--json"]).succeeded());
    let damaged = format!("images/{EVIL}/{EVIL}-damaged.png");
    shown(&run(folder, &["predict", "run", &damaged]).failed_with(1));
    shown(&run(folder, &["predict", "run", &format!("images/{EVIL}/{EVIL}.png")]).succeeded());
    let json = ["predict", "run", &format!("images/{EVIL}/{EVIL}.png"), "--json"];
    let found = run(folder, &json).succeeded();
    shown(&found);
    let value: serde_json::Value = serde_json::from_str(&found.stdout).unwrap();
    assert!(value["image"].as_str().unwrap().contains(EVIL), "JSON means what the name is");
    run(folder, &["report", "run"]).succeeded();
    let page = fs::read_to_string(workspace.join("run/report.html")).unwrap();
    assert!(!page.contains(acts));
    shown(&run(folder, &["export", "run", "--format", "npz", "--out", &format!("{EVIL}/a.npz")]));
}

#[test]
fn what_archives_weights_and_experiments_name_is_shown_and_does_nothing() {
    let workspace = Workspace::new();
    let folder = workspace.path();
    tar_with(&workspace.join("shard.tar"), EVIL);
    shown(&run(folder, &["data", "info", "shard.tar", "--check"]));
    let header = serde_json::json!({
        EVIL: { "dtype": "F32", "shape": [1], "data_offsets": [0, 4] },
    });
    let header = header.to_string();
    let mut weights = (header.len() as u64).to_le_bytes().to_vec();
    weights.extend(header.as_bytes());
    weights.extend([0; 4]);
    fs::write(workspace.join("weights.safetensors"), weights).unwrap();
    shown(&run(folder, &["import", "weights.safetensors", "--out", "x"]).failed_with(1));
    // In what is underlined, with and without colours.
    let experiment = fs::read_to_string(workspace.join("experiment.ron")).unwrap();
    let mistaken = experiment.replace("depth: 2,", &format!("depth: 2, \"{EVIL}\": 1,"));
    workspace.write("mistaken.ron", &mistaken);
    shown(&run(folder, &["train", "mistaken.ron"]).failed_with(2));
    let name = format!("{EVIL}.ron");
    workspace.write(&name, &experiment.replace("depth: 2,", "depht: 2,"));
    let found = run(folder, &["train", &name]).failed_with(2);
    shown(&found);
    assert!(found.stderr.contains("did you mean"), "{}", found.stderr);
    let coloured = [("NO_COLOR", None), ("FORCE_COLOR", Some("1"))];
    let found = vitral_with(folder, &["train", &name], &coloured).failed_with(2);
    let plain: String = found
        .stderr
        .split("\u{1b}[")
        .enumerate()
        .map(|(number, part)| match (number, part.split_once('m')) {
            (0, _) | (_, None) => part,
            (_, Some((style, rest))) => {
                assert!(
                    style.bytes().all(|byte| byte.is_ascii_digit() || byte == b';'),
                    "{style:?}"
                );
                rest
            }
        })
        .collect();
    assert!(plain.contains("\\u{1b}[2J") && !plain.contains(acts), "{plain:?}");
    // What is not understood at all.
    for arguments in [&["train", &format!("--{EVIL}")][..], &[EVIL], &["data", "info", EVIL]] {
        shown(&run(folder, arguments));
    }
    let unknown = [
        std::ffi::OsStr::new("data"),
        "info".as_ref(),
        std::ffi::OsStr::from_bytes(b"\xff\x1b[2J"),
    ];
    shown(&vitral_os(folder, &unknown).failed_with(1));
}
