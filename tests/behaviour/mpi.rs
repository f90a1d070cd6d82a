//! Several processes train one model, as `mpirun` starts them. `tests/mpi/run` has more of it.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    images::Workspace,
    program::{finish_ranks, in_ranks},
};

/// Whether there is a launcher; in CI there has to be one.
fn is_there() -> bool {
    let is_there = Command::new("mpirun").arg("--version").output().is_ok();
    assert!(is_there || std::env::var_os("CI").is_none(), "CI has no mpirun");
    if !is_there {
        eprintln!("skipped: there is no mpirun here");
    }
    is_there
}

/// The arguments that train the workspace's experiment into a folder.
fn train<'a>(output: &'a str, set: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["-q", "train", "experiment.ron", "--set", "train.accum_steps=4"];
    arguments.extend(["--set", output]);
    set.iter().for_each(|set| arguments.extend(["--set", set]));
    arguments
}

/// Weights, averages and the optimizer's of the last checkpoint.
fn tensors(run: &Path) -> Vec<Vec<u8>> {
    let last = run.join(fs::read_to_string(run.join("last")).unwrap().trim());
    let files = ["model.safetensors", "ema.safetensors", "optimizer.safetensors"];
    files.map(|file| fs::read(last.join(file)).unwrap()).to_vec()
}

/// The process of a rank that trains in a folder.
fn process_of(rank: usize, folder: &Path) -> Option<String> {
    let variable = format!("OMPI_COMM_WORLD_RANK={rank}");
    let folder = fs::canonicalize(folder).unwrap();
    fs::read_dir("/proc").unwrap().find_map(|entry| {
        let process = entry.ok()?.path();
        let environment = fs::read(process.join("environ")).ok()?;
        let is_rank = environment.split(|byte| *byte == 0).any(|set| set == variable.as_bytes());
        let is_here = fs::read_link(process.join("cwd")).ok()? == folder;
        (is_rank && is_here).then(|| process.file_name().unwrap().to_str().unwrap().to_owned())
    })
}

#[test]
fn processes_of_mpirun_train_one_model() {
    if !is_there() {
        return;
    }
    let workspace = Workspace::new();
    let run = |size: usize, output: &str, set: &[&str]| {
        let folder = format!("output={output:?}");
        let job = in_ranks(size, workspace.path(), &train(&folder, set));
        let said = finish_ranks(job).succeeded().stdout;
        assert_eq!(said.matches("best model").count(), 1, "not one of them tells: {said}");
        tensors(&workspace.join(output))
    };
    let two = run(2, "two", &[]);
    assert!(two == run(4, "four", &[]), "2 and 4 processes differ");
    assert!(two == run(4, "sharded", &["train.shard_optimizer=true"]), "with a part each");
}

#[test]
fn a_process_that_is_killed_ends_all_and_the_run_goes_on() {
    if !is_there() {
        return;
    }
    let workspace = Workspace::new();
    let long = [
        "train.steps=150",
        "train.log_every=100",
        "train.eval_every=Steps(150)",
        "checkpoints.every=Steps(25)",
    ];
    let whole = train("output=\"whole\"", &long);
    finish_ranks(in_ranks(2, workspace.path(), &whole)).succeeded();
    let mut killed = train("output=\"killed\"", &long);
    let mut job = in_ranks(2, workspace.path(), &killed);
    let mut job = job.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !workspace.join("killed/last").exists() {
        assert!(job.try_wait().unwrap().is_none(), "{:?}", job.wait_with_output());
        thread::sleep(Duration::from_millis(5));
    }
    let process = process_of(1, workspace.path()).expect("rank 1 trains");
    assert!(Command::new("kill").args(["-KILL", &process]).status().unwrap().success());
    let start = Instant::now();
    let ended = job.wait_with_output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30), "it ended after {:?}", start.elapsed());
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(!ended.status.success() && said.contains("rank 1"), "{said}");
    assert_eq!(process_of(0, workspace.path()), None, "a rank is left");
    killed.push("--resume-if-any");
    finish_ranks(in_ranks(2, workspace.path(), &killed)).succeeded();
    assert!(
        tensors(&workspace.join("killed")) == tensors(&workspace.join("whole")),
        "what went on is not what nothing happened to"
    );
}
