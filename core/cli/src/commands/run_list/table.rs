//! Runs as a table.

use std::path::Path;

use super::summary::Summary;
use crate::{
    progress::{duration, round},
    words::{aligned, columns, padded},
};

/// Fields in which runs differ that a line of the table has.
const SHOWN: usize = 5;

const HEADS: [&str; 9] =
    ["run", "state", "step", "epoch", "best top-1", "at step", "learning rate", "img/s", "time"];

/// The lines of a table of runs, of which there is at least one.
pub fn lines(runs: &[Summary]) -> Vec<String> {
    let shared = shared_folder(runs);
    let name = |run: &Path| {
        let own = run.strip_prefix(&shared).ok().filter(|own| !own.as_os_str().is_empty());
        own.unwrap_or(run).display().to_string()
    };
    let heads = HEADS.map(str::to_owned);
    let rows = runs.iter().map(|run| row(&name(&run.run), run));
    let rows: Vec<[String; HEADS.len()]> = std::iter::once(heads).chain(rows).collect();
    let figures = aligned(&rows);
    let width = figures.iter().map(|line| columns(line)).max().unwrap_or_default();
    let differs = runs.iter().map(differs);
    let has_any = runs.iter().any(|run| !run.differs.is_empty());
    let head = if has_any { "what differs" } else { "" };
    let last = std::iter::once(head.to_owned()).chain(differs);
    let line = |(figures, last): (String, String)| {
        format!("{}  {last}", padded(&figures, width)).trim_end().to_owned()
    };
    let mut lines: Vec<String> = figures.into_iter().zip(last).map(line).collect();
    if runs.len() > 1 && !shared.as_os_str().is_empty() {
        lines.push(format!("in {}", shared.display()));
    }
    lines
}

fn row(name: &str, run: &Summary) -> [String; HEADS.len()] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let of = |made: String, all: Option<String>| match all {
        Some(all) => format!("{made}/{all}"),
        None => made,
    };
    let best = run.best.as_ref();
    [
        name.to_owned(),
        run.state.word().to_owned(),
        of(run.step.to_string(), run.steps.map(|steps| steps.to_string())),
        of(round(run.epoch), run.epochs.map(round)),
        or_none(best.map(|best| format!("{:.2}%", 100.0 * best.top1))),
        or_none(best.map(|best| best.step.to_string())),
        or_none(run.learning_rate.map(|rate| format!("{rate:e}"))),
        or_none(run.images_per_second.map(|speed| format!("{speed:.0}"))),
        or_none(run.seconds.map(duration)),
    ]
}

/// What tells a run from the others.
fn differs(run: &Summary) -> String {
    let mut fields: Vec<String> =
        run.differs.iter().map(|(field, value)| format!("{field}: {value}")).collect();
    let more = fields.len().saturating_sub(SHOWN);
    fields.truncate(SHOWN);
    if more > 0 {
        fields.push(format!("and {more} more (--json has all)"));
    }
    fields.join(", ")
}

/// The folder that all runs are in.
fn shared_folder(runs: &[Summary]) -> std::path::PathBuf {
    let folder = |run: &Summary| run.run.parent().unwrap_or(Path::new("")).to_path_buf();
    let mut folders = runs.iter().map(folder);
    let first = folders.next().unwrap_or_default();
    folders.fold(first, |shared, other| {
        let same = shared.components().zip(other.components());
        same.take_while(|(one, other)| one == other).map(|(one, _)| one).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::summary::{Evaluated, State},
        *,
    };

    fn summary(run: &str, differs: &[(&str, &str)]) -> Summary {
        let pair = |(field, value): &(&str, &str)| ((*field).to_owned(), (*value).to_owned());
        Summary {
            run: run.into(),
            state: State::Ended,
            ended_by: None,
            step: 20,
            epoch: 2.0,
            steps: None,
            epochs: Some(2.0),
            best: Some(Evaluated { step: 10, epoch: 1.0, top1: 0.5, top5: 1.0, loss: None }),
            lowest_loss: None,
            learning_rate: Some(1e-3),
            images_per_second: Some(99.6),
            seconds: Some(65.0),
            differs: differs.iter().map(pair).collect(),
        }
    }

    #[test]
    fn runs_are_told_apart() {
        let mut stopped = summary("runs/b", &[("seed", "1")]);
        (stopped.state, stopped.best, stopped.seconds) = (State::Stopped, None, None);
        assert_eq!(
            lines(&[summary("runs/a/x", &[("seed", "0")]), stopped]),
            [
                "run    state  step  epoch  best top-1  at step  learning rate  img/s       time  what differs",
                "a/x    ended    20    2/2      50.00%       10           1e-3    100  1 min 5 s  seed: 0",
                "b    stopped    20    2/2           -        -           1e-3    100          -  seed: 1",
                "in runs",
            ]
        );
        let alone = lines(&[summary("runs/a", &[])]);
        assert_eq!(alone.len(), 2);
        assert!(alone[1].starts_with("a ") && alone[0].ends_with("time"), "{alone:?}");
    }

    #[test]
    fn a_line_has_some_of_many_differences() {
        let fields = ["a", "b", "c", "d", "e", "f", "g"].map(|field| (field, "1"));
        let line = &lines(&[summary("r", &fields)])[1];
        assert!(line.ends_with("e: 1, and 2 more (--json has all)"), "{line}");
    }
}
