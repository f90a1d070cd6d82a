//! What was done, in the Trace Event Format that Perfetto and chrome://tracing read, and as a table.

use std::{
    collections::BTreeMap,
    fmt,
    thread::ThreadId,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::recorder::Done;
use crate::failure::Failure;

/// The span of a whole step.
const STEP: &str = "step";
/// Who has its stages, its kernels, and its images.
const TRAINER: &str = "vitral_train";
const KERNELS: &str = "vitral_burn";
const DATA: &str = "vitral_data";
/// Kernels that the table has.
const MOST: usize = 10;

/// What some steps did.
pub struct Trace {
    done: Vec<Done>,
    /// From the beginning of the first step to the end of the last one.
    begin: Option<Instant>,
    steps: Vec<Done>,
}

impl Trace {
    /// What was done during the steps that are whole.
    pub fn of(mut done: Vec<Done>) -> Self {
        let is_step = |done: &Done| done.by == TRAINER && done.name == STEP;
        let steps: Vec<Done> = done.iter().filter(|done| is_step(done)).cloned().collect();
        let begin = steps.iter().map(|step| step.begin).min();
        let end = steps.iter().map(|step| step.end).max();
        done.retain(|done| begin <= Some(done.begin) && Some(done.end) <= end);
        // The outer one of two that begin together is first.
        done.sort_by_key(|done| (done.begin, std::cmp::Reverse(done.end)));
        Self { done, begin, steps }
    }

    /// How many steps there are.
    pub fn steps(&self) -> usize {
        self.steps.len()
    }

    /// As a file.
    pub fn json(&self) -> Result<Vec<u8>, Failure> {
        let mut threads: Vec<&(ThreadId, String)> = Vec::new();
        let mut events = vec![json!({
            "ph": "M", "pid": 1, "tid": 0, "name": "process_name", "args": { "name": "vitral" },
        })];
        let mut spans = Vec::new();
        for done in &self.done {
            let known = threads.iter().position(|thread| thread.0 == done.thread.0);
            let thread = known.unwrap_or_else(|| {
                threads.push(&done.thread);
                threads.len() - 1
            });
            let since = |begin: Instant, end: Instant| {
                1e6 * end.saturating_duration_since(begin).as_secs_f64()
            };
            let details = done.details.iter().map(|(name, value)| ((*name).into(), json!(value)));
            spans.push(json!({
                "ph": "X",
                "pid": 1,
                "tid": thread,
                "name": done.name,
                "cat": category(done.by),
                "ts": since(self.begin.unwrap_or(done.begin), done.begin),
                "dur": since(done.begin, done.end),
                "args": Value::Object(details.collect()),
            }));
        }
        events.extend(threads.iter().enumerate().map(|(number, (_, name))| {
            json!({
                "ph": "M", "pid": 1, "tid": number, "name": "thread_name", "args": { "name": name },
            })
        }));
        events.extend(spans);
        serde_json::to_vec(&json!({ "displayTimeUnit": "ms", "traceEvents": events }))
            .map_err(|error| Failure::Other(format!("the trace cannot be written: {error}")))
    }

    /// The time that everything of one kind took, by name, the longest first, with how often it was.
    fn times(
        &self,
        by: &str,
        name: impl Fn(&Done) -> Option<String>,
    ) -> Vec<(String, usize, Duration)> {
        let mut times: BTreeMap<String, (usize, Duration)> = BTreeMap::new();
        for done in self.done.iter().filter(|done| done.by == by) {
            if let Some(name) = name(done) {
                let (count, time) = times.entry(name).or_default();
                (*count, *time) = (*count + 1, *time + (done.end - done.begin));
            }
        }
        let mut times: Vec<_> =
            times.into_iter().map(|(name, (count, time))| (name, count, time)).collect();
        times.sort_by_key(|(_, _, time)| std::cmp::Reverse(*time));
        times
    }
}

fn category(by: &str) -> &str {
    match by {
        TRAINER => "stage",
        KERNELS => "kernel",
        DATA => "data",
        other => other,
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole: Duration = self.steps.iter().map(|step| step.end - step.begin).sum();
        let steps = self.steps.len().max(1) as f64;
        let mut line = |name: &str, count: Option<usize>, time: Duration| {
            let seconds = time.as_secs_f64();
            let count = count
                .map_or_else(String::new, |count| format!("{:.1} calls", count as f64 / steps));
            let share = 100.0 * seconds / whole.as_secs_f64().max(f64::MIN_POSITIVE);
            let ms = 1e3 * seconds / steps;
            let line = format!("  {name:<44}{ms:>9.2} ms{share:>7.1}%  {count:>13}");
            writeln!(f, "{}", line.trim_end())
        };
        line("a step", None, whole)?;
        let stages = self.times(TRAINER, |done| (done.name != STEP).then(|| done.name.clone()));
        let told: Duration = stages.iter().map(|(_, _, time)| *time).sum();
        stages.iter().try_for_each(|(name, _, time)| line(&format!("  {name}"), None, *time))?;
        line("  anything else", None, whole.saturating_sub(told))?;
        let kernels = self.times(KERNELS, |done| {
            let pass = done.details.iter().find(|(name, _)| *name == "pass");
            Some(format!(
                "kernel {}{}",
                done.name,
                pass.map_or_else(String::new, |pass| format!(" {}", pass.1))
            ))
        });
        for (name, count, time) in kernels.iter().take(MOST) {
            line(name, Some(*count), *time)?;
        }
        if let Some((_, count, time)) = kernels.get(MOST..).filter(|rest| !rest.is_empty()).map(sum)
        {
            line("other kernels", Some(count), time)?;
        }
        let data = self.times(DATA, |done| {
            (done.name != "batch").then(|| format!("data worker: {}", done.name))
        });
        data.iter().try_for_each(|(name, count, time)| line(name, Some(*count), *time))
    }
}

fn sum(rest: &[(String, usize, Duration)]) -> (&'static str, usize, Duration) {
    let count = rest.iter().map(|(_, count, _)| count).sum();
    ("", count, rest.iter().map(|(_, _, time)| *time).sum())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_was_done_in_whole_steps_is_told_and_written() {
        let start = Instant::now();
        let done = |by: &'static str, name: &str, begin: u64, end: u64| Done {
            name: name.into(),
            by,
            begin: start + Duration::from_millis(begin),
            end: start + Duration::from_millis(end),
            thread: (thread::current().id(), "main".into()),
            details: if by == KERNELS { vec![("pass", "forward".into())] } else { Vec::new() },
        };
        let trace = Trace::of(vec![
            done(DATA, "read", 2, 12),
            done(DATA, "decode", 12, 30),
            done(KERNELS, "Linear", 20, 50),
            done(TRAINER, "forward", 10, 60),
            done(TRAINER, "backward", 60, 100),
            done(TRAINER, STEP, 10, 110),
            done(TRAINER, "checkpoint", 120, 130),
        ]);
        assert_eq!(trace.steps(), 1);
        let shown = trace.to_string();
        for line in [
            "  a step                                         100.00 ms  100.0%",
            "    forward                                       50.00 ms   50.0%",
            "    anything else                                 10.00 ms   10.0%",
            "  kernel Linear forward                           30.00 ms   30.0%      1.0 calls",
            "  data worker: decode                             18.00 ms   18.0%      1.0 calls",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        assert!(!shown.contains("checkpoint") && !shown.contains("read"), "outside: {shown}");
        let written: Value = serde_json::from_slice(&trace.json().unwrap()).unwrap();
        let events = written["traceEvents"].as_array().unwrap();
        let step = events.iter().find(|event| event["name"] == STEP).unwrap();
        assert_eq!(
            (&step["ts"], &step["dur"], &step["cat"]),
            (&json!(0.0), &json!(1e5), &json!("stage"))
        );
        assert_eq!(events.iter().filter(|event| event["ph"] == "M").count(), 2);
    }
}
