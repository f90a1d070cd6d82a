//! The figures of runs in a table: a row for each figure, a column for each run.

use super::{
    Run,
    metrics::{Data, Eval, Metrics},
};
use crate::page::{escape, table};

/// The table in HTML.
pub fn html(runs: &[Run]) -> String {
    let all: Vec<Vec<(&str, String)>> = runs.iter().map(facts).collect();
    // In the order of the first run that tells.
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in all.iter().flatten() {
        if !names.contains(name) {
            names.push(name);
        }
    }
    let mut rows = String::new();
    if runs.len() > 1 {
        let cells: String =
            runs.iter().map(|run| format!("<th>{}</th>", escape(&run.name))).collect();
        rows += &format!("<tr><th></th>{cells}</tr>\n");
    }
    for name in names {
        let cells: String = all
            .iter()
            .map(|facts| {
                let fact = facts.iter().find(|(known, _)| *known == name);
                format!("<td>{}</td>", fact.map_or_else(|| "-".into(), |(_, fact)| escape(fact)))
            })
            .collect();
        rows += &format!("<tr><td class=\"faint\">{name}</td>{cells}</tr>\n");
    }
    table(&rows)
}

fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let metrics = &run.metrics;
    let mut facts = Vec::new();
    if let Ok(judged) = &run.judged {
        facts.push(("parameters", with_separators(judged.parameters)));
    }
    let logged = metrics.steps.last().map(|step| (step.step, step.epoch));
    let evaluated = metrics.evals.last().map(|eval| (eval.step, eval.epoch));
    let newest = logged.into_iter().chain(evaluated).max_by_key(|(step, _)| *step);
    facts.extend(newest.map(|(step, epoch)| ("steps", format!("{step} ({epoch:.2} epochs)"))));
    facts.extend(metrics.best().map(|eval| ("best evaluation", told(eval))));
    facts.extend(metrics.evals.last().map(|eval| ("last evaluation", told(eval))));
    let loss = metrics.evals.last().and_then(|eval| eval.loss);
    facts.extend(loss.map(|loss| ("last validation loss", format!("{loss:.4}"))));
    facts
        .extend(metrics.speed().map(|speed| ("images per second", format!("{speed:.0} (median)"))));
    facts.extend(left_out(metrics).map(|told| ("left out", told)));
    if let Some(data) = metrics.data() {
        facts.push(("time of the steps", duration(data.seconds)));
        let share = 100.0 * data.waiting_share().unwrap_or(0.0);
        facts.push(("waiting for data", format!("{share:.2}% of the steps' time")));
        facts.push(("work of the data path", stages(&data)));
    }
    facts
}

fn told(eval: &Eval) -> String {
    let left_out = match eval.skipped {
        0 => String::new(),
        count => format!(" ({count} more could not be read)"),
    };
    format!(
        "top-1 {:.2}%, top-5 {:.2}% of {} images{left_out}, after step {}",
        eval.top1 * 100.0,
        eval.top5 * 100.0,
        eval.images,
        eval.step
    )
}

fn left_out(metrics: &Metrics) -> Option<String> {
    let step = metrics.steps.last().filter(|step| step.left_out > 0)?;
    Some(format!("{} training images (repeats counted)", step.left_out))
}

/// Seconds as people say them.
fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

fn with_separators(count: usize) -> String {
    indicatif::HumanCount(count as u64).to_string()
}

/// The stages' shares of the data workers' time, the longest first.
fn stages(data: &Data) -> String {
    let total: f64 = data.stages.values().sum();
    let mut stages: Vec<_> = data.stages.iter().collect();
    stages.sort_by(|one, other| other.1.total_cmp(one.1));
    let share = |(name, seconds): (&String, &f64)| {
        format!("{name} {:.1}%", 100.0 * seconds / total.max(f64::MIN_POSITIVE))
    };
    stages.into_iter().map(share).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_come_by_their_share() {
        let stages = [("decode", 3.0), ("read", 0.5), ("HorizontalFlip", 0.5)];
        let stages = stages.map(|(name, seconds)| (name.to_owned(), seconds)).into();
        let data = Data { seconds: 4.0, wait: 1.0, stages };
        assert_eq!(super::stages(&data), "decode 75.0%, HorizontalFlip 12.5%, read 12.5%");
    }

    #[test]
    fn time_is_told_as_people_say_it() {
        assert_eq!([1.5, 61.0, 7320.0].map(duration), ["1.5 s", "1 min 1 s", "2 h 2 min"]);
    }
}
