//! Where components are compiled: in this process, or in one of its own within limits of memory and time.
//!
//! A compiler's memory and time grow faster than what it is given: 100 KB that are made for it take
//! gigabytes and minutes. So what a stranger may have written is compiled by a child, which gives back what
//! the compiler made, or is ended. It is this very program, started with arguments that have it call
//! [`compile_for_parent`].

use std::{
    ffi::OsString,
    io::{self, Read, Write},
    path::PathBuf,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use wasmtime::{Engine, component::Component};

use super::{
    config::{MAX_COMPONENT, config},
    sandbox,
};

/// Where WebAssembly is compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Compiler {
    /// In this process, where nothing limits it: for components that one has built oneself, and where there
    /// is no program to start.
    #[default]
    Here,
    /// In a process of its own for each component.
    Apart {
        /// The program.
        program: PathBuf,
        /// What has it do nothing but to call [`compile_for_parent`].
        arguments: Vec<OsString>,
    },
}

/// What a compiler may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    memory: u64,
    /// Of all processors together.
    time: Duration,
}

impl Limits {
    /// Limits by the size of a component. What Rust, C and Python come to takes a tenth of it.
    const fn of(component: usize) -> Self {
        let bytes = component as u64;
        Self {
            memory: (320 << 20) + 128 * bytes,
            time: Duration::from_millis(4000 + bytes / (1 << 8)),
        }
    }

    /// What the compiled form may have.
    const fn output(self) -> u64 {
        self.memory
    }

    /// How long the child may be there: it may have to wait for a processor.
    fn deadline(self) -> Duration {
        self.time * 4
    }
}

/// What a child ended with.
struct Ended {
    output: io::Result<Vec<u8>>,
    said: String,
    status: ExitStatus,
    is_late: bool,
}

impl Compiler {
    /// Compiles a component, and gives its serialised form with it.
    ///
    /// # Errors
    /// It is none, or takes too much, in words.
    pub(super) fn compile(
        &self,
        engine: &Engine,
        component: &[u8],
    ) -> Result<(Component, Vec<u8>), String> {
        let none = |error: wasmtime::Error| format!("it is not a WebAssembly component: {error:#}");
        let Self::Apart { program, arguments } = self else {
            let compiled = Component::new(engine, component).map_err(none)?;
            let serialised = compiled.serialize().map_err(none)?;
            return Ok((compiled, serialised));
        };
        let limits = Limits::of(component.len());
        let mut command = Command::new(program);
        command.args(arguments);
        command.env("RAYON_NUM_THREADS", threads().to_string());
        // An allocator that takes memory ahead would reach the limit before it uses any; this program's is
        // mimalloc.
        command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
        let ended = run(command, component, limits)
            .map_err(|error| format!("its compiler cannot be started: {error}"))?;
        let compiled = ended.explain(limits, component.len())?;
        // SAFETY: these are the bytes that this very program has serialised for the same settings; wasmtime
        // itself checks that this engine can run them.
        let loaded = unsafe { Component::deserialize(engine, &compiled) };
        let loaded =
            loaded.map_err(|error| format!("its compiler's output cannot be used: {error:#}"))?;
        Ok((loaded, compiled))
    }
}

/// Threads of a child, each of which has some memory of its own.
fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(4)
}

/// Runs a child that is given a component.
fn run(mut command: Command, component: &[u8], limits: Limits) -> io::Result<Ended> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ending(command.spawn()?);
    let (Some(mut input), Some(output), Some(said)) =
        (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take())
    else {
        return Err(io::Error::other("it has no pipes"));
    };
    thread::scope(|scope| {
        // A child that does not want all of it has ended, and says why.
        scope.spawn(move || drop(input.write_all(component)));
        let said = scope.spawn(move || {
            let mut text = Vec::new();
            let _ = said.take(1 << 16).read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let (done, is_done) = mpsc::channel();
        let output = scope.spawn(move || {
            let mut bytes = Vec::new();
            let read = output.take(limits.output() + 1).read_to_end(&mut bytes);
            // Nobody waits any more for one that is late.
            let _ = done.send(());
            read.map(|_| bytes)
        });
        let is_late = is_done.recv_timeout(limits.deadline()).is_err();
        if is_late {
            child.0.kill()?;
        }
        let status = child.0.wait()?;
        let panicked = |_| io::Error::other("a thread that reads from it failed");
        Ok(Ended {
            output: output.join().map_err(panicked)?,
            said: said.join().map_err(panicked)?,
            status,
            is_late,
        })
    })
}

/// A child that does not outlive whoever waits for it.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is right.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Ended {
    /// What was compiled, or why nothing was.
    fn explain(self, limits: Limits, component: usize) -> Result<Vec<u8>, String> {
        let kib = component.div_ceil(1 << 10);
        if self.is_late || self.is_out_of_time() {
            return Err(format!(
                "compiling its {kib} KiB takes longer than the limit of {:.0} s",
                limits.time.as_secs_f64()
            ));
        }
        if OUT_OF_MEMORY.iter().any(|words| self.said.contains(words)) {
            return Err(format!(
                "compiling its {kib} KiB takes more memory than the limit of {} MiB",
                limits.memory >> 20
            ));
        }
        // It may have ended because nobody takes more.
        if self.output.as_ref().is_ok_and(|output| output.len() as u64 > limits.output()) {
            let most = limits.output() >> 20;
            return Err(format!("its {kib} KiB become more than {most} MiB when compiled"));
        }
        if !self.status.success() {
            let last = self.said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
            return Err(match self.status.code() {
                Some(NO_COMPONENT) => format!("it is not a WebAssembly component: {last}"),
                _ => format!("its compiler ended with {}: {last}", self.status),
            });
        }
        self.output.map_err(|error| format!("its compiler cannot be read: {error}"))
    }

    #[cfg(unix)]
    fn is_out_of_time(&self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        self.status.signal() == Some(rustix::process::Signal::XCPU.as_raw())
    }

    #[cfg(not(unix))]
    const fn is_out_of_time(&self) -> bool {
        false
    }
}

/// What Rust, the system and wasmtime call it when memory runs out.
const OUT_OF_MEMORY: [&str; 3] = ["memory allocation of", "annot allocate memory", "mmap failed"];
/// The exit code of a child that was given something else than a component.
const NO_COMPONENT: i32 = 3;

/// What a child does that was started to compile: reads a component from the standard input, and writes its
/// compiled form to the standard output, within limits of memory and time and, on Linux, without files,
/// network or other programs.
pub fn compile_for_parent() -> ExitCode {
    match try_compile_for_parent() {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, problem)) => {
            // Nobody is left to tell where this fails, too.
            let _ = writeln!(io::stderr(), "{}", problem.replace('\n', " "));
            code
        }
    }
}

fn try_compile_for_parent() -> Result<(), (ExitCode, String)> {
    let failed = |error: io::Error| (ExitCode::FAILURE, error.to_string());
    let mut component = Vec::new();
    io::stdin().take(MAX_COMPONENT as u64).read_to_end(&mut component).map_err(failed)?;
    // Before anything looks at the bytes, and before there are other threads.
    sandbox::enter(Limits::of(component.len()).memory, Limits::of(component.len()).time)
        .map_err(failed)?;
    let compiled = Engine::new(&config())
        .and_then(|engine| engine.precompile_component(&component))
        .map_err(|error| (ExitCode::from(NO_COMPONENT as u8), format!("{error:#}")))?;
    io::stdout().write_all(&compiled).map_err(failed)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { memory: 1 << 20, time: Duration::from_millis(100) };

    /// What comes of a child that a shell is.
    fn of_shell(script: &str, component: &[u8]) -> Result<Vec<u8>, String> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        run(command, component, SMALL).unwrap().explain(SMALL, component.len())
    }

    #[test]
    fn what_a_child_gives_is_taken_and_the_rest_is_explained() {
        let long = vec![7; 300_000];
        assert_eq!(of_shell("cat", &long).unwrap(), long);
        for (script, wanted) in [
            ("exec sleep 60", "compiling its 1 KiB takes longer than the limit of 0 s"),
            ("kill -XCPU $$", "takes longer than"),
            (
                "echo memory allocation of 7 bytes failed >&2; kill -ABRT $$",
                "takes more memory than the limit of 1 MiB",
            ),
            (
                "echo nothing of that kind >&2; exit 3",
                "it is not a WebAssembly component: nothing of",
            ),
            (
                "echo first >&2; echo last >&2; exit 9",
                "its compiler ended with exit status: 9: last",
            ),
            ("kill -SEGV $$", "its compiler ended with signal: 11"),
            ("head -c 2000000 /dev/zero", "become more than 1 MiB when compiled"),
        ] {
            let found = of_shell(script, b"component").unwrap_err();
            assert!(found.contains(wanted), "{script}: {found}");
        }
    }

    #[test]
    fn a_compiler_that_is_not_there_is_told() {
        let program = PathBuf::from("/no/such/program");
        let compiler = Compiler::Apart { program, arguments: vec![] };
        let found = compiler.compile(&Engine::default(), b"").err().unwrap();
        assert!(found.contains("its compiler cannot be started"), "{found}");
    }

    #[test]
    fn limits_grow_with_the_component() {
        assert_eq!(Limits::of(0).memory, 320 << 20);
        let python = Limits::of(40 << 20);
        assert!(python.memory > 5 << 30 && python.time > Duration::from_secs(160), "{python:?}");
    }
}
