//! What was found, for people and as JSON.

use std::fmt;

use serde::Serialize;

use super::measure::Measured;
use crate::commands::bench::report::Spread;

/// All runs of one technique.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub name: String,
    /// What was changed in the plain experiment.
    pub settings: Vec<String>,
    /// One run for each seed, in their order.
    pub runs: Vec<Measured>,
    /// Why others failed.
    pub failures: Vec<String>,
}

/// Medians of a technique's runs, and their mean accuracy.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    pub seconds_per_epoch: f64,
    pub cpu_seconds_per_epoch: Option<f64>,
    pub peak_memory: Option<f64>,
    pub top1: f64,
}

impl Row {
    /// A technique without runs.
    pub fn new(name: String) -> Self {
        Self { name, settings: Vec::new(), runs: Vec::new(), failures: Vec::new() }
    }

    /// None if every run failed.
    pub fn summary(&self) -> Option<Summary> {
        let median = |of: &dyn Fn(&Measured) -> Option<f64>| {
            Spread::of(self.runs.iter().filter_map(of)).map(|spread| spread.median)
        };
        Some(Summary {
            seconds_per_epoch: median(&|run| Some(run.seconds_per_epoch))?,
            cpu_seconds_per_epoch: median(&|run| run.cpu_seconds_per_epoch),
            peak_memory: median(&|run| run.peak_memory.map(|bytes| bytes as f64)),
            top1: self.runs.iter().map(|run| run.top1).sum::<f64>() / self.runs.len() as f64,
        })
    }
}

/// The whole comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Table {
    pub version: &'static str,
    pub experiment: String,
    pub device: String,
    /// That kernels run on, of a machine whose processors compute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction_set: Option<&'static str>,
    pub epochs: u32,
    pub seeds: Vec<u64>,
    /// The first is the plain loop.
    pub rows: Vec<Row>,
}

impl Table {
    /// What was trained, how long, and where.
    pub fn title(&self) -> String {
        let Self { experiment, device, epochs, .. } = self;
        let plural = if *epochs == 1 { "" } else { "s" };
        let kernels = self.instruction_set.map(|set| format!(", kernels on {set}"));
        format!("{experiment}, {epochs} epoch{plural}, {device}{}", kernels.unwrap_or_default())
    }

    /// What everything is compared with.
    pub fn plain(&self) -> Option<Summary> {
        self.rows.first()?.summary()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = match self.seeds.len() {
            1 => "one seed".into(),
            count => format!("{count} seeds: median time and memory, mean accuracy"),
        };
        writeln!(f, "{}; {seeds}", self.title())?;
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(9);
        writeln!(
            f,
            "{:width$}  {:>15}  {:>15}  {:>17}  {:>16}",
            "technique", "time per epoch", "CPU time", "peak memory", "top-1"
        )?;
        let plain = self.plain();
        for (index, row) in self.rows.iter().enumerate() {
            // The plain loop is compared with nothing.
            write_row(f, row, plain.filter(|_| index > 0), width)?;
        }
        Ok(())
    }
}

fn write_row(
    f: &mut fmt::Formatter<'_>,
    row: &Row,
    plain: Option<Summary>,
    width: usize,
) -> fmt::Result {
    if let Some(found) = row.summary() {
        let figure =
            |value: Option<f64>, of: fn(&Summary) -> Option<f64>, unit: f64, name: &str| {
                let Some(value) = value else { return "unknown".into() };
                let ratio = match plain.as_ref().and_then(of) {
                    Some(plain) => format!("  {:.2}x", value / plain),
                    None => " ".repeat(7),
                };
                format!("{} {name}{ratio}", digits(value / unit))
            };
        let mib = f64::from(1 << 20);
        let time = figure(Some(found.seconds_per_epoch), |of| Some(of.seconds_per_epoch), 1.0, "s");
        let cpu = figure(found.cpu_seconds_per_epoch, |of| of.cpu_seconds_per_epoch, 1.0, "s");
        let memory = figure(found.peak_memory, |of| of.peak_memory, mib, "MiB");
        let points = plain.map_or_else(
            || " ".repeat(8),
            |plain| format!("  {:+6.2}", (found.top1 - plain.top1) * 100.0),
        );
        let top1 = format!("{:.2}%{points}", found.top1 * 100.0);
        let line = format!("{:width$}  {time:>15}  {cpu:>15}  {memory:>17}  {top1:>16}", row.name);
        writeln!(f, "{}", line.trim_end())?;
    }
    for failure in &row.failures {
        writeln!(f, "{:width$}  failed: {failure}", row.name)?;
    }
    Ok(())
}

/// Three digits or all before the point.
fn digits(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Three techniques beside the plain loop: one that is twice as fast, one that failed, and one
    /// that failed with one of its seeds.
    pub fn example() -> Table {
        let row = |name: &str, runs: Vec<Measured>, failures: &[&str]| Row {
            runs,
            failures: failures.iter().map(ToString::to_string).collect(),
            ..Row::new(name.into())
        };
        let plain = Measured::example(80.0);
        let faster = Measured {
            seconds_per_epoch: 1.0,
            peak_memory: Some(96 << 20),
            cpu_seconds_per_epoch: None,
            ..Measured::example(79.5)
        };
        Table {
            version: "0",
            experiment: "some.ron".into(),
            device: "CPU".into(),
            instruction_set: Some("neon"),
            epochs: 3,
            seeds: vec![0, 1],
            rows: vec![
                row("plain", vec![plain.clone(), Measured::example(82.0)], &[]),
                row("faster", vec![faster.clone(), faster], &[]),
                row("broken", vec![], &["out of memory", "out of memory"]),
                row("shaky", vec![plain], &["the loss is NaN"]),
            ],
        }
    }

    #[test]
    fn techniques_stand_next_to_the_plain_loop() {
        let text = example().to_string();
        println!("{text}");
        let line = |name: &str| -> Vec<String> {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect()
        };
        assert!(text.starts_with("some.ron, 3 epochs, CPU, kernels on neon; 2 seeds"));
        assert_eq!(line("plain"), ["plain", "2.00", "s", "4.00", "s", "128", "MiB", "81.00%"]);
        let faster =
            ["faster", "1.00", "s", "0.50x", "unknown", "96.0", "MiB", "0.75x", "79.50%", "-1.50"];
        assert_eq!(line("faster"), faster);
        assert_eq!(text.matches("failed: out of memory").count(), 2);
        assert!(text.lines().last().unwrap().ends_with("failed: the loss is NaN"));
        assert_eq!(text.matches("shaky").count(), 2, "what was measured, and what failed");
    }

    #[test]
    fn nothing_is_compared_where_the_plain_loop_failed() {
        let mut table = example();
        table.rows[0].runs.clear();
        assert_eq!(table.plain(), None);
        assert!(!table.to_string().contains("0.50x"));
    }
}
