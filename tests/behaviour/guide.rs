//! The guide: its commands run, and its experiments are experiments.
//!
//! A block of `sh` runs as it stands, in a folder of its page, beside which `photos` has images; training is
//! cut short. Of a block of `sh parsed`, whose commands need what a test does not have, the arguments are
//! checked. A block of `ron` is written as the experiment that the page's next commands name.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::support::{
    images::write_image_folder,
    program::{PROGRAM, isolate, vitral},
    root,
};

macro_rules! pages {
    ($($test:ident: $page:literal,)*) => {
        $(
            #[test]
            fn $test() {
                follow($page);
            }
        )*

        #[test]
        fn every_page_is_followed() {
            let mut tested = vec![$($page.to_owned()),*];
            let pages = fs::read_dir(root().join("examples/guide")).unwrap();
            let mut there: Vec<String> =
                pages.map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
            tested.sort();
            there.sort();
            assert_eq!(there, tested);
        }
    };
}

pages! {
    contents: "README.md",
    first_run: "first-run.md",
    your_own_images: "data.md",
    fine_tuning: "fine-tuning.md",
    from_timm: "from-timm.md",
    using_a_model: "using-a-model.md",
    faster_and_smaller: "efficiency.md",
    plugins: "plugins.md",
    gpus: "gpus.md",
    many_machines: "many-machines.md",
    troubleshooting: "troubleshooting.md",
}

/// One fenced block of a page.
#[derive(Debug)]
struct Block {
    line: usize,
    language: String,
    text: String,
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (at, line) in text.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block { line: at + 1, language: language.into(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block does not end: {open:?}");
    blocks
}

/// A folder with `vitral` in it: the program, whose training is so short that a page takes seconds.
fn short_program(folder: &Path) -> PathBuf {
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\n\
         case \"$1 $2\" in\n\
         train\\ --resume) ;;\n\
         train\\ *|tune\\ *) set -- \"$@\" --set train.epochs=2 --set train.batch=256 --set model.depth=2 \\\n\
           --set model.width=16 --set model.heads=2 --set data.workers=1 ;;\n\
         esac\n\
         exec '{PROGRAM}' \"$@\"\n"
    );
    let path = bin.join("vitral");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    bin
}

/// Does what a page says, in its order.
fn follow(name: &str) {
    let folder = TempDir::new().unwrap();
    let bin = short_program(folder.path());
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut here = folder.path().join("home");
    let photos = here.join("photos");
    write_image_folder(&photos, 10);
    fs::rename(photos.join("class_0"), photos.join("cat")).unwrap();
    fs::rename(photos.join("class_1"), photos.join("dog")).unwrap();
    for block in blocks(&root().join("examples/guide").join(name)) {
        let place = format!("{name}, line {}", block.line);
        match block.language.as_str() {
            "sh" => {
                let script =
                    format!("set -eu\n{}pwd >'{}/at'\n", block.text, folder.path().display());
                let done = shell(&script, &here, Some(&path));
                assert!(done.status.success(), "{place}:\n{}\n{}", block.text, said(&done));
                here = fs::read_to_string(folder.path().join("at")).unwrap().trim_end().into();
            }
            "sh parsed" => block.text.lines().for_each(|command| check_arguments(command, &place)),
            "ron" => write_experiment(&here, &block.text),
            other => panic!("{place}: a block of `{other}`"),
        }
    }
}

/// Writes a page's experiment, beside the one that it starts from, and has the program read it.
fn write_experiment(here: &Path, text: &str) {
    let base = here.join("quickstart.ron");
    let starts_from_it = text.contains("base: \"quickstart.ron\"");
    if starts_from_it && !base.exists() {
        vitral(here, &["quickstart", "quickstart"]).succeeded();
        fs::rename(here.join("quickstart/quickstart.ron"), base).unwrap();
        fs::rename(here.join("quickstart/data"), here.join("data")).unwrap();
    }
    let name = if starts_from_it { "written.ron" } else { "photos.ron" };
    fs::write(here.join(name), text).unwrap();
    vitral(here, &["config", "resolved", name]).succeeded();
}

/// That the program takes the arguments of a command that a test cannot run.
fn check_arguments(command: &str, place: &str) {
    let Some((_, arguments)) = command.split_once("vitral ") else {
        let others = ["cargo build --release", "pip install ", "export CUDA_PATH=", "hf download "];
        assert!(others.iter().any(|other| command.starts_with(other)), "{place}: {command}");
        return;
    };
    if arguments.starts_with("bench all-reduce") && !cfg!(feature = "mpi") {
        return;
    }
    // Arguments are read in their order, so that `--help` answers only where all before it are right.
    let done = shell(&format!("'{PROGRAM}' {arguments} --help"), &root(), None);
    assert!(done.status.success(), "{place}: {command}\n{}", said(&done));
}

fn shell(script: &str, folder: &Path, path: Option<&str>) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", script]).current_dir(folder);
    isolate(&mut command, folder);
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.output().unwrap()
}

fn said(done: &Output) -> String {
    [&done.stdout, &done.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn links_lead_somewhere() {
    let mut pages: Vec<PathBuf> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "core", "examples"]
            .iter()
            .chain(&["examples/guide", "examples/plugins", "core/train", "core/host", "sdk"])
            .chain(&["tests/peers"])
            .map(|path| root().join(path))
            .collect();
    let folders: Vec<PathBuf> = pages.iter().filter(|path| path.is_dir()).cloned().collect();
    for entry in folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let path = entry.unwrap().path();
        pages.extend((path.extension() == Some("md".as_ref())).then_some(path));
    }
    let mut dead = Vec::new();
    for page in pages.iter().filter(|page| page.is_file()) {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap();
            let outside = link.contains("://");
            if !outside && !file.is_empty() && !page.parent().unwrap().join(file).exists() {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn the_reference_is_what_the_program_prints() {
    let page = fs::read_to_string(root().join("core/REFERENCE.md")).unwrap();
    let printed = vitral(&root(), &["config", "reference"]).succeeded().stdout;
    let hint = "make it again: vitral config reference >core/REFERENCE.md";
    assert!(page == printed, "core/REFERENCE.md is not what the program prints; {hint}");
}

/// The examples of `examples/library`, which cargo builds beside the program.
#[test]
fn the_library_trains_and_predicts() {
    let folder = TempDir::new().unwrap();
    let example = |name: &str, arguments: &[&str]| {
        let built = Path::new(PROGRAM).parent().unwrap().join("examples").join(name);
        let mut command = Command::new(&built);
        command.current_dir(folder.path()).args(arguments);
        isolate(&mut command, folder.path());
        let hint = "`cargo build --release --examples -p vitral-train` makes it";
        let done = command.output().unwrap_or_else(|error| panic!("{built:?}: {error}; {hint}"));
        assert!(done.status.success(), "{}", said(&done));
        said(&done)
    };
    vitral(folder.path(), &["quickstart", "examples"]).succeeded();
    let trained = example("library_train", &[]);
    assert!(trained.contains("top-1 "), "{trained}");
    write_image_folder(&folder.path().join("photos"), 3);
    let predicted = example("library_predict", &["runs/library/best", "photos/class_0"]);
    assert_eq!(predicted.matches("photos/class_0/").count(), 3, "{predicted}");
}
