//! Plugins that an experiment names by where they are: a folder, a component, a bundle.

use std::{fs, path::Path};

use super::built;
use crate::support::{
    images::Workspace,
    program::{Finished, vitral, vitral_with},
    root,
};

/// Has an experiment monitor or augment with the plugin of a path, and grant it what it asks for.
fn with_plugin(workspace: &Workspace, name: &str, path: &str, more: &str) {
    let text = match name {
        "faulty" => format!(
            r#"data: (augment: [Plugin(name: "{name}", settings: {{"probability": 0.0}})]),"#
        ),
        _ => format!(r#"monitors: [(name: "{name}")],"#),
    };
    let plugins = format!(r#"plugins: {{"{name}": (path: "{path}", {more})}},"#);
    let text = format!(r#"(base: "experiment.ron", {text} {plugins})"#);
    workspace.write("local.ron", &text);
}

/// The words of the command that a refusal offers, without the program.
fn offered(shown: &str) -> Vec<&str> {
    let (_, command) = shown.split_once("to allow it, run:\n").unwrap();
    command.lines().next().unwrap().split_whitespace().skip(1).collect()
}

/// What is said in a report, whose lines are broken where a terminal ends.
fn in_one_line(report: &str) -> String {
    report.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// A copy of the faulty plugin's source in a workspace, with the SDK where it is.
fn with_source() -> Workspace {
    // What it needs is compiled by then.
    built::bundle("tests/fixtures/plugins/faulty");
    let workspace = Workspace::new();
    let (from, to) = (root().join("tests/fixtures/plugins/faulty"), workspace.join("faulty"));
    fs::create_dir_all(to.join("src")).unwrap();
    for file in ["Cargo.toml", "plugin.ron", "src/lib.rs"] {
        fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let sdk = root().join("sdk").canonicalize().unwrap().display().to_string();
    replace(&to.join("Cargo.toml"), "../../../../sdk", &sdk);
    if let Ok(lock) = fs::read(from.join("Cargo.lock")) {
        fs::write(to.join("Cargo.lock"), lock).unwrap();
    }
    with_plugin(&workspace, "faulty", "faulty", "grant: (clock: true)");
    workspace
}

#[test]
fn a_folder_is_built_when_its_source_has_changed_and_not_otherwise() {
    let workspace = with_source();
    let target = built::target().display().to_string();
    let run = |arguments: &[&str]| -> Finished {
        vitral_with(workspace.path(), arguments, &[("CARGO_TARGET_DIR", Some(&target))])
    };
    let train = |allow: &str, output: &str| {
        run(&["train", "local.ron", &format!("--set=output={output}"), allow])
    };
    let lock =
        |output: &str| fs::read_to_string(workspace.join(output).join("plugins.lock.ron")).unwrap();
    let source = |file: &str| workspace.join("faulty").join(file);
    let (all, no_build) = ("--allow=faulty:run,clock,build", "--allow=faulty:run,clock");

    let refused = train(no_build, "first").failed_with(2).stderr;
    assert!(refused.contains("be built from its source"), "{refused}");
    assert!(refused.contains("--allow faulty:build"), "{refused}");
    assert!(!source("dist").exists() && !workspace.join("first").exists());
    let refused = train("--allow=faulty:build", "first").failed_with(2).stderr;
    assert!(refused.contains("run its code in the sandbox"), "{refused}");
    assert!(!source("dist").exists(), "what may not run is not built");

    let built = train(all, "first").succeeded().stderr;
    assert!(built.contains("build plugin `faulty`") && built.contains("Compiling"), "{built}");
    assert!(lock("first").contains("\"1.0.0\"") && lock("first").contains("origin: Wasm"));
    let again = train(no_build, "second").succeeded().stderr;
    assert!(!again.contains("build plugin"), "{again}");
    let resume = ["train", "--resume", "first/checkpoints/step-00000006", no_build];
    run(&resume).succeeded();

    // What lies in `dist` counts only where it was built here.
    let component = source("dist/vitral-faulty.wasm");
    let content = fs::read(&component).unwrap();
    fs::write(&component, [&content[..], b"\0\x03\x01x!"].concat()).unwrap();
    train(no_build, "third").failed_with(2);
    fs::write(&component, content).unwrap();

    replace(&source("Cargo.toml"), "1.0.0", "1.0.1");
    train(no_build, "third").failed_with(2);
    let built = train(all, "third").succeeded().stderr;
    assert!(built.contains("build plugin"), "{built}");
    assert!(lock("third").contains("\"1.0.1\""));
    // A run goes on with what it was started with, or not at all.
    let refused = run(&resume).failed_with(1).stderr;
    for part in ["is not the one that the run was started with", "that was 1.0.0", "faulty be what"]
    {
        assert!(refused.contains(part), "{part}: {refused}");
    }

    replace(&source("src/lib.rs"), "Ok(parameters)", "Ok(missing)");
    let failed = in_one_line(&train(all, "fourth").failed_with(2).stderr);
    for part in ["plugin `faulty` could not be built", "cannot find value `missing`", "path:"] {
        assert!(failed.contains(part), "{part}: {failed}");
    }
    assert!(!workspace.join("fourth").exists());
    replace(&source("src/lib.rs"), "Ok(missing)", "Ok(parameters)");
    let back = train(no_build, "fourth").succeeded().stderr;
    assert!(!back.contains("build plugin"), "{back}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_user_is_asked_before_a_folder_is_built_and_the_answer_is_kept() {
    use crate::support::program::vitral_at_terminal;

    let workspace = Workspace::new();
    let run = |arguments: &[&str]| vitral(workspace.path(), arguments);
    run(&["plugin", "new", "halt", "--kind", "monitor", "--language", "c"]).succeeded();
    with_plugin(&workspace, "halt", "halt", "run: Native");
    let train = ["train", "local.ron", "--plain"];
    let asked = vitral_at_terminal(workspace.path(), &train, "n\n").failed_with(2).stdout;
    for part in ["run native code", "be built from its source", "exactly these files"] {
        assert!(asked.contains(part), "{part}: {asked}");
    }
    assert!(!workspace.join("halt/dist").exists());
    let asked = vitral_at_terminal(workspace.path(), &train, "y\n").succeeded().stdout;
    assert!(asked.contains("build plugin `halt`"), "{asked}");
    let again = run(&train).succeeded().stderr;
    assert!(!again.contains("build plugin"), "{again}");
    // Another source is another question.
    replace(&workspace.join("halt/monitor.c"), "0.1.0", "0.2.0");
    let refused = run(&train).failed_with(2).stderr;
    assert!(refused.contains(":native,build"), "{refused}");
    // What the user builds themselves need not be built.
    run(&["plugin", "build", "halt", "--native-only"]).succeeded();
    let refused = run(&train).failed_with(2).stderr;
    assert!(refused.contains(":native\n"), "{refused}");
    run(&offered(&refused)).succeeded();
}

#[test]
fn a_component_and_a_bundle_are_taken_by_their_paths() {
    let bundle = root().join("tests/fixtures/plugins/contract-1.0.0/early-stop-1.0.0.vitral");
    let workspace = Workspace::new();
    let run = |arguments: &[&str]| vitral(workspace.path(), arguments);
    let opened = vitral_bundle::Bundle::open(&bundle).unwrap();
    let component = opened.artifact(&vitral_bundle::Target::Wasm).unwrap();
    fs::create_dir(workspace.join("parts")).unwrap();
    fs::write(workspace.join("parts/early-stop.wasm"), component).unwrap();
    fs::copy(&bundle, workspace.join("parts/early-stop.vitral")).unwrap();
    for file in ["parts/early-stop.wasm", "./parts/early-stop.vitral"] {
        with_plugin(&workspace, "early-stop", file, "run: Wasm");
        let refused = run(&["train", "local.ron"]).failed_with(2).stderr;
        assert!(refused.contains("it is not signed"), "{refused}");
        assert!(!refused.contains("build") && !refused.contains("if it is you"), "{refused}");
        let command = offered(&refused);
        assert!(command.last().unwrap().ends_with(":run"), "{command:?}");
        run(&command).succeeded();
        run(&["train", "local.ron", "--allow=early-stop:run"]).succeeded();
    }
    let lock = fs::read_to_string(workspace.join("run/plugins.lock.ron")).unwrap();
    let digest = vitral_bundle::Digest::of(component).to_string();
    assert!(lock.contains(&digest) && !lock.contains("bundle:"), "{lock}");
    for (file, more, problem) in [
        ("parts/early-stop.wasm", "run: Native", "is a component, which has no native form"),
        ("parts/early-stop.wasm", "run: CompiledIn", "and so is not compiled in"),
        ("parts/early-stop.wasm", "bundle: \"x.vitral\"", "says in two ways where"),
        (
            "parts/early-stop.wasm",
            "from: \"r.org/lab/early-stop\"",
            "and from a place on this machine",
        ),
        ("parts/none.wasm", "", "parts/none.wasm: there is nothing here"),
        ("experiment.ron", "", "is no folder, no component (`.wasm`) and no bundle (`.vitral`)"),
        ("parts", "", "there is no plugin: no Cargo.toml"),
    ] {
        with_plugin(&workspace, "early-stop", file, more);
        let allow = "--allow=early-stop:run";
        let refused = in_one_line(&run(&["train", "local.ron", allow]).failed_with(2).stderr);
        assert!(refused.contains(problem), "{problem}: {refused}");
    }
    // It says itself which plugin it is.
    with_plugin(&workspace, "late-stop", "parts/early-stop.wasm", "");
    let refused = run(&["train", "local.ron", "--allow=late-stop:run"]).failed_with(2).stderr;
    let refused = in_one_line(&refused);
    assert!(refused.contains("holds plugin `early-stop`, not `late-stop`"), "{refused}");
}
