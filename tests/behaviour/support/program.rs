//! Running the vitral program.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
};

/// What a run of the program printed, and how it ended.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// Fails the test, with what was printed, unless the program succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(self.status.success(), "{}\n{}\n{}", self.status, self.stdout, self.stderr);
        self
    }

    /// Fails the test unless the program ended with this exit code.
    #[track_caller]
    pub fn failed_with(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}

/// The program that tests run.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_vitral");

fn command(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(arguments);
    isolate(&mut command, folder);
    command
}

/// Has a command that runs the program, itself or through a shell, know nothing of this machine.
pub fn isolate(command: &mut Command, folder: &Path) {
    // Mesa's driver would print a complaint where this variable is not set.
    command.env("XDG_RUNTIME_DIR", std::env::temp_dir());
    // Neither what the user has installed nor what is cached has a say in tests.
    command.env("VITRAL_PLUGINS", folder.join(".plugins"));
    command.env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"));
    // Nor has what the tests were started by, as an allocation of a cluster.
    let launchers = ["SLURM_JOB_ID", "SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
    launchers.iter().chain(&["PMIX_RANK", "FLUX_JOB_SIZE", "WORLD_SIZE"]).for_each(|name| {
        command.env_remove(name);
    });
    command.env("NO_COLOR", "1").env_remove("VITRAL_LOG");
}

/// Runs the program in a folder to its end, with arguments that need not be Unicode.
pub fn vitral_os(folder: &Path, arguments: &[impl AsRef<OsStr>]) -> Finished {
    finish(&mut command(folder, arguments))
}

/// The same with something on its standard input.
pub fn vitral_fed(folder: &Path, arguments: &[&str], input: &[u8]) -> Finished {
    use std::io::Write as _;

    let mut command = command(folder, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may end before it has read all.
    let _ = stdin.write_all(input);
    drop(stdin);
    finished(child.wait_with_output().unwrap())
}

/// Runs the program in a folder to its end.
pub fn vitral(folder: &Path, arguments: &[&str]) -> Finished {
    finish(&mut command(folder, arguments))
}

/// The same, with variables of the environment that are set, or not there.
pub fn vitral_with(
    folder: &Path,
    arguments: &[&str],
    variables: &[(&str, Option<&str>)],
) -> Finished {
    let mut command = command(folder, arguments);
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    finish(&mut command)
}

/// Runs the program in a folder at a terminal of its own, where the user types something. All that it
/// shows there is in `stdout`.
#[cfg(target_os = "linux")]
pub fn vitral_at_terminal(folder: &Path, arguments: &[&str], typed: &str) -> Finished {
    at_terminal(folder, arguments, typed, "")
}

/// The same at a terminal of xterm's kind with so many columns and rows.
#[cfg(target_os = "linux")]
pub fn vitral_at_screen(
    folder: &Path,
    arguments: &[&str],
    typed: &str,
    (columns, rows): (u16, u16),
) -> Finished {
    let before = format!("stty cols {columns} rows {rows}; export TERM=xterm; ");
    at_terminal(folder, arguments, typed, &before)
}

/// The same, with what the shell does before.
#[cfg(target_os = "linux")]
fn at_terminal(folder: &Path, arguments: &[&str], typed: &str, before: &str) -> Finished {
    use std::io::Write as _;

    let vitral = command(folder, arguments);
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap());
    let words = std::iter::once(vitral.get_program()).chain(vitral.get_args()).map(quoted);
    let mut script = Command::new("script");
    let words = format!("{before}{}", words.collect::<Vec<_>>().join(" "));
    script.args(["-qec", &words, "/dev/null"]);
    let set = vitral.get_envs().filter_map(|(name, value)| Some((name, value?)));
    script.current_dir(folder).envs(set).env("SHELL", "/bin/sh");
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    keyboard.write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    // Only now: an end of what is typed would hang up.
    drop(keyboard);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs the program in a folder within a limit of the system, in bash's words: with `-f 4`, no file can have
/// more than 4 KiB.
#[cfg(unix)]
pub fn vitral_within(limit: &str, folder: &Path, arguments: &[&str]) -> Finished {
    let vitral = command(folder, arguments);
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$@\""), "vitral"]);
    shell.arg(vitral.get_program()).args(vitral.get_args());
    let set = vitral.get_envs().filter_map(|(name, value)| Some((name, value?)));
    finish(shell.current_dir(folder).envs(set).env_remove("VITRAL_LOG"))
}

/// What the program prints where nobody reads it any more.
#[derive(Clone, Copy, PartialEq)]
pub enum Unread {
    Results,
    Messages,
}

/// Runs the program in a folder to its end, with a closed pipe for what it prints.
pub fn vitral_unread(folder: &Path, arguments: &[&str], unread: Unread) -> Finished {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(folder, arguments);
    match unread {
        Unread::Results => command.stdout(writer),
        Unread::Messages => command.stderr(writer),
    };
    finish(&mut command)
}

fn finish(command: &mut Command) -> Finished {
    finished(command.output().unwrap())
}

fn finished(output: Output) -> Finished {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Finished { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// The program in so many ranks, as `mpirun` starts them in a folder.
#[cfg(all(feature = "mpi", target_os = "linux"))]
pub fn in_ranks(size: usize, folder: &Path, arguments: &[&str]) -> Command {
    let vitral = command(folder, arguments);
    let mut mpirun = Command::new("mpirun");
    mpirun.args(["-n", &size.to_string()]).arg(vitral.get_program()).args(vitral.get_args());
    for (name, value) in vitral.get_envs() {
        match value {
            Some(value) => mpirun.env(name, value),
            None => mpirun.env_remove(name),
        };
    }
    // In a container, and where there are fewer cores than ranks.
    let set = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];
    let share = ["OMPI_MCA_rmaps_base_oversubscribe", "OMPI_MCA_mpi_yield_when_idle"];
    mpirun.envs(set.iter().chain(&share).map(|name| (name, "1")));
    mpirun.current_dir(folder).stdin(Stdio::null());
    mpirun
}

/// Runs a command to its end.
#[cfg(all(feature = "mpi", target_os = "linux"))]
pub fn finish_ranks(mut command: Command) -> Finished {
    finish(&mut command)
}

/// Starts the program in a folder.
pub fn start(folder: &Path, arguments: &[&str]) -> Child {
    command(folder, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}
