//! What is printed beside results: progress, the log, and how both are turned down.

use crate::support::{
    images::Workspace,
    program::{vitral, vitral_with},
};

#[test]
fn an_epochs_line_has_the_means_of_training_and_the_figures_of_validation() {
    let workspace = Workspace::new();
    let said = vitral(workspace.path(), &["train", "experiment.ron"]).succeeded().stderr;
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("epoch ")).collect();
    assert_eq!(lines.len(), 3, "{said}");
    for line in lines {
        for words in ["  loss ", " acc ", "  val loss ", " top-1 ", " top-5 "] {
            assert!(line.contains(words), "{words} is not in {line}");
        }
        assert!(line.chars().count() <= 80, "it wraps: {line}");
    }
}

#[test]
fn one_of_something_is_singular() {
    let workspace = Workspace::new();
    let one = ["train", "experiment.ron", "--set", "train.steps=None", "--set", "train.epochs=1"];
    let said = vitral(workspace.path(), &one).succeeded();
    assert!(said.stderr.contains("in 1 epoch\n"), "{}", said.stderr);
    let one = ["train", "experiment.ron", "--set", "train.steps=1"];
    let said = vitral(workspace.path(), &one).succeeded();
    assert!(said.stderr.contains(" 1 step in "), "{}", said.stderr);
    assert!(said.stdout.contains("trained 1 step in "), "{}", said.stdout);
}

#[test]
fn quiet_leaves_results_and_errors() {
    let workspace = Workspace::new();
    let said = vitral(workspace.path(), &["--quiet", "train", "experiment.ron"]).succeeded();
    assert_eq!(said.stderr, "");
    assert!(said.stdout.contains("accuracy"), "{}", said.stdout);
    let said = vitral(workspace.path(), &["eval", "nothing", "-q"]).failed_with(1).stderr;
    assert!(said.contains("error"), "{said}");
}

#[test]
fn the_log_is_asked_for_by_options_or_a_variable_and_is_plain_in_a_file() {
    let workspace = Workspace::new();
    let train = ["train", "experiment.ron", "--set", "train.steps=3"];
    let colours = ("NO_COLOR", None);
    for (arguments, variables) in [
        (&[&train[..], &["-v"]].concat(), &[colours][..]),
        (&train.to_vec(), &[colours, ("VITRAL_LOG", Some("info"))]),
    ] {
        let said = vitral_with(workspace.path(), arguments, variables).succeeded().stderr;
        assert!(said.contains("INFO") && said.contains("wrote a checkpoint"), "{said}");
        assert!(!said.contains('\u{1b}'), "{said:?}");
    }
    for wrong in ["nonsense", "vitral_train=nonsense"] {
        let said = vitral_with(workspace.path(), &["doctor"], &[("VITRAL_LOG", Some(wrong))]);
        let said = said.failed_with(2).stderr;
        assert!(said.contains(&format!("VITRAL_LOG={wrong}")), "{said}");
    }
}

#[test]
fn a_report_goes_to_standard_output_where_a_hyphen_says_so() {
    let workspace = Workspace::new();
    vitral(workspace.path(), &["train", "experiment.ron"]).succeeded();
    let said = vitral(workspace.path(), &["report", "run", "--output", "-"]).succeeded().stdout;
    assert!(said.contains("<svg") && said.trim_end().ends_with("</html>"), "{said:.300}");
    assert!(!workspace.join("-").exists());
}

/// What a terminal shows on a screen of its own, and what behind it.
#[cfg(target_os = "linux")]
fn screen_and_rest(workspace: &Workspace, arguments: &[&str], typed: &str) -> (String, String) {
    use crate::support::program::vitral_at_screen;

    let train = [&["train", "experiment.ron"], arguments].concat();
    let shown = vitral_at_screen(workspace.path(), &train, typed, (110, 32)).succeeded().stdout;
    let (_, shown) = shown.split_once("\x1b[?1049h").expect("it takes a screen of its own");
    let (screen, rest) = shown.split_once("\x1b[?1049l").expect("it gives the screen back");
    (screen.to_owned(), rest.to_owned())
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_has_a_live_view_and_all_lines_in_the_end() {
    use crate::support::program::vitral_at_screen;

    let workspace = Workspace::new();
    // Long enough for more than one picture.
    let long = ["--set", "train.steps=600", "--set", "train.eval_every=Steps(300)"];
    let (screen, rest) = screen_and_rest(&workspace, &long, "");
    // Words alone: what is between them is not written.
    for word in ["CPU,", "lines", "top-1,", "img/s", "classes:"] {
        assert!(screen.contains(word), "{word} is not in {screen:?}");
    }
    for words in ["4 classes: ", "  val loss ", "trained 600 steps in ", "run/metrics.jsonl"] {
        assert!(rest.contains(words), "{words} is not in {rest:?}");
    }
    assert_eq!(rest.matches("  val loss ").count(), 2, "{rest:?}");
    assert!(!rest.contains("\x1b[?1049"), "{rest:?}");
    // The same without one.
    let plain = ["train", "experiment.ron", "--plain", "--set", "output=plain"];
    let shown = vitral_at_screen(workspace.path(), &plain, "", (110, 32)).succeeded().stdout;
    assert!(!shown.contains("\x1b[?1049h"), "{shown:?}");
    assert_eq!(shown.matches("  val loss ").count(), 3, "{shown:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn q_gives_the_terminal_back_and_the_run_goes_on_in_lines() {
    let workspace = Workspace::new();
    // Long enough to be going on when the key has been seen.
    let long = ["--set", "train.steps=600", "--set", "train.eval_every=Steps(300)"];
    let (_, rest) = screen_and_rest(&workspace, &long, "q");
    assert!(!rest.contains("\x1b[?1049"), "{rest:?}");
    assert_eq!(rest.matches("  val loss ").count(), 2, "{rest:?}");
    assert!(rest.contains("trained 600 steps in "), "{rest:?}");
}

/// Rust ends a process that is out of memory; before that, it is told what takes less.
#[cfg(target_os = "linux")]
#[test]
fn running_out_of_memory_is_answered_with_what_takes_less() {
    use std::process::Command;

    let workspace = Workspace::new();
    let program = env!("CARGO_BIN_EXE_vitral");
    // Gigabytes: as many as a machine has left, but more than this process may have.
    let huge = "--set model.width=3072 --set model.heads=64";
    let script = format!("ulimit -v 2000000; exec '{program}' train experiment.ron {huge}");
    let mut command = Command::new("sh");
    let output = command.current_dir(workspace.path()).args(["-c", &script]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("out of memory") && said.contains("train.batch=Auto"), "{said}");
    assert_eq!(said.matches("out of memory").count(), 1, "{said}");
}
