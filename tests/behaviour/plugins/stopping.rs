//! A run that is to stop while a plugin is at work.
#![cfg(unix)]

use std::{
    fs,
    process::{Child, Command},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::built;
use crate::support::{
    images::Workspace,
    program::{start, vitral},
};

/// A call of this plugin ends after an hour, if nothing ends it before.
fn hanging(on_error: &str, probability: f64) -> Vec<String> {
    let bundle = built::bundle("tests/fixtures/plugins/faulty");
    let settings = format!(r#"{{"fault": "loop", "probability": {probability:?}}}"#);
    let plugin =
        format!(r#"(bundle: "{}", grant: (clock: true), call_ms: 3600000)"#, bundle.display());
    [
        "train",
        "experiment.ron",
        "--allow=faulty:run,clock,call_ms=3600000",
        "--set",
        &format!(
            r#"data.augment=[Plugin(name: "faulty", on_error: {on_error}, settings: {settings})]"#
        ),
        "--set",
        &format!(r#"plugins={{"faulty": {plugin}}}"#),
        "--set",
        "train.steps=1000",
        "--set",
        "checkpoints.every=Steps(1000)",
        "--set",
        "train.eval_every=Steps(1000)",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// More than a run needs to stop, on a machine that does other things, too.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn a_run_whose_plugin_hangs_writes_a_checkpoint_when_it_is_to_end() {
    // Tests that were started with SIGHUP ignored, as by `nohup`, would hand that on; what handles a
    // signal is not handed on.
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::default()).unwrap();
    // Whatever the policy is: no sample is left out for it, and no plugin disabled.
    // And the first signal says what the exit code is.
    for (on_error, signals, code) in [
        ("Stop", &["-TERM", "-TERM"][..], 143),
        ("Skip", &["-HUP", "-HUP"], 129),
        ("Disable", &["-INT", "-TERM", "-HUP"], 130),
    ] {
        let workspace = Workspace::new();
        let arguments = hanging(on_error, 0.002);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let child = start(workspace.path(), &arguments);
        // Until no step comes any more.
        let metrics = workspace.join("run/metrics.jsonl");
        let steps = || fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
        let (mut seen, mut since) = (0, Instant::now());
        while seen == 0 || since.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(20));
            if steps() > seen {
                (seen, since) = (steps(), Instant::now());
            }
            assert!(since.elapsed() < Duration::from_secs(60), "there is no first step");
        }
        for name in signals {
            signal(&child, name);
            thread::sleep(Duration::from_millis(30));
        }
        let told = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(told.elapsed() < SOON, "{:?}", told.elapsed());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("train --resume run"), "{said}{output:?}");
        assert_eq!(output.status.code(), Some(code), "{on_error}");
        let last = fs::read_to_string(workspace.join("run/last")).unwrap();
        assert_eq!(last.trim(), format!("checkpoints/step-{seen:08}"), "{on_error}");
        let text = fs::read_to_string(&metrics).unwrap();
        assert!(!text.contains("interrupted"), "{text}");
        // Nothing of the interrupted calls has come into the run.
        let mut resume = vec!["train", "--resume", "run", arguments[2]];
        let steps = format!("train.steps={}", seen);
        resume.extend(["--set", &steps]);
        let resumed = vitral(workspace.path(), &resume).succeeded();
        assert!(!resumed.stdout.contains("left out"), "{}", resumed.stdout);
    }
}
