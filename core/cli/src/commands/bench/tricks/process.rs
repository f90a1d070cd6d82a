//! Runs in processes of their own, as the program that starts them sees them.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use vitral_bundle::Allowance;

use super::measure::{Line, Measured};

/// How a run ended.
pub enum Ended {
    Measured(Measured),
    /// Why it failed, and everything that it said.
    Failed {
        reason: String,
        said: String,
    },
    /// The user has had enough.
    Interrupted,
}

/// Starts this program anew to measure an experiment with these changes, and waits for its end.
/// `on_progress` is given the share of its steps that are made.
///
/// # Errors
/// The process cannot be started or listened to.
pub fn measure(
    experiment: &Path,
    settings: &[String],
    allowed: &[Allowance],
    device: Option<&str>,
    stop: &AtomicBool,
    on_progress: &mut dyn FnMut(f64),
) -> io::Result<Ended> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "measure"]).arg(experiment);
    command.args(settings.iter().flat_map(|setting| ["--set", setting]));
    command.args(allowed.iter().flat_map(|given| ["--allow".into(), given.to_string()]));
    command.args(device.iter().flat_map(|device| ["--device", device]));
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let ended = listen(&mut child, stop, on_progress);
    if ended.is_err() {
        // Whether it has ended already does not matter.
        let _ = child.kill();
    }
    let status = child.wait()?;
    let (measured, said) = ended?;
    Ok(match measured {
        _ if stop.load(Ordering::Relaxed) || is_interrupted(status) => Ended::Interrupted,
        Some(measured) if status.success() => Ended::Measured(measured),
        _ => Ended::Failed { reason: reason(&said).unwrap_or_else(|| status.to_string()), said },
    })
}

/// Whether Ctrl-C ended the process, a request to end or a closed terminal, which may be seen before this
/// one hears of it.
fn is_interrupted(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;

        const SIGHUP: i32 = 1;
        const SIGINT: i32 = 2;
        const SIGTERM: i32 = 15;
        matches!(status.signal(), Some(SIGHUP | SIGINT | SIGTERM))
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        false
    }
}

/// Reads what the process says until it ends.
fn listen(
    child: &mut Child,
    stop: &AtomicBool,
    on_progress: &mut dyn FnMut(f64),
) -> io::Result<(Option<Measured>, String)> {
    let (Some(out), Some(mut errors)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(io::Error::other("its output is not piped"));
    };
    let errors = thread::spawn(move || {
        let mut bytes = Vec::new();
        // What could not be read any more is missing in a message.
        let _ = errors.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let mut measured = None;
    for line in BufReader::new(out).lines() {
        // A plugin may print something, too.
        match serde_json::from_str(&line?) {
            Ok(Line::Steps { done, total }) => on_progress(done as f64 / total.max(1) as f64),
            Ok(Line::Measured(found)) => measured = Some(found),
            Err(_) => {}
        }
        if stop.load(Ordering::Relaxed) {
            // Where Ctrl-C reached it, it has ended already.
            let _ = child.kill();
        }
    }
    Ok((measured, errors.join().unwrap_or_default()))
}

/// What is wrong, of everything that was said.
fn reason(said: &str) -> Option<String> {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let marked = |mark: &str| {
        let first = lines.iter().position(|line| line.starts_with(mark))?;
        let text = lines[first].strip_prefix(mark)?.trim();
        // Where miette breaks a long message, it goes on behind a bar.
        let rest = lines[first + 1..].iter().map_while(|line| line.strip_prefix('│'));
        Some(rest.fold(text.to_owned(), |text, more| format!("{text} {}", more.trim())))
    };
    let last = || lines.last().map(ToString::to_string);
    marked("error:").or_else(|| marked("×")).or_else(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failure_is_found_in_what_was_said() {
        for (said, expected) in [
            ("a warning\nerror: the loss is NaN\n  help: lower it\n", Some("the loss is NaN")),
            (
                "  × patches of 5 px do not fill it\n   ╭─[e.ron:3:4]\n",
                Some("patches of 5 px do not fill it"),
            ),
            (
                "  × it takes 9 MiB, and\n  │ the limit is 8\n   ╭─[e.ron:3:4]\n   │ 3\n",
                Some("it takes 9 MiB, and the limit is 8"),
            ),
            ("thread panicked\nat somewhere\n\n", Some("at somewhere")),
            ("\n", None),
        ] {
            assert_eq!(reason(said).as_deref(), expected);
        }
    }
}
