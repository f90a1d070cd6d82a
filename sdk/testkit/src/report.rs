//! What a check has found.

use std::fmt;

use vitral_host::Plugin;

/// At most this many problems are shown; the rest is likely the same.
const SHOWN: usize = 12;

/// What a check has found: nothing, if the plugin is fine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    plugin: String,
    tried: usize,
    problems: Vec<String>,
}

impl Report {
    pub(crate) fn new(plugin: &Plugin) -> Self {
        Self { plugin: plugin.description().name.clone(), tried: 0, problems: Vec::new() }
    }

    /// Keeps the outcome of something that was tried, and gives what it made.
    pub(crate) fn note<T>(&mut self, place: &str, outcome: Result<T, String>) -> Option<T> {
        self.tried += 1;
        outcome.map_err(|problem| self.problems.push(format!("{place}: {problem}"))).ok()
    }

    /// How many things were tried.
    pub fn tried(&self) -> usize {
        self.tried
    }

    /// What is wrong, and where.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Does nothing if nothing is wrong.
    ///
    /// # Panics
    /// With the report, if something is.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.problems.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (plugin, tried, found) = (&self.plugin, self.tried, self.problems.len());
        if found == 0 {
            return write!(f, "plugin `{plugin}`: all {tried} checks pass");
        }
        write!(f, "plugin `{plugin}`: {found} of {tried} checks fail")?;
        for problem in self.problems.iter().take(SHOWN) {
            write!(f, "\n- {}", problem.replace('\n', "\n  "))?;
        }
        if found > SHOWN {
            write!(f, "\n- and {} more", found - SHOWN)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(problems: usize) -> Report {
        let problems = (0..problems).map(|index| format!("here: problem {index}")).collect();
        Report { plugin: "x".into(), tried: 20, problems }
    }

    #[test]
    fn problems_are_listed_up_to_a_point() {
        assert_eq!(report(0).to_string(), "plugin `x`: all 20 checks pass");
        let two = "plugin `x`: 2 of 20 checks fail\n- here: problem 0\n- here: problem 1";
        assert_eq!(report(2).to_string(), two);
        assert!(report(14).to_string().ends_with("problem 11\n- and 2 more"));
    }

    #[test]
    #[should_panic(expected = "1 of 20 checks fail")]
    fn problems_fail_the_test() {
        report(1).assert();
    }
}
