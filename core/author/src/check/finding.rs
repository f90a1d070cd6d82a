//! What a check finds.

use vitral_host::Kind;

use crate::Progress;

/// One check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked.
    pub name: String,
    /// What came of it.
    pub outcome: Outcome,
    /// What was tried or measured, in a few words; may be empty.
    pub detail: String,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Passed,
    /// Something is wrong: what, and what would be right.
    Failed(String),
    /// The check could not be made, or is not for this plugin: why.
    Skipped(String),
}

/// Everything that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The plugin's name; where it was found, if it could not be opened.
    pub plugin: String,
    /// The plugin's kind, if it could be opened.
    pub kind: Option<Kind>,
    /// Each check, in order.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn passed(&self) -> bool {
        self.kind.is_some()
            && !self.findings.iter().any(|finding| matches!(finding.outcome, Outcome::Failed(_)))
    }
}

/// Why a check did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Problem {
    Failed(String),
    Skipped(String),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Failed(problem)
    }
}

/// The detail of a check that passed, or why it did not.
pub(super) type Checked = Result<String, Problem>;

/// Findings as they come.
pub(super) struct Findings<'p> {
    progress: Progress<'p>,
    findings: Vec<Finding>,
}

impl<'p> Findings<'p> {
    pub(super) fn new(progress: Progress<'p>) -> Self {
        Self { progress, findings: Vec::new() }
    }

    /// Makes a check and keeps what comes of it.
    pub(super) fn note(&mut self, name: &str, check: impl FnOnce() -> Checked) {
        (self.progress)(name);
        let (outcome, detail) = match check() {
            Ok(detail) => (Outcome::Passed, detail),
            Err(Problem::Failed(problem)) => (Outcome::Failed(problem), String::new()),
            Err(Problem::Skipped(reason)) => (Outcome::Skipped(reason), String::new()),
        };
        self.findings.push(Finding { name: name.to_owned(), outcome, detail });
    }

    pub(super) fn report(self, plugin: &str, kind: Option<Kind>) -> Report {
        Report { plugin: plugin.to_owned(), kind, findings: self.findings }
    }
}

/// Several problems as one: at most this many are told, the rest is likely the same.
const TOLD: usize = 8;

/// Nothing if there is no problem; else one that lists them.
pub(super) fn all(problems: Vec<String>) -> Result<(), Problem> {
    if problems.is_empty() {
        return Ok(());
    }
    let mut text = problems[..problems.len().min(TOLD)].join("\n");
    if problems.len() > TOLD {
        text += &format!("\nand {} more", problems.len() - TOLD);
    }
    Err(Problem::Failed(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_passes_if_a_plugin_was_opened_and_nothing_failed() {
        let report = |kind, checked: Checked| {
            let mut lines = Vec::new();
            let mut progress = |line: &str| lines.push(line.to_owned());
            let mut findings = Findings::new(&mut progress);
            findings.note("gradients", || checked);
            let report = findings.report("x", kind);
            assert_eq!(lines, ["gradients"]);
            report.passed()
        };
        let kind = Some(Kind::Attention);
        assert!(report(kind, Ok("12 values".into())));
        assert!(report(kind, Err(Problem::Skipped("it has none".into()))));
        assert!(!report(kind, Err("wrong".to_owned().into())));
        assert!(!report(None, Ok(String::new())));
    }

    #[test]
    fn many_problems_are_cut_short() {
        assert_eq!(all(vec![]), Ok(()));
        let problems = |count: usize| (0..count).map(|at| format!("problem {at}")).collect();
        assert_eq!(all(problems(1)), Err(Problem::Failed("problem 0".into())));
        let Err(Problem::Failed(text)) = all(problems(10)) else { panic!("ten problems") };
        assert!(text.ends_with("problem 7\nand 2 more"), "{text}");
    }
}
