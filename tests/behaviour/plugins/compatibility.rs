//! Plugins that were built for each version of the contract and must load for ever: the bundles are
//! never built anew.

use std::{fs, path::PathBuf};

use super::built;
use crate::support::{images::Workspace, program::vitral, root};

fn bundles(version: &str) -> Vec<PathBuf> {
    let folder = format!("tests/fixtures/plugins/contract-{version}");
    let folder = root().join(folder).canonicalize().unwrap();
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == "vitral")).collect()
}

#[test]
fn plugins_of_every_contract_pass_todays_checks() {
    let (first, second) = (bundles("1.0.0"), bundles("1.1.0"));
    assert_eq!(first.len(), 4, "one of each kind");
    assert_eq!(second.len(), 1, "one of the kind that hears more");
    for bundle in first.into_iter().chain(second) {
        let path = bundle.display().to_string();
        // They are from before bundles said which ops they need.
        let shown = vitral(&root(), &["plugin", "inspect", &path]).succeeded().stdout;
        let traces = ["attention", "batch-augmentation"];
        let traces = traces.iter().any(|kind| shown.contains(&format!("kind        {kind}\n")));
        assert_eq!(shown.contains("op set      1\n"), traces, "{shown}");
        let mut arguments = vec!["plugin", "check", &path];
        // The native libraries are Linux's.
        if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            arguments.push("--native");
        }
        let checked = vitral(&root(), &arguments);
        assert!(checked.status.success(), "{path}\n{}\n{}", checked.stdout, checked.stderr);
    }
}

/// Each has 4 GiB of addresses to itself, which a container or a cluster may not give.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_of_addresses_is_named() {
    use crate::support::program::vitral_within;

    let bundle = bundles("1.0.0").swap_remove(0).display().to_string();
    let found = vitral_within("-v 3000000", &root(), &["plugin", "check", &bundle]);
    let said = format!("{}{}", found.stdout, found.stderr);
    assert!(!found.status.success() && said.contains("`ulimit -v`"), "{said}");
    assert!(!said.contains("mmap"), "{said}");
}

#[test]
fn plugins_of_contract_1_0_0_train() {
    let workspace = Workspace::new();
    let take: Vec<String> = bundles("1.0.0")
        .iter()
        .map(|bundle| {
            let name = bundle.file_stem().unwrap().to_string_lossy().replace("-1.0.0", "");
            format!(r#""{name}": (bundle: "{}", run: Wasm)"#, bundle.display())
        })
        .collect();
    let changes = [
        format!("plugins={{{}}}", take.join(", ")),
        r#"model.attention=[(layers: (0, 1), attention: Plugin(name: "window", settings: {"size": 2}))]"#.into(),
        r#"data.augment=[Plugin(name: "randaugment")]"#.into(),
        r#"train.batch_augment=[(name: "mixup-cutmix")]"#.into(),
        r#"monitors=[(name: "early-stop")]"#.into(),
        "model.patch_dropout=0".into(),
    ];
    let mut arguments = vec!["train", "experiment.ron"];
    for change in &changes {
        arguments.extend(["--set", change.as_str()]);
    }
    let names = ["window", "randaugment", "mixup-cutmix", "early-stop"];
    let allow = names.map(|name| built::allow(name, "Wasm"));
    arguments.extend(allow.iter().map(String::as_str));
    vitral(workspace.path(), &arguments).succeeded();
}

#[test]
fn a_monitor_of_contract_1_1_0_hears_of_the_data_path() {
    let workspace = Workspace::new();
    let bundle = &bundles("1.1.0")[0];
    let changes = [
        format!(r#"plugins={{"throughput": (bundle: "{}", run: Wasm)}}"#, bundle.display()),
        r#"monitors=[(name: "throughput", settings: {"every": 4, "warmup": 0})]"#.into(),
    ];
    let allow = built::allow("throughput", "Wasm");
    let mut arguments = vec!["train", "experiment.ron", &allow];
    for change in &changes {
        arguments.extend(["--set", change.as_str()]);
    }
    vitral(workspace.path(), &arguments).succeeded();
    let metrics = fs::read_to_string(workspace.join("run/metrics.jsonl")).unwrap();
    assert!(metrics.contains("data_stage/decode"), "{metrics}");
}
